"""The README's examples run as they stand; only the models, and the Chroma server's port, are not those named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.doubles.embedding import WordEmbedding
from tests.doubles.extractor import extracting_model

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from tests.doubles.scripted import ScriptedChatModel

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
LINES = 15


def chat_model(*_: Any, **__: Any) -> ScriptedChatModel:
    return extracting_model(replies=lambda messages: f"I was shown: {messages[-1].text}")


@pytest.fixture(autouse=True)
def doubles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chroma_client: ClientAPI) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("langchain_hybrid_memory.chat_model.init_chat_model", chat_model)
    monkeypatch.setattr("langchain.agents.factory.init_chat_model", chat_model)
    monkeypatch.setattr("langchain_hybrid_memory.hybrid_memory.create_embedding", lambda _: WordEmbedding())
    monkeypatch.setattr("langchain_hybrid_memory.embedding.create_embedding", lambda _: WordEmbedding())
    monkeypatch.setattr("chromadb.HttpClient", lambda **_: chroma_client)


DOORS = (
    "memory.graph(",
    "memory.middleware()",
    'add_node("recall", memory.nodes.recall)',
    "memory.nodes.respond(agent)",
    "memory.tools()",
    "memory.as_retriever(",
    "memory.for_user(",
    "memory.memorize_graph()",
    "chromadb.HttpClient(",
    "ChromaStore.open(",
)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_has_an_example(door: str) -> None:
    assert any(door in example for example in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_is_short_and_runs(example: str) -> None:
    assert len([line for line in example.splitlines() if line.strip()]) <= LINES
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own text


def test_examples_remember_from_one_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    for example in EXAMPLES:
        exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own text
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == "I was shown: Hi, I'm Alex and I live in Lisbon."
    assert second.startswith("I was shown: <memory>"), "on Friday the agent is told"
    assert any("lives in Lisbon" in line for line in rest)
    assert any("Google" in line for line in rest)
