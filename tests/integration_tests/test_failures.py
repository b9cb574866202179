"""Law 11: whatever fails, the reply stands, nothing said is lost, and the status tells."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory import ExtractConfig, MemorizeConfig, StorageError
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import SECONDS, close, configured, learning_model, open_life, puts, talking_model
from tests.doubles.scripted import Break, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from langchain_core.messages import BaseMessage
    from langgraph.store.base import Op

    from langchain_hybrid_memory import Status
    from tests.doubles.doors import Mode
    from tests.doubles.life import Life

FIRST_DAY = datetime(2026, 5, 4, 9, tzinfo=UTC)

every_door = pytest.mark.parametrize("door", ["graph", "agent", "nodes"])
every_fault = pytest.mark.parametrize("fault", [Fault.MALFORMED, Fault.EMPTY, Fault.TRUNCATED])


class RateLimitError(Exception):
    """What a provider's client raises."""

    status_code = 429


async def settle(life: Life) -> Status:
    """Wait for the background without forcing anything that failed to be tried again."""
    await close(life.memory, life.call.mode)
    status: Status = await life.call(life.memory, "status")
    return status


async def logged(life: Life, user: str = "alex") -> list[str]:
    """The user's messages in the log, by what was said."""
    found = await life.call(life.memory.store, "search", ("memory", "user", user, "messages"), limit=100)
    return sorted(item.value["text"] for item in found if item.value["role"] == "user")


@every_door
async def test_message_whose_answer_failed_is_remembered(tmp_path: Path, mode: Mode, door: str) -> None:
    chat = talking_model(failures={("chat", 0): TimeoutError("no answer")})
    async with open_life(mode, tmp_path, brain=learning_model(), chat=chat, door=door) as life:
        with pytest.raises(TimeoutError, match="no answer"):
            await life.say("I live in Lisbon.")
        assert await logged(life) == ["I live in Lisbon."]
        await life.say("I prefer tea.")
        await life.flush()
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]
        assert await logged(life) == ["I live in Lisbon.", "I prefer tea."]


async def test_message_whose_answer_failed_is_remembered_in_a_new_process(tmp_path: Path, mode: Mode) -> None:
    chat = talking_model(failures={("chat", 0): TimeoutError()})
    async with open_life(mode, tmp_path, brain=learning_model(), chat=chat) as life:
        with pytest.raises(TimeoutError):
            await life.say("I live in Lisbon.")
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.flush()
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]


async def test_answer_that_broke_off_leaves_no_half_sentence_in_the_log(tmp_path: Path, mode: Mode) -> None:
    chat = talking_model(failures={("chat", 0): Break(ConnectionError("gone"), after_tokens=2)})
    async with open_life(mode, tmp_path, brain=learning_model(), chat=chat) as life:
        asked = {"messages": [("user", "I live in Lisbon.")]}
        with pytest.raises(ConnectionError, match="gone"):
            await life.call.collect(life.agent, "stream", asked, configured("alex", "first"), stream_mode="messages")
        await life.say("I prefer tea.")
        found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=100)
        assert sorted(item.value["text"] for item in found) == [
            "I live in Lisbon.",
            "I prefer tea.",
            "Noted, number 2.",
        ]


@every_fault
async def test_answer_unfit_once_is_repaired(tmp_path: Path, mode: Mode, fault: Fault) -> None:
    brain = learning_model(failures={("structured", 0): fault})
    async with open_life(mode, tmp_path, brain=brain) as life:
        await life.say("I live in Lisbon.")
        status = await settle(life)
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]
    assert (status.pending, status.failed, status.last_error, status.calls) == (0, 0, None, 2)


TWICE: dict[str, Any] = {
    "malformed": ([Fault.MALFORMED] * 2, "did not fit the schema, twice"),
    "empty": ([Fault.EMPTY] * 2, "did not fit the schema, twice"),
    "truncated": ([Fault.TRUNCATED] * 2, "cut off"),
    "rate limited": ([RateLimitError("secret words")], r"^RateLimitError \(status 429\)$"),
    "timed out": ([TimeoutError("secret words")], "^TimeoutError$"),
}


