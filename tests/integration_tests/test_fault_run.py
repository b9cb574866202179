"""A long life in which nearly a third of everything fails: nothing is lost, nothing is doubled, and it converges."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory import StorageError, SummaryConfig, memorize
from tests.doubles.faults import FaultyEmbedding, FaultyStore, faulty_brain, faulty_chat
from tests.doubles.life import configured, open_life

if TYPE_CHECKING:
    from pathlib import Path

    from tests.doubles.doors import Mode
    from tests.doubles.life import Life

TURNS = 20
"""In each spelling; in full: 1,000."""
TURNS_A_THREAD = 20
USERS = ("alex", "maria")
FLUSHES = 1_000
"""Within so many flushes everything is learned, though faults go on."""
logger = logging.getLogger(__name__)
RAISED = (TimeoutError, ConnectionError, OSError, StorageError)
"""What the user's own model raises, and a store of ours whose write did not go through."""


@pytest.fixture(autouse=True)
def _neither_wait_nor_tell(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Try again at once: most of a long run would be waiting, and most of the rest writing tracebacks."""
    monkeypatch.setattr(memorize, "AGAIN", memorize.AGAIN._replace(initial_interval=0.001))
    for name in ("langgraph", "langchain_hybrid_memory"):
        caplog.set_level(logging.CRITICAL, logger=name)


@pytest.mark.timeout(3_600)
async def test_nothing_is_lost_or_doubled_and_everything_is_learned(
    tmp_path: Path, mode: Mode, *, is_full: bool
) -> None:
    turns, embedding, store = 1_000 if is_full else TURNS, FaultyEmbedding(1), FaultyStore(2)
    summary = SummaryConfig(after_messages=12, keep_messages=4, summary_tokens=100_000)
    options: dict[str, Any] = {"brain": faulty_brain(3), "chat": faulty_chat(4), "embedding": embedding, "watch": store}
    async with open_life(mode, tmp_path, extraction="inline", summary=summary, **options) as life:
        said = [
            (USERS[n % 2], f"{USERS[n % 2]} {n // TURNS_A_THREAD}", f"I prefer drink {n:04}.") for n in range(turns)
        ]
        unanswered = [text for user, thread, text in said if not await is_answered(life, user, thread, text)]
        for user, thread in dict.fromkeys((user, thread) for user, thread, _ in said):
            await say_goodbye(life, user, thread)
        flushes = await flush_until_learned(life)
        store.is_broken = embedding.is_broken = False
        await check(life, said)
        status = await life.call(life.memory, "status")
    figures = turns, len(unanswered), flushes, store.count, status.calls
    logger.info("%d turns, %d unanswered, %d flushes, %d store faults, %d model calls", *figures)
    assert store.count > turns / 4
    assert len(unanswered) > turns / 5, "the user's own model failed as often as it should"


async def is_answered(life: Life, user: str, thread: str, text: str) -> bool:
    """Say something; whether an answer came."""
    with contextlib.suppress(*RAISED):
        return bool(await life.say(text, user=user, thread=thread))
    return False


async def say_goodbye(life: Life, user: str, thread: str) -> None:
    """Say one more thing until a turn got as far as the log: it sweeps up what the thread still holds."""
    while True:
        await is_answered(life, user, thread, "Goodbye.")
        values = (await life.call(life.agent, "get_state", configured(user, thread))).values
        if values.get("recorded_through") == values["messages"][-1].id and values["messages"][-1].type == "ai":
            return


async def flush_until_learned(life: Life) -> int:
    """Flush, as faults go on, until nothing waits; how often that took."""
    for number in range(1, FLUSHES + 1):
        with contextlib.suppress(*RAISED):
            if not (await life.flush()).pending:
                return number
    pytest.fail("it does not converge")


async def check(life: Life, said: list[tuple[str, str, str]]) -> None:
    """Every message and every fact is there once; each message is in at most one place of its thread's summary."""
    for user in USERS:
        own = Counter(text for speaker, _, text in said if speaker == user)
        found = await life.call(life.memory.store, "search", ("memory", "user", user, "messages"), limit=100_000)
        human = [item.value["text"] for item in found if item.value["role"] == "user"]
        assert Counter(text for text in human if text != "Goodbye.") == own
        assert all(item.value["is_indexed"] for item in found)
        facts = await life.facts(user, current_only=False)
        assert Counter(f"I prefer {fact.value}." for fact in facts) == own
        for thread in {thread for speaker, thread, _ in said if speaker == user}:
            text = await life.call(life.memory.for_user(user), "summary", thread)
            assert max((text.count(words) for words in own), default=0) <= 1
