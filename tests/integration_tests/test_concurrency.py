"""Two threads of one user, two processes on one store, one message five times: the end state is always the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import HumanMessage

from tests.doubles.life import SharedStore, configured, learning_model, open_life

if TYPE_CHECKING:
    from pathlib import Path

    from tests.doubles.doors import Mode
    from tests.doubles.life import Life

TURNS = 10
"""On each of two threads; in full: 200."""
DELIVERIES = 5
TOWNS = ("Lisbon", "Porto", "Faro", "Braga")


@pytest.mark.timeout(3_600)
async def test_one_user_on_two_threads_at_once(tmp_path: Path, mode: Mode, *, is_full: bool) -> None:
    turns = 200 if is_full else TURNS
    async with open_life(mode, tmp_path, brain=learning_model()) as life:

        async def talk(thread: str) -> list[str]:
            said = [f"I prefer drink {thread} {number:03}." for number in range(turns)]
            for number, text in enumerate(said):
                await life.say(text, thread=thread)
                await life.say(f"I moved to {TOWNS[number % len(TOWNS)]}.", thread=thread)
            return said

        said = [text for texts in await asyncio.gather(talk("one"), talk("two")) for text in texts]
        assert (await life.flush()).pending == 0
        facts = await life.facts(current_only=False)
        preferences = Counter(f"I prefer {fact.value}." for fact in facts if fact.attribute == "preference")
        assert preferences == Counter(said)
        await check_homes(life)
        found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=10_000)
        assert len(found) == 8 * turns


async def check_homes(life: Life) -> None:
    """Of a property with one value there is one current fact; each other one was ended by a later one."""
    homes = {f.id: f for f in await life.facts(current_only=False) if f.attribute == "residence"}
    assert len([home for home in homes.values() if not home.is_superseded]) == 1
    assert {home.value for home in homes.values()} == set(TOWNS)
    for home in homes.values():
        if home.superseded_by is not None:
            assert home.said_at <= homes[home.superseded_by].said_at
            assert home.invalid_at is not None


@pytest.mark.timeout(3_600)
async def test_two_memories_at_once_leave_no_twin(tmp_path: Path, mode: Mode, *, is_full: bool) -> None:
    """As two processes do: each has its own queue of users, and its own lease."""
    async with (
        open_life(mode, tmp_path, brain=learning_model(), extraction="manual", shell=SharedStore) as life,
        open_life(mode, tmp_path, brain=learning_model(seed=1_000), extraction="manual", shell=SharedStore) as other,
    ):
        drinks = [f"drink {number:03}" for number in range(200 if is_full else TURNS)]
        for drink in drinks:
            await life.say(f"I prefer {drink}.")
        statuses = await asyncio.gather(*(each.call(each.memory, "flush") for each in (life, other)))
        assert {status.last_error for status in statuses} == {None}
        assert (await life.flush()).pending == 0
        assert sorted(fact.value for fact in await life.facts(current_only=False)) == drinks


@pytest.mark.parametrize("is_at_once", [False, True])
async def test_message_delivered_five_times_is_one(tmp_path: Path, mode: Mode, *, is_at_once: bool) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.say("I prefer tea.")
        message = HumanMessage("I live in Lisbon.", id="delivered again")
        deliveries = [
            life.call(life.agent, "invoke", {"messages": [message]}, configured("alex", "first"))
            for _ in range(DELIVERIES)
        ]
        if is_at_once:
            await asyncio.gather(*deliveries)
        else:
            for delivery in deliveries:
                await delivery
        assert (await life.flush()).pending == 0
        found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=100)
        assert sorted(i.value["text"] for i in found if i.value["role"] == "user") == [message.text, "I prefer tea."]
        assert sorted(fact.value for fact in await life.facts(current_only=False)) == ["Lisbon", "tea"]


async def test_message_recorded_five_times_is_one(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        alex, message = life.memory.for_user("alex"), HumanMessage("I live in Lisbon.", id="delivered again")
        counts = [await life.call(alex, "record", [message], thread_id="first") for _ in range(DELIVERIES)]
        await life.flush()
        assert counts == [1, 0, 0, 0, 0]
        assert [fact.value for fact in await life.facts(current_only=False)] == ["Lisbon"]


async def test_equal_messages_with_ids_of_their_own_are_one_fact(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        for number in range(DELIVERIES):
            await life.say("I live in Lisbon.", thread=f"thread {number}")
        await life.flush()
        assert [fact.value for fact in await life.facts(current_only=False)] == ["Lisbon"]
        found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=100)
        assert sum(item.value["role"] == "user" for item in found) == DELIVERIES