@pytest.mark.parametrize("extraction", ["background", "inline"])
@pytest.mark.parametrize("kind", TWICE)
async def test_failed_extraction_spares_the_reply_and_is_made_up_for(
    tmp_path: Path, mode: Mode, kind: str, extraction: str
) -> None:
    faults, message = TWICE[kind]
    brain = learning_model(failures={("structured", number): fault for number, fault in enumerate(faults)})
    async with open_life(mode, tmp_path, brain=brain, extraction=extraction) as life:
        assert await life.say("I live in Lisbon.") == "Noted, number 1."
        status = await settle(life)
        assert (status.pending, status.failed) == (1, 1)
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(status.last_error)
        assert not await life.facts()
        status = await life.flush()
        assert (status.pending, status.failed) == (0, 0)
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]


async def test_next_turn_makes_up_for_a_failed_extraction_once_its_next_attempt_is_due(
    tmp_path: Path, mode: Mode
) -> None:
    days = [FIRST_DAY]
    brain = learning_model(failures={("structured", 0): TimeoutError()})
    async with open_life(mode, tmp_path, brain=brain, now=lambda: days[-1]) as life:
        await life.say("I live in Lisbon.")
        assert (await settle(life)).failed == 1
        await life.say("I prefer milk.")
        status = await settle(life)
        assert (status.pending, status.failed) == (1, 1), "not before its time"
        days.append(FIRST_DAY + timedelta(minutes=1))
        await life.say("I prefer tea.")
        assert (await settle(life)).pending == 0
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "milk", "tea"]


async def test_failed_extraction_is_tried_again_by_itself(tmp_path: Path, mode: Mode) -> None:
    brain = learning_model(failures={("structured", number): TimeoutError() for number in range(3)})
    memorize = MemorizeConfig(after_turns=1, retry_seconds=0.01)
    async with open_life(mode, tmp_path, brain=brain, memorize=memorize) as life:
        await life.say("I live in Lisbon.")
        async with asyncio.timeout(SECONDS):
            while (await life.call(life.memory, "status")).pending:  # noqa: ASYNC110 - a thread or a task does it
                await asyncio.sleep(0.01)
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]
        assert (await life.call(life.memory, "status")).calls == 4


async def test_attempts_and_error_are_kept_for_the_next_process(tmp_path: Path, mode: Mode) -> None:
    failures = {("structured", number): TimeoutError() for number in range(3)}
    for attempt in range(3):
        async with open_life(mode, tmp_path, brain=learning_model(failures=failures)) as life:
            await (life.flush() if attempt else life.say("I live in Lisbon."))
            await settle(life)
            (entry, *_) = await life.call(life.memory.store, "search", ("memory", "pending"))
            assert (entry.value["attempts"], entry.value["error"]) == (attempt + 1, "TimeoutError")


class Unplugged(WordEmbedding):
    """An embedding whose server goes away when the agent has answered."""

    def answer(self, _: Sequence[BaseMessage]) -> str:
        self.error = ConnectionError("refused")
        return "Noted."


@pytest.mark.parametrize("extraction", ["background", "inline"])
async def test_embedding_that_fails_after_the_reply_is_made_up_for(tmp_path: Path, mode: Mode, extraction: str) -> None:
    embedding, brain = Unplugged(), learning_model()
    chat = talking_model(replies=embedding.answer)
    async with open_life(mode, tmp_path, brain=brain, chat=chat, embedding=embedding, extraction=extraction) as life:
        assert await life.say("I live in Lisbon.") == "Noted."
        status = await settle(life)
        assert (status.pending, status.last_error) == (1, "ConnectionError")
        embedding.error = None
        assert (await life.flush()).pending == 0
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]


