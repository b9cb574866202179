"""Two turns at once on one thread: refused within a process; both are kept in memory where it cannot be known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import HumanMessage

from langchain_hybrid_memory import ConcurrentTurnError
from tests.doubles.life import SharedStore, configured, gated, learning_model, open_life, talking_model, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.doubles.doors import Mode
    from tests.doubles.life import Life


async def logged(life: Life) -> list[str]:
    """Everything that was said, by the log."""
    found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=100)
    return sorted(item.value["text"] for item in found)


@pytest.mark.parametrize("door", ["graph", "agent"])
async def test_second_turn_on_a_thread_that_is_answering_is_refused(tmp_path: Path, mode: Mode, door: str) -> None:
    chat = gated(talking_model())
    async with open_life(mode, tmp_path, brain=learning_model(), chat=chat, door=door) as life:
        first = asyncio.create_task(life.say("I live in Lisbon."))
        await until(chat.entered)
        with pytest.raises(ConcurrentTurnError, match="'first' is still answering another message"):
            await life.say("I prefer tea.")
        other = asyncio.create_task(life.say("I prefer milk.", thread="second"))
        chat.gate.set()
        assert await first
        assert await other
        await life.say("I prefer tea.")
        await life.flush()
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "milk", "tea"]


@pytest.mark.parametrize("door", ["graph", "agent"])
async def test_thread_whose_answer_failed_or_was_cancelled_is_free_again(tmp_path: Path, mode: Mode, door: str) -> None:
    chat = gated(talking_model(failures={("chat", 0): TimeoutError("no answer")}))
    async with open_life(mode, tmp_path, brain=learning_model(), chat=chat, door=door) as life:
        chat.gate.set()
        with pytest.raises(TimeoutError):
            await life.say("I live in Lisbon.")
        if mode == "async":
            chat.gate.clear()
            chat.entered.clear()
            task = asyncio.create_task(life.say("I prefer milk."))
            await until(chat.entered)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            chat.gate.set()
        assert await life.say("I prefer tea.")


async def test_message_delivered_again_while_it_is_answered_is_not_refused(tmp_path: Path, mode: Mode) -> None:
    chat = gated(talking_model())
    async with open_life(mode, tmp_path, brain=learning_model(), chat=chat) as life:
        asked = {"messages": [HumanMessage("I live in Lisbon.", id="again")]}
        deliveries = [
            asyncio.create_task(life.call(life.agent, "invoke", asked, configured("alex", "first"))) for _ in range(2)
        ]
        await until(chat.entered)
        chat.gate.set()
        for delivery in deliveries:
            assert (await delivery)["messages"][-1].text


async def test_two_processes_on_one_thread_keep_both_turns_in_memory(tmp_path: Path, mode: Mode) -> None:
    """Two memories stand for two processes; the checkpoint has what was written last, as LangGraph's always has."""
    answers = ("To the first.", "To the second.")
    chats = [gated(talking_model(replies=lambda _, answer=answer: answer)) for answer in answers]
    async with (
        open_life(mode, tmp_path, brain=learning_model(), chat=chats[0], shell=SharedStore) as life,
        open_life(mode, tmp_path, brain=learning_model(seed=1_000), chat=chats[1], shell=SharedStore) as other,
    ):
        turns = [asyncio.create_task(life.say("I live in Lisbon."))]
        await until(chats[0].entered)
        turns.append(asyncio.create_task(other.say("I prefer tea.")))
        await until(chats[1].entered)
        for chat, turn in zip(chats, turns, strict=True):
            chat.gate.set()
            await turn
        assert (await life.flush()).pending == 0
        assert await logged(life) == ["I live in Lisbon.", "I prefer tea.", *answers]
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]
        state = await life.call(life.agent, "get_state", configured("alex", "first"))
        kept = [message.text for message in state.values["messages"]]
        assert kept[-2:] == ["I prefer tea.", answers[1]], "the last writer wins"
        assert answers[0] not in kept
