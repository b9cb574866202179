"""Runs the benchmarks: `python -m tests.benchmarks --turns 1000 --out results.json`."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.benchmarks.turns import SYSTEMS, measure


def main(
    turns: Annotated[int, typer.Option(help="Turns of each system.")] = 1000,
    turns_a_thread: Annotated[int, typer.Option(help="Turns in one thread.")] = 50,
    out: Annotated[Path | None, typer.Option(help="Where to write the figures as JSON.")] = None,
) -> None:
    """Print what memory adds to a turn and to the checkpoints, beside the same graph without it."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder, Progress(transient=True) as progress:
        for number, name in enumerate(SYSTEMS):
            advance = partial(progress.advance, progress.add_task(name, total=turns))
            measured = measure(
                name,
                Path(folder) / str(number),
                turns=turns,
                turns_a_thread=turns_a_thread,
                on_turn=advance,
            )
            rows[name] = measured.row(turns)
    table = Table("system", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.1f}" for value in row.values()))
    Console(width=160).print(table)
    if out is not None:
        out.write_text(json.dumps({"turns": turns, "turns_a_thread": turns_a_thread, "systems": rows}, indent=2))


typer.run(main)