async def test_failed_recall_costs_neither_the_reply_nor_the_message(
    tmp_path: Path, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    embedding = WordEmbedding()
    async with open_life(mode, tmp_path, brain=learning_model(), embedding=embedding) as life:
        embedding.error = ConnectionError("secret words")
        assert await life.say("I live in Lisbon.") == "Noted, number 1."
        assert "ConnectionError" in caplog.text
        assert "secret words" not in caplog.text
        embedding.error = None
        await life.say("I prefer tea.")
        await life.flush()
        assert await logged(life) == ["I live in Lisbon.", "I prefer tea."]
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]


class Faulty:
    """Makes batches fail that write a certain kind, while `kind` names one."""

    def __init__(self, kind: str, error: Exception) -> None:
        self.kind: str | None = kind
        self.error = error

    def __call__(self, when: str, ops: list[Op]) -> None:
        if when == "before" and self.kind and any(op.value for op in puts(ops, self.kind)) and self.is_hit(ops):
            raise self.error

    def is_hit(self, ops: list[Op]) -> bool:
        return self.kind != "messages" or any(op.index for op in puts(ops, "messages"))


@pytest.mark.parametrize("kind", ["messages", "facts", "entities"])
@pytest.mark.parametrize("extraction", ["background", "inline"])
async def test_store_that_fails_after_the_reply_is_made_up_for(
    tmp_path: Path, mode: Mode, kind: str, extraction: str
) -> None:
    watch = Faulty(kind, StorageError("disk full"))
    async with open_life(mode, tmp_path, brain=learning_model(), watch=watch, extraction=extraction) as life:
        assert await life.say("I live in Lisbon.") == "Noted, number 1."
        status = await settle(life)
        assert (status.pending, status.last_error) == (1, "StorageError: disk full")
        watch.kind = None
        assert (await life.flush()).pending == 0
        assert [fact.value for fact in await life.facts()] == ["Lisbon"]


@pytest.mark.parametrize("error", [ConnectionError("gone"), StorageError("disk full")])
async def test_store_that_cannot_be_written_costs_no_reply_and_the_next_turn_sweeps_it_up(
    tmp_path: Path, mode: Mode, error: Exception
) -> None:
    watch = Faulty("threads", error)
    async with open_life(mode, tmp_path, brain=learning_model(), watch=watch) as life:
        assert await life.say("I live in Lisbon.") == "Noted, number 1."
        watch.kind = None
        await life.say("I prefer tea.")
        await life.flush()
        assert await logged(life) == ["I live in Lisbon.", "I prefer tea."]
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]


def poisoned(**options: Any) -> Any:
    """Make a brain that cannot read one kind of message."""
    brain = learning_model(**options)
    rules = brain.structured
    assert callable(rules)

    def read(messages: Sequence[BaseMessage], schema: Any) -> Any:
        if any("POISON" in message.text for message in messages):
            raise RateLimitError
        return rules(messages, schema)

    brain.structured = read
    return brain


@pytest.mark.parametrize("batch_tokens", [2_000, 45])
async def test_unreadable_episode_does_not_hold_up_the_others(tmp_path: Path, mode: Mode, batch_tokens: int) -> None:
    extract = ExtractConfig(batch_tokens=batch_tokens)
    async with open_life(mode, tmp_path, brain=poisoned(), extraction="manual", extract=extract) as life:
        for text in ("I live in Lisbon.", "POISON. I'm Nobody.", "I prefer tea."):
            await life.say(text)
        await life.flush()
        status = await life.flush()
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]
        assert (status.pending, status.failed) == (1, 1)


async def test_unreadable_episode_does_not_hold_up_later_turns(tmp_path: Path, mode: Mode) -> None:
    memorize = MemorizeConfig(after_turns=1, retry_seconds=1e-6)
    async with open_life(mode, tmp_path, brain=poisoned(), memorize=memorize) as life:
        await life.say("POISON. I'm Nobody.")
        await settle(life)
        for number, drink in enumerate(("tea", "milk", "juice")):
            await life.say(f"I prefer {drink}.")
            assert (await settle(life)).pending == 1
            assert len(await life.facts()) == number + 1
