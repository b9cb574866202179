"""Law 6 over real files: what is forgotten is nowhere, in no file, and comes back from nowhere."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from langchain_hybrid_memory import HybridMemory, SummaryConfig
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.doors import Door
from tests.doubles.life import AT_ONCE, SECONDS, close, configured, learning_model, open_checkpointer, talking_model
from tests.doubles.traces import files_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from langchain_core.messages import BaseMessage

    from tests.doubles.doors import Mode

ROOT = Path(__file__).parents[2]
MODEL = DeterministicFakeEmbedding(size=64)
SUMMARY = SummaryConfig(after_messages=4, keep_messages=2)
SAID = [
    "I live in Quetzalville.",
    "My friend Sarahquetz works at Googlequetz as a baker.",
    "I prefer teaquetz.",
    "I live in Portoquetz.",
]
KEPT = "I live in Ottawa."


def answer(messages: Sequence[BaseMessage]) -> str:
    return f"Noted, number {len(messages)}."


@asynccontextmanager
async def opened(mode: Mode, path: Path) -> AsyncIterator[tuple[HybridMemory, Any]]:
    """A memory over a directory, with an agent."""
    async with (
        open_checkpointer(mode, path / "threads.sqlite") as checkpointer,
        open_store(path / "memory", embedding=MODEL) as store,
    ):
        memory = HybridMemory(
            learning_model(), store=store, checkpointer=checkpointer, memorize=AT_ONCE, summary=SUMMARY
        )
        yield memory, memory.graph(talking_model(replies=answer))
        await close(memory, mode)


async def say(call: Door, memory: HybridMemory, agent: Any, user: str, thread: str, *texts: str) -> None:
    for text in texts:
        await call(agent, "invoke", {"messages": [("user", text)]}, configured(user, thread))
        await call(memory, "flush", SECONDS)


def traces(path: Path, texts: Sequence[str] = SAID) -> list[str]:
    return files_with(path, ["quetz", "Quetz"], MODEL.embed_documents(list(texts)))


async def test_forgotten_person_is_in_no_file(tmp_path: Path, call: Door, mode: Mode) -> None:
    async with opened(mode, tmp_path) as (memory, agent):
        await say(call, memory, agent, "alex", "of alex", *SAID)
        await say(call, memory, agent, "sam", "of sam", KEPT)
        alex, sam = memory.for_user("alex"), memory.for_user("sam")
        assert len(traces(tmp_path)) > 1
        receipt = await call(alex, "forget_everything")
        assert receipt.remaining == ()
        assert receipt.removed["messages"] == 8
        assert receipt.removed["checkpointed threads"] == receipt.removed["summaries"] == 1
        assert traces(tmp_path) == []
        assert [fact.value for fact in await call(sam, "facts")] == ["Ottawa"]
        state = await call(agent, "get_state", configured("sam", "of sam"))
        assert state.values["messages"][0].text == KEPT
        assert (await call(agent, "get_state", configured("alex", "of alex"))).values == {}
    assert traces(tmp_path) == []
    assert files_with(tmp_path, ["Ottawa"]) != []


async def test_forgotten_fact_is_in_no_file_and_its_threads_go_on_without_it(
    tmp_path: Path, call: Door, mode: Mode
) -> None:
    async with opened(mode, tmp_path) as (memory, agent):
        alex = memory.for_user("alex")
        await say(call, memory, agent, "alex", "told", *SAID[:3])
        await say(call, memory, agent, "alex", "asked", "Where do I live?")
        await say(call, memory, agent, "alex", "apart", "Good morning.")
        (home,) = [fact for fact in await call(alex, "facts") if fact.value == "Quetzalville"]
        assert files_with(tmp_path, ["Quetzalville"]) != []
        receipt = await call(alex, "forget", home.id)
        assert receipt.remaining == receipt.deleted_threads == ()
        assert receipt.removed["rewritten threads"] >= 2
        assert files_with(tmp_path, ["Quetzalville"], MODEL.embed_documents(SAID[:1])) == []
        await say(call, memory, agent, "alex", "told", "And now?")
        state = await call(agent, "get_state", configured("alex", "told"))
        assert [message.text for message in state.values["messages"]][::2] == ["[forgotten].", *SAID[1:3], "And now?"]
        assert [fact.value for fact in await call(alex, "facts") if fact.attribute == "residence"] == []
    assert files_with(tmp_path, ["Quetzalville"], MODEL.embed_documents(SAID[:1])) == []


async def test_forgotten_message_and_thread_are_in_no_file(tmp_path: Path, call: Door, mode: Mode) -> None:
    async with opened(mode, tmp_path) as (memory, agent):
        alex = memory.for_user("alex")
        await say(call, memory, agent, "alex", "first", SAID[0], SAID[2])
        await say(call, memory, agent, "alex", "second", SAID[1], KEPT)
        state = await call(agent, "get_state", configured("alex", "first"))
        receipt = await call(alex, "forget_message", "first", state.values["messages"][0].id)
        assert (receipt.removed["messages"], receipt.removed["facts"], receipt.remaining) == (1, 1, ())
        assert files_with(tmp_path, ["Quetzalville"]) == []
        assert files_with(tmp_path, ["teaquetz"]) != []
        receipt = await call(alex, "forget_thread", "second")
        assert (receipt.removed["messages"], receipt.remaining) == (4, ())
        assert files_with(tmp_path, ["Googlequetz", "Ottawa", "Sarahquetz"]) == []
        assert (await call(agent, "get_state", configured("alex", "second"))).values == {}
        assert sorted(fact.value for fact in await call(alex, "facts")) == ["teaquetz"]
