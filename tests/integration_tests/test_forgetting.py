"""Law 6 over real files: what is forgotten is nowhere, in no file, and comes back from nowhere."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import interrupt

from langchain_hybrid_memory import HybridMemory, RecallConfig, SummaryConfig, user_data
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.state import MemoryState
from tests.doubles.doors import Door
from tests.doubles.life import (
    AT_ONCE,
    SECONDS,
    SharedStore,
    close,
    configured,
    gated,
    learning_model,
    open_checkpointer,
    puts,
    store_in_memory,
    talking_model,
    until,
    watch_nothing,
)
from tests.doubles.traces import files_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from langchain_core.messages import BaseMessage
    from langgraph.store.base import Op

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


POINTS = ["checkpoint", "store", "files", "erase"]


@pytest.mark.parametrize("point", POINTS)
async def test_forgetting_that_was_killed_is_finished_by_the_next_process(
    tmp_path: Path, point: str, *, is_full: bool
) -> None:
    if point in ("store", "files") and not is_full:
        pytest.skip("a part of the full run")
    call = Door("sync")
    async with opened("sync", tmp_path) as (memory, agent):
        await say(call, memory, agent, "alex", "one", *SAID[:2])
        await say(call, memory, agent, "alex", "two", *SAID[2:])
    command = [sys.executable, "-m", "tests.integration_tests.forget_and_die", str(tmp_path), point]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=False, timeout=120, capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    assert traces(tmp_path) != []
    async with opened("sync", tmp_path) as (memory, agent):
        receipt = await call(memory.for_user("alex"), "forget_everything")
        assert receipt.remaining == ()
        assert traces(tmp_path) == []
        for thread in ("one", "two"):
            assert (await call(agent, "get_state", configured("alex", thread))).values == {}
        assert memory.store.search((), limit=100) == []


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


@pytest.mark.parametrize("what", ["message", "thread"])
async def test_words_go_from_other_threads_in_which_they_were_brought_back(
    tmp_path: Path, call: Door, mode: Mode, what: str
) -> None:
    async with opened(mode, tmp_path) as (memory, agent):
        alex = memory.for_user("alex")
        await say(call, memory, agent, "alex", "told", "Zosterellaquetz itches.")
        await say(call, memory, agent, "alex", "asked", "What itches?")
        await say(call, memory, agent, "alex", "apart", "Good morning.")
        assert await call(alex, "facts") == []
        told = (await call(agent, "get_state", configured("alex", "told"))).values["messages"][0].id
        apart = await call(agent, "get_state", configured("alex", "apart"))
        receipt = await (
            call(alex, "forget_message", "told", told) if what == "message" else call(alex, "forget_thread", "told")
        )
        assert receipt.remaining == ()
        assert files_with(tmp_path, ["Zosterellaquetz"]) == []
        assert (await call(agent, "get_state", configured("alex", "apart"))).config == apart.config


async def test_words_go_from_what_the_tools_were_told_and_answered(tmp_path: Path, call: Door, mode: Mode) -> None:
    async with opened(mode, tmp_path) as (memory, _):

        def agent(*replies: str | AIMessage) -> Any:
            model = talking_model(replies=[*replies, "Done."])
            return create_agent(
                model, tools=memory.tools(), middleware=[memory.middleware()], checkpointer=memory.checkpointer
            )

        def calling(name: str, **arguments: str) -> AIMessage:
            block = {"type": "tool_use", "name": name, "input": arguments, "id": name}
            return AIMessage([block], tool_calls=[{"name": name, "args": arguments, "id": name}])

        alex, said = memory.for_user("alex"), "I have zosterellaquetz."
        saving = agent(calling("save_memory", fact="The user has zosterellaquetz.", quote=said))
        await say(call, memory, saving, "alex", "saved", said)
        await say(
            call, memory, agent(calling("search_memory", query="zosterellaquetz")), "alex", "searched", "Am I ill?"
        )
        (fact,) = await call(alex, "facts")
        receipt = await call(alex, "forget", fact.id)
        assert receipt.remaining == ()
        assert files_with(tmp_path, ["zosterellaquetz"]) == []
        state = await call(saving, "get_state", configured("alex", "saved"))
        assert [message.type for message in state.values["messages"]] == ["human", "ai", "tool", "ai"]


async def test_forgotten_person_is_in_no_thread_of_an_agent_that_has_only_the_tools(
    tmp_path: Path, call: Door, mode: Mode
) -> None:
    async with opened(mode, tmp_path) as (memory, _):
        for thread, name, arguments in (
            ("saved", "save_memory", {"fact": "The user has zosterellaquetz."}),
            ("searched", "search_memory", {"query": "zosterellaquetz"}),
        ):
            calling = AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])
            agent = create_agent(
                talking_model(replies=[calling, "Done."]), tools=memory.tools(), checkpointer=memory.checkpointer
            )
            await call(agent, "invoke", {"messages": [("user", "Go on.")]}, configured("alex", thread))
        assert files_with(tmp_path, ["zosterellaquetz"]) != []
        receipt = await call(memory.for_user("alex"), "forget_everything")
        assert receipt.removed["checkpointed threads"] == 2
        assert files_with(tmp_path, ["zosterellaquetz"]) == []


async def test_fact_that_a_tool_forgets_stays_only_in_the_thread_that_asked(
    tmp_path: Path, call: Door, mode: Mode
) -> None:
    async with opened(mode, tmp_path) as (memory, agent):
        alex = memory.for_user("alex")
        await say(call, memory, agent, "alex", "told", SAID[0])
        (fact,) = await call(alex, "facts")
        forgetting = AIMessage("", tool_calls=[{"name": "forget_memory", "args": {"fact": fact.id}, "id": "1"}])
        model = talking_model(replies=[forgetting, "Done."])
        asked = create_agent(model, tools=memory.tools(), checkpointer=memory.checkpointer)
        state = await call(asked, "invoke", {"messages": [("user", "Forget it.")]}, configured("alex", "asked"))
        assert state["messages"][2].text == (
            "Forgotten: 1 facts, 1 quotes, 1 entities, 1 rewritten threads. Not removed: thread 'asked', which is in "
            "the middle of this turn. Do not mention it again."
        )
        assert files_with(tmp_path, ["Quetzalville"]) == []


@pytest.mark.parametrize("is_same_process", [True, False])
async def test_what_is_learned_while_everything_is_forgotten_does_not_come_back(
    call: Door, *, is_same_process: bool
) -> None:
    inner, brain = store_in_memory(), gated(learning_model())
    memory = HybridMemory(brain, store=SharedStore(inner, watch_nothing), memorize=AT_ONCE, summary=SUMMARY)
    other = HybridMemory(None, store=SharedStore(inner, watch_nothing))
    said = [("user", text) for text in SAID * 3]
    await call(memory.for_user("alex"), "record", said, thread_id="t1")
    await until(brain.entered)
    forgetting = asyncio.create_task(call((memory if is_same_process else other).for_user("alex"), "forget_everything"))
    if not is_same_process:
        await forgetting
    await asyncio.sleep(0.05)
    brain.gate.set()
    await forgetting
    await call(memory, "close")
    assert [item for item in inner.search((), limit=100) if item.namespace[1] != "lease"] == []
    assert len(brain.calls_of("structured")) == 1


async def test_message_that_another_process_is_embedding_stays_forgotten(call: Door) -> None:
    inner = store_in_memory()
    others: list[HybridMemory] = []

    def watch(when: str, ops: list[Op]) -> None:
        if when == "before" and not others and any(put.index for put in puts(ops, "messages")):
            others.append(HybridMemory(None, store=SharedStore(inner, watch_nothing), extraction="manual"))
            others[0].for_user("alex").forget_everything()

    memory = HybridMemory(None, store=SharedStore(inner, watch))
    await call(memory.for_user("alex"), "record", [("user", SAID[0])], thread_id="t1")
    await call(memory, "flush", SECONDS)
    assert others
    assert [item for item in inner.search((), limit=100) if item.namespace[1] != "lease"] == []


@pytest.mark.parametrize("is_patient", [True, False])
async def test_turn_that_missed_its_deadline_writes_nothing_after_forgetting(
    monkeypatch: pytest.MonkeyPatch, *, is_patient: bool
) -> None:
    gate, inner = threading.Event(), store_in_memory()

    def watch(when: str, ops: list[Op]) -> None:
        if when == "before" and any(put.value for put in puts(ops, "messages")):
            assert gate.wait(SECONDS)

    store = SharedStore(inner, watch)
    memory = HybridMemory(None, store=store, recall=RecallConfig(deadline_seconds=0.05), extraction="manual")
    agent: Any = memory.graph(talking_model())
    await asyncio.to_thread(agent.invoke, {"messages": [("user", SAID[0])]}, configured("alex", "t1"))
    monkeypatch.setattr(user_data, "LATE_SECONDS", SECONDS if is_patient else 0.0)
    forgetting = asyncio.create_task(asyncio.to_thread(memory.for_user("alex").forget_everything))
    await asyncio.wait({forgetting}, timeout=0.1 if is_patient else SECONDS)
    gate.set()
    receipt = await forgetting
    assert any("missed its deadline" in each for each in receipt.remaining) is not is_patient
    assert await asyncio.to_thread(memory._core.patience.until_none_is_left(SECONDS).run)
    if is_patient:
        assert [item for item in inner.search((), limit=100) if item.namespace[1] != "lease"] == []


async def test_fact_that_another_process_is_learning_again_stays_forgotten(call: Door) -> None:
    inner = store_in_memory()
    first = HybridMemory(learning_model(), store=SharedStore(inner, watch_nothing), memorize=AT_ONCE)
    alex = first.for_user("alex")
    await call(alex, "record", [("user", SAID[0])], thread_id="t1")
    await call(first, "flush", SECONDS)
    (home,) = await call(alex, "facts")
    brain = gated(learning_model())
    worker = HybridMemory(brain, store=SharedStore(inner, watch_nothing), memorize=AT_ONCE, summary=SUMMARY)
    await call(worker.for_user("alex"), "record", [("user", text) for text in SAID[1:] * 2], thread_id="t1")
    await until(brain.entered)
    await call(alex, "forget", home.id)
    brain.gate.set()
    await call(worker, "flush", SECONDS)
    assert "Quetzalville" not in json.dumps([item.value for item in inner.search((), limit=100)])
    assert "teaquetz" in [fact.value for fact in await call(alex, "facts")]


def waiting_agent(memory: HybridMemory) -> Any:
    """A graph that asks a person before it answers."""

    def respond(_: MemoryState) -> dict[str, Any]:
        return {"messages": [("assistant", str(interrupt(SAID[0])))]}

    nodes: Any = [("recall", memory.nodes.recall), ("respond", respond)]
    return compiled(StateGraph(MemoryState).add_sequence(nodes), memory)


def nesting_agent(memory: HybridMemory) -> Any:
    """A graph whose answer comes from a graph that keeps a thread of its own within it."""

    def respond(_: MessagesState) -> dict[str, Any]:
        return {"messages": [("assistant", "Noted.")]}

    nested: Any = StateGraph(MessagesState)
    nested.add_node("respond", respond).set_entry_point("respond")
    nodes: Any = [
        ("recall", memory.nodes.recall),
        ("nested", nested.compile(checkpointer=True)),
        ("record", memory.nodes.record),
    ]
    return compiled(StateGraph(MemoryState).add_sequence(nodes), memory)


def compiled(builder: Any, memory: HybridMemory) -> Any:
    return builder.set_entry_point("recall").compile(checkpointer=memory.checkpointer, store=memory.store)


@pytest.mark.parametrize("agent_of", [waiting_agent, nesting_agent])
async def test_thread_that_cannot_be_rewritten_is_deleted_whole(
    tmp_path: Path, call: Door, mode: Mode, agent_of: Callable[[HybridMemory], Any]
) -> None:
    async with opened(mode, tmp_path) as (memory, agent):
        await say(call, memory, agent, "alex", "t1", SAID[0])
        told = {"messages": [("user", SAID[0])]}
        await call(agent_of(memory), "invoke", told, configured("alex", "whole"))
        await call(memory, "flush", SECONDS)
        (home,) = await call(memory.for_user("alex"), "facts")
        receipt = await call(memory.for_user("alex"), "forget", home.id)
        assert receipt.deleted_threads == ("whole",)
        assert files_with(tmp_path, ["Quetzalville"]) == []
