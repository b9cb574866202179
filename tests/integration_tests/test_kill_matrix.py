"""Law 2 at every step: SIGKILL loses no message and no fact, doubles none, and each message is summarised once."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.doubles.life import learning_model, open_life
from tests.integration_tests import die

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from pathlib import Path

    from tests.doubles.doors import Mode
    from tests.doubles.life import Life

FAREWELL = ("Goodbye.", "See you.")
KILLS = 5
"""At each point in each spelling, so 10 a point; in full: 100."""
PRELOADED = (
    "tests.integration_tests.die",
    "chromadb.api.rust",  # which Chroma imports when the first client opens; half of what a life costs
    "chromadb.telemetry.product.posthog",
)


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes forked from one that has imported everything and opened nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
    return context


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("point", die.POINTS)
async def test_killed_processes_lose_nothing_and_double_nothing(
    tmp_path: Path, mode: Mode, processes: ForkServerContext, point: str, *, is_full: bool
) -> None:
    said = [f"I prefer drink {number:02}." for number in range((50 if is_full else KILLS) + 1)]
    for number, text in enumerate(said):
        options = {"point": point if number else None, "seed": 10 * number}
        process = processes.Process(target=die.live, args=(mode, tmp_path, text), kwargs=options)
        process.start()
        process.join(120)
        assert process.exitcode == (-signal.SIGKILL if number else 0)
    async with open_life(mode, tmp_path, brain=learning_model(seed=1_000), summary=die.SUMMARY) as life:
        assert (await life.flush()).last_error is None
        for text in FAREWELL:  # so that everything said before leaves the window
            await life.say(text)
            assert (await life.flush()).pending == 0
        await check(life, said, point)


async def check(life: Life, said: list[str], point: str) -> None:
    found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=10_000)
    assert Counter(item.value["text"] for item in found if item.value["role"] == "user") == Counter([*said, *FAREWELL])
    assert all(item.value["is_indexed"] for item in found)
    facts = await life.facts(current_only=False)
    learned = [fact for fact in facts if die.ASIDE not in fact.text]
    assert Counter(f"I prefer {fact.value}." for fact in learned) == Counter(said)
    assert point in die.FINISHED or len(facts) - len(learned) <= 1, "what was redone replaced what was there"
    summary = await life.call(life.memory.for_user("alex"), "summary", "first")
    assert [summary.count(text) for text in said] == [1] * len(said)
