"""What is kept is data: nothing in a checkpoint or a store is built into an object, whatever it looks like."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde import _msgpack
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory.cli.checkpoints import open_checkpoints
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import configured, learning_model, open_life

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.store.base import BaseStore

    from tests.doubles.doors import Door, Mode
    from tests.doubles.life import Life

ALEX = configured("alex", "first")


@dataclass
class Planted:
    """Stands for whatever somebody would like to have built; notes that it was."""

    built: ClassVar[list[str]] = []
    name: str = ""

    def __post_init__(self) -> None:
        self.built.append(self.name)


PLANTS: list[dict[str, Any]] = [
    {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "HumanMessage"], "kwargs": {"content": "x"}},
    {"lc": 2, "type": "constructor", "id": [*Planted.__module__.split("."), "Planted"], "kwargs": {"name": "lc"}},
    {"lc": 1, "type": "secret", "id": ["HOME"]},
]
TEXT = json.dumps(PLANTS)


async def test_what_looks_like_an_object_comes_back_from_a_thread_as_it_was(tmp_path: Path, mode: Mode) -> None:
    said = HumanMessage(TEXT, id="m", additional_kwargs={"plants": PLANTS}, response_metadata=PLANTS[1])
    config = {**ALEX, "metadata": {"plants": TEXT}}
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.call(life.agent, "invoke", {"messages": [said]}, config)
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.say("Hello.")
        values = (await life.call(life.agent, "get_state", ALEX)).values
        assert values["messages"][0] == said
        assert [type(plant) for plant in values["messages"][0].additional_kwargs["plants"]] == [dict] * len(PLANTS)
        await life.flush()
        found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=9)
        assert TEXT in {item.value["text"] for item in found}
    assert Planted.built == []


async def test_what_looks_like_an_object_comes_back_from_memory_as_text(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.say("I live in Lisbon.")
        await life.flush()
        (fact,) = await life.facts()
        await life.call(life.memory.for_user("alex"), "edit", fact.id, TEXT)
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        assert [fact.text for fact in await life.facts()] == [TEXT]
    assert Planted.built == []


@pytest.mark.parametrize("kind", ["memory", "chroma"])
async def test_what_looks_like_an_object_comes_back_from_a_store_as_it_was(
    tmp_path: Path, call: Door, kind: str
) -> None:
    async with open_store(tmp_path, embedding=WordEmbedding()) as chroma:
        store: BaseStore = chroma if kind == "chroma" else InMemoryStore()
        for value in (*PLANTS, {"text": "words", "deep": [{"plants": PLANTS}]}):
            await call(store, "put", ("home",), "k", value)
            item = await call(store, "get", ("home",), "k")
            assert item.value == value
            assert [found.value for found in await call(store, "search", ("home",), query="words")] == [value]
    assert Planted.built == []


def is_built_by(serde: SerializerProtocol, planted: tuple[str, bytes]) -> bool:
    """Whether reading makes an object of what was planted."""
    Planted.built.clear()
    serde.loads_typed(planted)
    return bool(Planted.built)


async def plant_in_thread(life: Life) -> None:
    """Write an object of ours into a thread's checkpoint, as somebody might who can write to the file."""
    await life.call(life.agent, "update_state", ALEX, {"recalled": Planted("here")}, as_node="recall")


def planted_in(path: Path) -> list[tuple[str, bytes]]:
    """The checkpoints of a file that hold the object, as they are written."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, checkpoint FROM checkpoints").fetchall()
    return [(kind, blob) for kind, blob in rows if b"Planted" in blob]


async def test_object_planted_in_a_checkpoint_is_not_built(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.say("I live in Lisbon.")
        await plant_in_thread(life)
        (blob,) = planted_in(tmp_path / "threads.sqlite")
        assert is_built_by(JsonPlusSerializer(allowed_msgpack_modules=True), blob), "a control"
    Planted.built.clear()
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        assert await life.say("I prefer tea.")
        await life.flush()
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]
    assert Planted.built == []


async def test_command_line_reads_its_threads_strictly_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_msgpack, "STRICT_MSGPACK_ENABLED", False)
    lenient = JsonPlusSerializer()
    planted = lenient.dumps_typed(Planted("here"))
    assert is_built_by(lenient, planted), "a control"
    async with open_checkpoints(tmp_path) as saver:
        assert not is_built_by(saver.serde, planted)
