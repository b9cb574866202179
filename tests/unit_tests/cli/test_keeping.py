"""`export`, `import` of an export, and `forget` from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import HumanMessage
from typer.testing import CliRunner

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.cli import opening
from langchain_hybrid_memory.cli.app import app
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding

if TYPE_CHECKING:
    from pathlib import Path


def test_memory_is_exported_forgotten_and_imported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "create_embedding", lambda _: WordEmbedding())
    where, file = tmp_path / "memory", tmp_path / "alex.jsonl"
    with open_store(where, embedding=WordEmbedding()) as store:
        HybridMemory(None, store=store).for_user("alex").record([("user", "I live in Quetzalville.")], thread_id="t1")

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--user", "alex", "--path", str(where)])
        assert result.exit_code == 0, result.output
        return result.output

    assert "exported 3 items" in run("export", str(file))
    assert "messages: 1" in run("forget", "--everything", "--yes")
    assert not [held for held in where.rglob("*") if held.is_file() and b"Quetzal" in held.read_bytes()]
    assert "restored 3 items" in run("import", str(file))
    assert "Quetzalville" in run("search", "Where do I live in Quetzalville?")


def test_nothing_is_forgotten_without_being_named(tmp_path: Path) -> None:
    for words in (["forget"], ["forget", "f1", "--everything"]):
        assert CliRunner().invoke(app, [*words, "--user", "alex", "--path", str(tmp_path)]).exit_code == 2


def test_id_of_no_fact_is_an_error_that_says_nothing_was_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the id of a message, which `search` shows too."""
    monkeypatch.setattr(opening, "create_embedding", lambda _: WordEmbedding())
    with open_store(tmp_path, embedding=WordEmbedding()) as store:
        HybridMemory(None, store=store).for_user("alex").record([HumanMessage("Hello.", id="m1")], thread_id="t1")
    result = CliRunner().invoke(app, ["forget", "m1", "--user", "alex", "--path", str(tmp_path)])
    assert (result.exit_code, "has no fact 'm1', and nothing was forgotten" in result.output) == (1, True)
