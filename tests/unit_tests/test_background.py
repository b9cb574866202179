"""Learning goes on behind the turn: out of its way, one run a user, and never lost with the process or the loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import HybridMemory, MemorizeConfig, background
from langchain_hybrid_memory.claims import Claims
from langchain_hybrid_memory.errors import HybridMemoryError
from tests.doubles.doors import Door
from tests.doubles.life import (
    AT_ONCE,
    SECONDS,
    GatedChatModel,
    Life,
    WatchedStore,
    close,
    gated,
    learning_model,
    puts,
    store_in_memory,
    talking_model,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langgraph.store.base import Op

    from langchain_hybrid_memory.reports import Report
    from tests.doubles.doors import Mode
    from tests.doubles.scripted import ScriptedChatModel


def live(mode: Mode, brain: ScriptedChatModel | None, **options: Any) -> Life:
    """Talk to an agent whose memory is gone with the test."""
    options = {"store": store_in_memory(), "checkpointer": InMemorySaver(), "memorize": AT_ONCE, **options}
    memory, chat = HybridMemory(brain, **options), talking_model()
    return Life(memory, memory.graph(chat), chat, Door(mode))


@asynccontextmanager
async def held(mode: Mode, **options: Any) -> AsyncIterator[tuple[Life, GatedChatModel]]:
    """Open a memory whose model does not answer before its gate is set; nothing runs afterwards."""
    brain = gated(learning_model())
    life = live(mode, brain, **options)
    yield life, brain
    brain.gate.set()
    await life.flush()


async def test_reply_does_not_wait_for_extraction(mode: Mode) -> None:
    async with held(mode) as (life, brain):
        assert await life.say("I live in Lisbon.") == "Noted, number 1."
        await until(brain.entered)
        assert not await life.facts()
        brain.gate.set()
        assert (await life.flush()).pending == 0
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]


async def test_nothing_is_started_while_a_turn_still_ends(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "REST_SECONDS", 10 * SECONDS)
    written: list[Op] = []
    store = WatchedStore(store_in_memory(), lambda when, ops: written.extend(ops) if when == "before" else None)
    life = live(mode, learning_model(), store=store)
    await life.say("I live in Lisbon.")
    await asyncio.sleep(0.1)
    assert not any(op.index for op in puts(written, "messages")), "it has the processor to itself"
    assert (await life.flush()).pending == 0, "and whoever waits for memory does not wait for that"
    assert any(op.index for op in puts(written, "messages"))


async def test_inline_turn_ends_when_it_is_learned(mode: Mode) -> None:
    async with held(mode, extraction="inline") as (life, brain):
        turn = asyncio.create_task(life.say("I live in Lisbon."))
        await until(brain.entered)
        assert not turn.done()
        brain.gate.set()
        await turn
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]


@pytest.mark.parametrize("extraction", ["background", "inline"])
async def test_one_run_a_user_at_a_time(mode: Mode, extraction: str) -> None:
    async with held(mode, extraction=extraction) as (life, brain):
        turns = [asyncio.create_task(life.say("I prefer tea.", thread="tea"))]
        await until(brain.entered)
        brain.entered.clear()
        turns += [asyncio.create_task(life.say(f"I prefer {drink}.", thread=drink)) for drink in ("milk", "juice")]
        await asyncio.sleep(0.1)
        assert not brain.entered.is_set()
        brain.gate.set()
        await asyncio.gather(*turns)
        await life.flush()
        assert sum(call.messages[-1].text.count("\n[") for call in brain.calls) == 6  # no message was shown twice
        assert sorted(fact.value for fact in await life.facts()) == ["juice", "milk", "tea"]


async def test_turn_during_a_run_is_picked_up_by_it(mode: Mode) -> None:
    async with held(mode) as (life, brain):
        await life.say("I live in Lisbon.")
        await until(brain.entered)
        await life.say("I prefer tea.")
        brain.gate.set()
        await close(life.memory, mode)  # waits, but asks for nothing
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]


async def test_users_do_not_wait_for_each_other(mode: Mode) -> None:
    async with held(mode) as (life, brain):
        await life.say("I live in Lisbon.", user="alex")
        await until(brain.entered)
        await life.say("I live in Rome.", user="maria", thread="other")
        brain.gate.set()
        await close(life.memory, mode)
        assert [[fact.value for fact in await life.facts(user)] for user in ("alex", "maria")] == [["Lisbon"], ["Rome"]]


async def test_flush_returns_in_time_and_says_what_is_left(mode: Mode) -> None:
    async with held(mode) as (life, brain):
        await life.say("I live in Lisbon.")
        await until(brain.entered)
        status = await life.call(life.memory, "flush", 0.05)
        assert (status.pending, status.failed, status.running) == (1, 0, 1)
        brain.gate.set()
        assert await life.flush() == await life.call(life.memory, "status")


async def test_flush_takes_all_users(mode: Mode) -> None:
    life = live(mode, learning_model(), extraction="manual")
    for user in ("alex", "maria"):
        await life.say("I live in Lisbon.", user=user, thread=user)
    status = await life.call(life.memory, "status")
    assert (status.pending, status.calls) == (2, 0)
    status = await life.flush()
    assert (status.pending, status.running, status.calls) == (0, 0, 2)
    assert status.prompt_tokens > status.completion_tokens > 0


async def test_flush_without_a_model_only_indexes(mode: Mode) -> None:
    life = live(mode, None)
    await life.say("I live in Lisbon.")
    assert (await life.flush()).pending == 0
    found = await life.call(life.memory.store, "search", ("memory", "user"), filter={"is_indexed": True})
    assert len(found) == 2


async def test_flush_on_an_empty_store_is_done(mode: Mode) -> None:
    assert (await live(mode, learning_model()).flush()).pending == 0


async def test_closing_lets_what_runs_end(mode: Mode) -> None:
    async with held(mode) as (life, brain):
        await life.say("I live in Lisbon.")
        await until(brain.entered)
        asyncio.get_running_loop().call_later(0.05, brain.gate.set)
        await close(life.memory, mode)
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]


async def test_closing_does_not_wait_for_ever(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_hybrid_memory.hybrid_memory.CLOSE_SECONDS", 0.05)
    async with held(mode) as (life, brain):
        await life.say("I live in Lisbon.")
        await until(brain.entered)
        await close(life.memory, mode)
        assert not await life.facts()


async def test_closed_memory_does_not_try_again_what_failed_until_it_is_used(mode: Mode) -> None:
    runs = threading.Semaphore(0)
    brain = learning_model(failures={("structured", call): RuntimeError() for call in range(1_000)})
    memorize = MemorizeConfig(after_turns=1, retry_seconds=0.001)
    life = live(mode, brain, memorize=memorize, on_memorized=lambda *_: runs.release())
    await life.say("I live in Lisbon.")
    await close(life.memory, mode)
    while runs.acquire(blocking=False):
        pass
    assert not await asyncio.to_thread(runs.acquire, timeout=0.3)
    await life.say("I prefer tea.")
    for _ in range(3):  # it tries again and again
        assert await asyncio.to_thread(runs.acquire, timeout=SECONDS)
    await close(life.memory, mode)


async def test_block_closes_the_memory(mode: Mode) -> None:
    life = live(mode, learning_model())
    if mode == "async":
        async with life.memory as memory:
            await life.say("I live in Lisbon.")
    else:
        with life.memory as memory:
            await life.say("I live in Lisbon.")
    assert memory is life.memory
    assert [fact.value for fact in await life.facts()] == ["Lisbon"]


async def test_forgetting_everything_during_a_run_leaves_nothing(mode: Mode) -> None:
    async with held(mode) as (life, brain):
        await life.say("I live in Lisbon.")
        await life.say("I prefer tea.")
        await until(brain.entered)
        await life.say("I live in Lisbon.", user="maria", thread="other")
        forgetting = asyncio.create_task(life.call(life.memory.for_user("alex"), "forget_everything"))
        await asyncio.sleep(0.05)
        assert not forgetting.done()
        brain.gate.set()
        assert (await forgetting).remaining == ()
        await close(life.memory, mode)
        left = await life.call(life.memory.store, "search", ("memory",), limit=100)
        assert left
        assert not [item for item in left if "alex" in item.namespace]
        assert not await life.call(life.memory.checkpointer, "get_tuple", {"configurable": {"thread_id": "first"}})


async def test_cancelled_forgetting_holds_up_nothing(mode: Mode) -> None:
    async with held("async") as (life, brain):
        await life.say("I live in Lisbon.")
        await until(brain.entered)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(life.memory.for_user("alex").aforget_everything(), 0.05)
        brain.gate.set()
        await Door(mode)(life.memory, "flush", SECONDS)
        await life.say("I prefer tea.")
        assert (await life.flush()).running == 0
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]


async def test_work_that_fails_to_end_holds_up_nobody_and_is_told(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    life, rest, failed = live(mode, learning_model()), Claims.rest, threading.Event()
    told: list[object] = []

    def fail_once(*given: Any) -> Any:
        if not failed.is_set():
            failed.set()
            msg = "can't start new thread"
            raise RuntimeError(msg)
        return rest(*given)

    monkeypatch.setattr(Claims, "rest", fail_once)
    monkeypatch.setattr(threading, "excepthook", told.append)
    await life.say("I live in Lisbon.")
    await until(failed)
    await life.say("I prefer tea.")
    assert (await life.flush()).running == 0
    assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]
    assert told or "learning in the background failed: RuntimeError" in caplog.text


async def test_what_was_asked_for_while_forgetting_is_done_afterwards() -> None:
    forgetting, seen = threading.Event(), threading.Event()

    def watch(when: str, ops: list[Op]) -> None:
        if when == "before" and any(op.value is None for op in puts(ops, "facts")):
            forgetting.set()
            assert seen.wait(SECONDS)

    brain, store = learning_model(), WatchedStore(store_in_memory(), watch)
    life = live("sync", brain, store=store)
    await life.say("I live in Lisbon.")
    await life.flush()
    (home,) = await life.facts()
    task = asyncio.create_task(life.call(life.memory.for_user("alex"), "forget", home.id))
    await until(forgetting)
    await life.say("I prefer tea.")
    seen.set()
    await task
    await close(life.memory, "sync")
    assert [fact.value for fact in await life.facts()] == ["tea"]


async def test_idle_memory_keeps_no_thread_and_no_task() -> None:
    before = set(threading.enumerate())  # other tests' memories may still wait for more turns
    life = live("sync", learning_model())
    for user in ("alex", "maria"):
        await life.say("I live in Lisbon.", user=user, thread=user)
        await life.flush()
        await asyncio.sleep(0.02)
        started = set(threading.enumerate()) - before
        assert not [thread for thread in started if thread.name == "hybrid-memory"]
    assert not life.memory._background._tasks


async def test_listener_hears_what_was_learned(mode: Mode) -> None:
    heard: list[tuple[str, Report]] = []
    life = live(mode, learning_model(), on_memorized=lambda user, report: heard.append((user, report)))
    await life.say("I live in Lisbon.")
    await life.flush()
    assert {user for user, _ in heard} == {"alex"}
    learned = [text for _, report in heard for text in report.get("learned", [])]
    assert [text for text in learned if "lives in Lisbon" in text] == learned
    assert len(learned) == 1


@pytest.mark.parametrize("listens", [True, False])
async def test_model_that_fails_is_told_to_the_listener_or_else_to_the_log(
    mode: Mode, caplog: pytest.LogCaptureFixture, *, listens: bool
) -> None:
    reports: list[Report] = []
    brain = learning_model(failures={("structured", 0): RuntimeError("I live in Lisbon.")})
    life = live(mode, brain, on_memorized=(lambda _, report: reports.append(report)) if listens else None)
    await life.say("I live in Lisbon.")
    await life.flush()
    logged = [record.getMessage() for record in caplog.records]
    failed = ["not everything was learned, the rest stays queued: RuntimeError"]
    assert logged == ([] if listens else failed)
    assert [error for report in reports for error in report.get("errors", [])] == (["RuntimeError"] if listens else [])


@pytest.mark.parametrize("extraction", ["background", "inline"])
async def test_listener_that_fails_hurts_nobody(mode: Mode, extraction: str, caplog: pytest.LogCaptureFixture) -> None:
    def listener(*_: object) -> None:
        msg = "the screen is gone"
        raise RuntimeError(msg)

    life = live(mode, learning_model(), on_memorized=listener, extraction=extraction)
    for text in ("I live in Lisbon.", "I prefer tea."):
        assert await life.say(text)
        assert (await life.flush()).running == 0
    assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]
    assert "on_memorized failed: RuntimeError" in caplog.text


def test_loop_that_ends_during_extraction_loses_nothing_and_leaves_no_warning() -> None:
    brain, store = gated(learning_model()), store_in_memory()
    life = live("async", brain, store=store)

    async def turn(text: str) -> None:
        await life.say(text)
        assert await asyncio.to_thread(brain.entered.wait, SECONDS)

    for text in ("I live in Lisbon.", "I prefer tea."):
        brain.entered.clear()
        asyncio.run(turn(text))
        assert life.memory._background._claims.count == 0
    assert [item.value["attempts"] for item in store.search(("memory", "pending"))] == [0] * 4
    brain.gate.set()
    assert life.memory.flush(SECONDS).pending == 0
    assert sorted(fact.value for fact in life.memory.for_user("alex").facts()) == ["Lisbon", "tea"]


def test_loop_that_ends_with_the_turn_holds_nobody() -> None:
    life = live("async", learning_model())
    for number in range(5):
        asyncio.run(life.say(f"I prefer drink {number}."))
        assert life.memory._background._claims.count == 0
    assert life.memory.flush(SECONDS).pending == 0


def test_user_of_a_loop_that_stopped_is_worked_on_by_others() -> None:
    brain = gated(learning_model())
    life = live("async", brain)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(life.say("I live in Lisbon."))
    assert not life.memory.for_user("alex").facts()
    brain.gate.set()
    assert life.memory.flush(SECONDS).pending == 0
    assert [fact.value for fact in life.memory.for_user("alex").facts()] == ["Lisbon"]
    pending = asyncio.all_tasks(loop)
    loop.run_until_complete(asyncio.gather(*pending))
    loop.close()


async def test_waiting_on_the_loop_that_learns_is_refused_and_not_a_deadlock() -> None:
    async with held("async") as (life, brain):
        await life.say("I live in Lisbon.")
        with pytest.raises(HybridMemoryError, match="await the method's twin"):
            life.memory.flush()
        with pytest.raises(HybridMemoryError, match="await the method's twin"):
            life.memory.for_user("alex").forget_everything()
        life.memory.close()
        brain.gate.set()
        assert (await life.flush()).pending == 0


async def test_sync_and_async_turns_share_one_memory() -> None:
    brain = learning_model()
    life = live("async", brain)
    sync = Life(life.memory, life.agent, life.chat, Door("sync"))
    for number in range(6):
        await (life if number % 2 else sync).say(f"I prefer drink number {number}.")
    assert (await life.flush()).pending == 0
    assert len(await life.facts()) == 6
