"""Law 2 and law 3 across real processes: what was said survives their end, however they end, and never twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.doubles.life import INTRODUCTION, KNOWN, close, count, learning_model, open_life

if TYPE_CHECKING:
    from tests.doubles.doors import Mode

ROOT = Path(__file__).parents[2]
EXIT_SECONDS = 5.0


def talk(mode: Mode, path: Path, thread: str, seed: int, *lines: str) -> list[str]:
    """Say something to a new process; what its model was shown in each turn."""
    command = [sys.executable, "-m", "tests.integration_tests.talk", mode, str(path), thread, str(seed)]
    result = subprocess.run(  # noqa: S603 - our own script in our own interpreter
        command, input="\n".join(lines), capture_output=True, text=True, check=False, cwd=ROOT, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_three_processes_know_what_the_first_was_told(tmp_path: Path) -> None:
    talk("sync", tmp_path, "first", 0, *INTRODUCTION)
    asked = "What do you know about Sarah?", "What travel plans do I have?", "Actually I moved to Porto last week."
    about_sarah, plans, _ = talk("async", tmp_path, "second", 100, *asked)
    assert all(word in about_sarah for word in ("Google", "software engineer", "3 years"))
    assert all(word in plans for word in ("Japan", "March"))
    (home,) = talk("sync", tmp_path, "third", 200, "Where do I live?")
    assert "moved to Porto" in home
    assert "and [no longer true]." in home
    async with open_life("async", tmp_path, brain=None) as life:
        facts = await life.facts(current_only=False)
        assert [count(facts, words) for words in KNOWN] == [1] * len(KNOWN)
        assert [fact.value for fact in facts if fact.is_superseded] == ["Lisbon"]


async def test_process_leaves_at_once_while_it_learns_and_the_next_one_takes_over(tmp_path: Path, mode: Mode) -> None:
    errors = await asyncio.to_thread(leave, mode, tmp_path / "memory")
    lines = [line for line in errors.splitlines() if not line.startswith("Executing ")]  # that it was slow
    assert not [line for line in lines if "Task" in line or "never" in line or "Traceback" in line]
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        assert (await life.call(life.memory, "status")).pending == 1
        await life.say("I prefer tea.", thread="second")
        await close(life.memory, mode)
        assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]


def leave(mode: Mode, path: Path) -> str:
    """Run a process that has a minute's worth of learning to do; what it printed as errors when it left."""
    command = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-m", "tests.integration_tests.leave"]
    with subprocess.Popen(  # noqa: S603 - our own script in our own interpreter
        [*command, mode, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
            _, errors = process.communicate(timeout=EXIT_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    return errors
