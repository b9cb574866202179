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

from tests.benchmarks import calls
from tests.benchmarks.turns import SYSTEMS, measure


def main(
    turns: Annotated[int, typer.Option(help="Turns of each system.")] = 1000,
    turns_a_thread: Annotated[int, typer.Option(help="Turns in one thread.")] = 50,
    calls_turns: Annotated[int, typer.Option(help="Turns of each system whose model calls are counted.")] = 60,
    out: Annotated[Path | None, typer.Option(help="Where to write the figures as JSON.")] = None,
) -> None:
    """Print what memory adds to a turn and to the checkpoints, and what it asks of the model, beside others."""
    counted = count_calls(calls_turns)
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
    show(rows)
    if out is not None:
        figures = {"turns": turns, "turns_a_thread": turns_a_thread, "systems": rows, "calls": counted}
        out.write_text(json.dumps(figures, indent=2))


def count_calls(turns: int) -> dict[str, dict[str, float]]:
    """Count and print model calls for memory; a system that is not installed is left out, and said so."""
    counted: dict[str, dict[str, float]] = {}
    for name in calls.SYSTEMS:
        if package := calls.missing(name):
            Console(stderr=True).print(f"left out: {name}; install {package} (dependency group peers) to count it")
        else:
            counted[name] = calls.count(name, turns=turns).row()
    show(counted)
    return counted


def show(rows: dict[str, dict[str, float]]) -> None:
    """Print a table of systems and figures."""
    table = Table("system", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.2f}" for value in row.values()))
    Console(width=160).print(table)


typer.run(main)
