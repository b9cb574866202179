"""Threads are kept in SQLite, of each only the latest checkpoint."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.cli.checkpoints import FILE, keep_latest, leave_no_trace, open_checkpoints
from langchain_hybrid_memory.errors import ConfigurationError, StorageError
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import talking_model

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "t1"}}
TURNS = 200


class Talk(TypedDict):
    messages: Annotated[list[Any], add_messages]


class Sums(TypedDict):
    numbers: Annotated[list[int], lambda old, new: old + new]


def reply(state: Talk) -> dict[str, Any]:
    return {"messages": [("ai", f"number {len(state['messages'])} " + "word " * 40)]}


def rows(folder: Path, table: str) -> int:
    with sqlite3.connect(folder / FILE) as connection:
        count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own names
    connection.close()
    return count


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"{FILE}*"))


def holds(folder: Path, words: bytes) -> bool:
    return any(words in path.read_bytes() for path in folder.iterdir())


def talking(saver: Any) -> Any:
    return StateGraph(Talk).add_node(reply).add_edge(START, "reply").compile(checkpointer=saver)


async def test_two_hundred_turns_stay_small_and_hold_every_message(tmp_path: Path) -> None:
    async with open_checkpoints(tmp_path) as saver:
        for number in range(TURNS):
            await talking(saver).ainvoke({"messages": [("user", f"question {number}")]}, THREAD)
            await keep_latest(saver, "t1")
    assert rows(tmp_path, "checkpoints") == 1
    assert rows(tmp_path, "writes") == 0
    assert size(tmp_path) < 1_000_000
    async with open_checkpoints(tmp_path) as saver:
        state = await talking(saver).aget_state(THREAD)
    assert len(state.values["messages"]) == 2 * TURNS


async def test_thread_goes_on_in_the_next_process(tmp_path: Path) -> None:
    for number in range(3):
        async with open_checkpoints(tmp_path) as saver:
            result = await talking(saver).ainvoke({"messages": [("user", f"question {number}")]}, THREAD)
            await keep_latest(saver, "t1")
    assert [message.text.split()[:2] for message in result["messages"]][1::2] == [
        ["number", "1"],
        ["number", "3"],
        ["number", "5"],
    ]


async def test_memory_goes_on_where_it_was(tmp_path: Path) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": "t1", "user_id": "alex"}}
    with open_store(tmp_path, embedding=WordEmbedding()) as store:
        for number in range(3):
            async with (
                open_checkpoints(tmp_path) as saver,
                HybridMemory(None, store=store, checkpointer=saver) as memory,
            ):
                graph = memory.graph(talking_model())
                await graph.ainvoke({"messages": [HumanMessage(f"question {number}", id=str(number))]}, config)
                await keep_latest(saver, "t1")
                state = await graph.aget_state(config)
        assert len(state.values["messages"]) == 6
        assert state.values["recorded_through"] == state.values["messages"][-1].id


async def test_other_threads_are_left_alone(tmp_path: Path) -> None:
    async with open_checkpoints(tmp_path) as saver:
        other: RunnableConfig = {"configurable": {"thread_id": "t2"}}
        await talking(saver).ainvoke({"messages": [("user", "hello")]}, other)
        before = [item async for item in saver.alist(other)]
        await keep_latest(saver, "t1")
        assert [item async for item in saver.alist(other)] == before


async def test_interrupted_thread_resumes_from_its_pending_writes(tmp_path: Path) -> None:
    calls: list[str] = []
    failing = [True]

    def steady(_: Sums) -> dict[str, Any]:
        calls.append("steady")
        return {"numbers": [1]}

    async def shaky(_: Sums) -> dict[str, Any]:
        calls.append("shaky")
        if failing:
            while not rows(tmp_path, "writes"):  # noqa: ASYNC110 - what the other node gave is saved by another thread
                await asyncio.sleep(0.01)
            msg = "the model is away"
            raise ConnectionError(msg)
        return {"numbers": [2]}

    def graph(saver: Any) -> Any:
        builder: Any = StateGraph(Sums)
        builder.add_node(steady).add_node(shaky)
        return builder.add_edge(START, "steady").add_edge(START, "shaky").compile(checkpointer=saver)

    async with open_checkpoints(tmp_path) as saver:
        with pytest.raises(ConnectionError):
            await graph(saver).ainvoke({"numbers": [0]}, THREAD)
        assert rows(tmp_path, "writes") > 0
        await keep_latest(saver, "t1")
    failing.clear()
    async with open_checkpoints(tmp_path) as saver:
        result = await graph(saver).ainvoke(None, THREAD)
    assert sorted(result["numbers"]) == [0, 1, 2]
    assert calls.count("steady") == 1


async def test_deleted_text_is_not_in_the_files(tmp_path: Path) -> None:
    async with open_checkpoints(tmp_path) as saver:
        await talking(saver).ainvoke({"messages": [("user", "the password is xyzzy")]}, THREAD)
        assert holds(tmp_path, b"xyzzy")
        await saver.adelete_thread("t1")
        await leave_no_trace(saver)
        assert not holds(tmp_path, b"xyzzy")


async def test_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.sqlite.aio", None)
    with pytest.raises(ConfigurationError, match=r'pip install "langchain-hybrid-memory\[sqlite\]"'):
        async with open_checkpoints(tmp_path):
            pass


async def test_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageError, match="file is not a database"):
        async with open_checkpoints(tmp_path):
            pass
