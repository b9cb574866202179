"""A life that ends by SIGKILL at a chosen point of a turn."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from langchain_hybrid_memory import SummaryConfig
from tests.doubles.extractor import extract_by_rules
from tests.doubles.life import SECONDS, SharedStore, learning_model, open_life, puts, talking_model

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.messages import BaseMessage
    from langgraph.store.base import Op

    from tests.doubles.doors import Mode

ASIDE = "This is said in passing, by number"


def die(*_: object) -> Any:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def rambling(seed: int) -> Callable[[Sequence[BaseMessage], Any], Any]:
    """Extract by rule, with a fact more than the next process will find: what it redoes, it must replace as a set."""

    def read(messages: Sequence[BaseMessage], schema: Any) -> Any:
        answer = extract_by_rules(messages, schema)
        asides = [{**fact, "attribute": "other", "fact": f"{ASIDE} {seed}."} for fact in answer["facts"]]
        return {**answer, "facts": [*asides, *answer["facts"]]}

    return read


def recalls(ops: Sequence[Op]) -> bool:
    return any(op.value and not op.value["is_complete"] for op in puts(ops, "pending"))


def records(ops: Sequence[Op]) -> bool:
    entries = [op.value for op in puts(ops, "pending") if op.value]
    is_recall = any(not entry["is_complete"] for entry in entries)  # which may close a turn that was cut off
    return not is_recall and any(not entry["is_indexed"] for entry in entries)


def indexes(ops: Sequence[Op]) -> bool:
    return any(op.index for op in puts(ops, "messages"))


def consolidates(ops: Sequence[Op]) -> bool:
    return bool(puts(ops, "facts"))


def summarizes(ops: Sequence[Op]) -> bool:
    return bool(puts(ops, "summaries"))


def finishes(ops: Sequence[Op]) -> bool:
    return any(op.value is None for op in puts(ops, "pending"))


STORE_POINTS: dict[str, tuple[str, Callable[[Sequence[Op]], bool]]] = {
    "after recall's write": ("after", recalls),
    "before record": ("before", records),
    "after record": ("after", records),
    "before index": ("before", indexes),
    "after index": ("after", indexes),
    "before consolidate": ("before", consolidates),
    "after consolidate": ("after", consolidates),
    "before summary": ("before", summarizes),
    "after summary": ("after", summarizes),
    "before done": ("before", finishes),
    "after done": ("after", finishes),
}
MODEL_POINTS = ("before the answer", "in extraction", "in summarize")
WORKER = "in the worker, "
WORKER_POINTS = tuple(f"{WORKER}{point}" for point in ("in extraction", "after consolidate", "before done"))
POINTS = (*STORE_POINTS, *MODEL_POINTS, *WORKER_POINTS)
FINISHED = ("after done",)
"""Points after which nothing is redone, so that what was learned there stays as it was put."""
SUMMARY = SummaryConfig(after_messages=2, keep_messages=1, summary_tokens=100_000)
FIRST_DAY = datetime(2026, 5, 4, 9, tzinfo=UTC)


def live(mode: Mode, path: Path, text: str, *, point: str | None, seed: int) -> None:
    """Say one thing and die on the way; without a point, say it and learn everything."""
    asyncio.run(alive(mode, path, text, point=point, seed=seed))


async def alive(mode: Mode, path: Path, text: str, *, point: str | None, seed: int) -> None:
    is_worker = (point or "").startswith(WORKER)
    place = (point or "").removeprefix(WORKER)

    def watch(when: str, ops: list[Op]) -> None:
        moment, is_here = STORE_POINTS.get(place, ("", recalls))
        if when == moment and is_here(ops):
            die()

    def answer(_: Sequence[BaseMessage]) -> str:
        return die() if place == "before the answer" else f"Noted: {seed}."

    brain = learning_model(seed=seed)
    brain.structured = die if place == "in extraction" else rambling(seed)
    if place == "in summarize":
        brain.replies = die
    options: dict[str, Any] = {"brain": brain, "chat": talking_model(replies=answer), "watch": watch}
    if is_worker:  # each a while after the one before, whose lease has ended by then
        now = FIRST_DAY + timedelta(minutes=5 * seed)
        options |= {"extraction": "manual", "now": lambda: now, "shell": SharedStore}
    async with open_life(mode, path, summary=SUMMARY, **options) as life:
        await life.say(text)
        await (life.call(life.memory, "drain", SECONDS) if is_worker else life.flush())
