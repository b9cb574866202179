"""Executes notebooks as a reader would; as a command, in place: `python -m tests.notebooks notebooks/*.ipynb`."""

from __future__ import annotations

import asyncio
import sys
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from traitlets.config import Config

CELL_SECONDS = 120
NO_NETWORK = """\
import pytest_socket
pytest_socket.socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)"""


async def execute(path: Path, *, times: int = 1) -> NotebookNode:
    """Execute a notebook in a kernel of its own that reaches no network, and return it with its outputs.

    Args:
        path: The notebook; it runs in its own folder.
        times: How often "run all" is pressed; the outputs are those of the first time.

    Raises:
        CellExecutionError: If a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    rounds = [[nbformat.from_dict(cell) for cell in notebook.cells] for _ in range(times)]
    run = NotebookNode({**notebook, "cells": [new_code_cell(NO_NETWORK), *chain.from_iterable(rounds)]})
    with TemporaryDirectory() as sockets:
        client = NotebookClient(
            run,
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),  # no ports to compete for
            timeout=CELL_SECONDS,
            coalesce_streams=True,
            record_timing=False,
            resources={"metadata": {"path": path.parent}},
        )
        await client.async_execute()
    for number, cell in enumerate((cell for cell in rounds[0] if cell.cell_type == "code"), 1):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
    return NotebookNode({**notebook, "cells": rounds[0]})


async def execute_in_place(paths: list[Path]) -> None:
    """Execute notebooks one after the other and write each with its outputs."""
    for path in paths:
        nbformat.write(await execute(path), path)


if __name__ == "__main__":
    asyncio.run(execute_in_place([Path(name).resolve() for name in sys.argv[1:]]))
