"""Turns that come fast share one model call; what they say is findable at once; nobody spends more than a day's cap."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import ExtractConfig, HybridMemory, MemorizeConfig
from langchain_hybrid_memory.ledger import ENTRIES, Cost
from tests.doubles.doors import Door
from tests.doubles.life import SECONDS, Life, close, learning_model, store_in_memory, talking_model
from tests.doubles.scripted import Fault

if TYPE_CHECKING:
    from langchain_hybrid_memory import Status
    from tests.doubles.doors import Mode
    from tests.doubles.scripted import ScriptedChatModel

DRINKS = ("tea", "milk", "juice", "water", "coffee", "cocoa")
NEVER = 1_000.0
FIRST_DAY = datetime(2026, 5, 4, 23, 59, tzinfo=UTC)


def live(mode: Mode, brain: ScriptedChatModel | None = None, **options: Any) -> Life:
    options = {"store": store_in_memory(), "checkpointer": InMemorySaver(), **options}
    memory, chat = HybridMemory(brain or learning_model(), **options), talking_model()
    return Life(memory, memory.graph(chat), chat, Door(mode))


async def until_pending(life: Life, count: int) -> Status:
    """Wait for the background to leave so many turns in the queue and nobody at work."""
    async with asyncio.timeout(SECONDS):
        while True:
            status: Status = await life.call(life.memory, "status")
            if (status.pending, status.running) == (count, 0):
                return status
            await asyncio.sleep(0.005)


def is_idle(life: Life) -> bool:
    """Whether neither a thread nor a wait is left."""
    background = life.memory._background
    return background._thread is None and not background._waits


async def test_turns_that_come_fast_share_one_call(mode: Mode) -> None:
    life = live(mode, memorize=MemorizeConfig(after_turns=len(DRINKS), after_seconds=NEVER))
    for drink in DRINKS[:-1]:
        await life.say(f"I prefer {drink}.")
    assert (await until_pending(life, len(DRINKS) - 1)).calls == 0
    await life.say(f"I prefer {DRINKS[-1]}.")
    assert (await until_pending(life, 0)).calls == 1
    assert sorted(fact.value for fact in await life.facts()) == sorted(DRINKS)


async def test_long_turn_is_extracted_at_once(mode: Mode) -> None:
    life = live(mode, memorize=MemorizeConfig(after_turns=100, after_tokens=200, after_seconds=NEVER))
    await life.say("I prefer tea.")
    await until_pending(life, 1)
    await life.say(f"I prefer milk. {'And so on. ' * 100}")
    assert (await until_pending(life, 0)).calls == 1


async def test_quiet_is_waited_for_and_a_new_turn_restarts_the_wait(mode: Mode) -> None:
    life = live(mode, memorize=MemorizeConfig(after_turns=100, after_seconds=0.4))
    for drink in DRINKS:  # each well before the wait is over, all of them together well after
        await life.say(f"I prefer {drink}.")
        await asyncio.sleep(0.1)
    assert (await until_pending(life, 0)).calls == 1
    assert len(await life.facts()) == len(DRINKS)


async def test_waiting_turn_is_indexed_at_once(mode: Mode) -> None:
    life = live(mode, memorize=MemorizeConfig(after_seconds=NEVER))
    await life.say("I prefer tea.")
    await until_pending(life, 1)
    found = await life.call(life.memory.store, "search", ("memory", "user"), filter={"is_indexed": True})
    assert len(found) == 2
    assert not is_idle(life)
    await close(life.memory, mode)


async def test_closing_does_not_wait_for_more_turns(mode: Mode) -> None:
    life = live(mode, memorize=MemorizeConfig(after_seconds=NEVER))
    await life.say("I prefer tea.")
    await until_pending(life, 1)
    await close(life.memory, mode)
    assert [fact.value for fact in await life.facts()] == ["tea"]
    await asyncio.sleep(0.02)
    assert is_idle(life)


async def test_flush_does_not_wait_for_more_turns(mode: Mode) -> None:
    life = live(mode, memorize=MemorizeConfig(after_seconds=NEVER))
    await life.say("I prefer tea.")
    assert (await life.flush()).pending == 0
    await asyncio.sleep(0.02)
    assert is_idle(life)


async def test_users_wait_side_by_side(mode: Mode) -> None:
    life = live(mode, memorize=MemorizeConfig(after_turns=2, after_seconds=0.3))
    await life.say("I prefer tea.", user="maria", thread="hers")
    await life.say("I prefer tea.")
    await life.say("I prefer milk.")
    await until_pending(life, 0)
    assert [len(await life.facts(user)) for user in ("alex", "maria")] == [2, 1]


async def test_ledger_tells_calls_tokens_and_time_by_step_and_turn(mode: Mode) -> None:
    brain = learning_model()
    life = live(mode, brain, memorize=MemorizeConfig(after_seconds=NEVER))
    for drink in DRINKS[:2]:
        await life.say(f"I prefer {drink}.")
    status = await life.flush()
    (made,) = brain.calls
    assert made.usage
    cost = status.steps["extract"]
    assert (cost.calls, cost.prompt_tokens, cost.completion_tokens) == (
        1,
        made.usage["input_tokens"],
        made.usage["output_tokens"],
    )
    assert (status.calls, status.prompt_tokens) == (1, cost.prompt_tokens)
    assert status.steps.keys() == {"recall", "record", "index", "extract", "consolidate"}
    assert all(step.milliseconds > 0 for step in status.steps.values())
    turns = {step: [entry.turns for entry in status.turns if entry.step == step] for step in status.steps}
    ((one,), (other,)) = turns["recall"]
    assert turns["record"] == [(one,), (other,)]
    assert turns["extract"] == turns["consolidate"] == [(one, other)]


async def test_ledger_is_bounded(mode: Mode) -> None:
    life = live(mode, extraction="manual")
    ledger = life.memory._core.ledger
    for number in range(ENTRIES + 10):
        ledger.note("recall", Cost(calls=1), turns=[str(number)])
    status: Status = await life.call(life.memory, "status")
    assert len(status.turns) == ENTRIES
    assert status.turns[-1].turns == (str(ENTRIES + 9),)
    assert status.steps["recall"].calls == ENTRIES + 10


@pytest.mark.parametrize("failure", [Fault.MALFORMED, Fault.TRUNCATED, Fault.EMPTY])
async def test_tokens_of_failed_calls_are_counted(mode: Mode, failure: Fault) -> None:
    brain = learning_model(failures={("structured", 0): failure, ("structured", 1): failure})
    life = live(mode, brain, extraction="manual")
    await life.say("I prefer tea.")
    status = await life.flush()
    assert (status.pending, status.failed, status.calls) == (1, 1, 2)
    assert status.prompt_tokens == sum(made.usage["input_tokens"] for made in brain.calls if made.usage) > 0


async def test_user_over_the_daily_cap_waits_for_the_next_day_and_others_do_not(mode: Mode) -> None:
    days = [FIRST_DAY]
    life = live(mode, extraction="manual", extract=ExtractConfig(daily_tokens=1), now=lambda: days[-1])
    await life.say("I prefer tea.")
    assert (await life.flush()).pending == 0
    await life.say("I prefer milk.")
    await life.say("I prefer juice.", user="maria", thread="hers")
    status = await life.flush()
    assert (status.pending, status.capped, status.failed) == (1, 1, 0)
    assert [len(await life.facts(user)) for user in ("alex", "maria")] == [1, 1]
    days.append(FIRST_DAY + timedelta(minutes=2))
    status = await life.flush()
    assert (status.pending, status.capped) == (0, 0)
    assert sorted(fact.value for fact in await life.facts()) == ["milk", "tea"]


async def test_daily_cap_holds_across_processes(mode: Mode) -> None:
    options: dict[str, Any] = {"extraction": "manual", "extract": ExtractConfig(daily_tokens=1)}
    life = live(mode, **options)
    await life.say("I prefer tea.")
    await life.flush()
    await life.say("I prefer milk.")
    brain = learning_model()
    other = live(mode, brain, store=life.memory.store, **options)
    assert (await other.flush()).capped == 1
    assert not brain.calls
