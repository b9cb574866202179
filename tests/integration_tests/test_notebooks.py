"""The notebooks run as they stand, once and once more, and show what they showed when they were committed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebooks import execute

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def cells_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook: Any) -> list[list[str]]:
    """What each cell shows, as text; of a picture only that it is there: fonts differ from machine to machine."""
    return [[text_of(output) for output in cell.outputs] for cell in cells_of(notebook)]


def text_of(output: Any) -> str:
    if output.output_type == "stream":
        return str(output.text)
    if "image/png" in output.data:
        return "a picture"
    return str(output.data.get("text/html") or output.data["text/plain"])


def test_there_is_a_notebook_a_story() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "01_quickstart",
        "02_existing_agent",
        "03_own_graph",
        "04_inside_memory",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
async def test_notebook_runs_again_and_again_and_its_outputs_are_not_stale(path: Path) -> None:
    committed = nbformat.read(path, as_version=4)
    assert shown(await execute(path, times=2)) == shown(committed), "stale: run `make notebooks`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_ends_with_assertions_and_names_the_line_for_a_real_model(path: Path) -> None:
    first, *_, last = cells_of(nbformat.read(path, as_version=4))
    assert '# model, embedding = "openai:' in first.source
    assert last.source.count("assert ") > 4
    assert not last.outputs


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_tells_nothing_of_the_machine_it_ran_on(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|Users|root|tmp|usr|var)/|site-packages|iopub|Warning", text)
