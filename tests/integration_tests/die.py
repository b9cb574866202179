"""A life that ends by SIGKILL at a chosen point of a turn."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tests.doubles.extractor import extract_by_rules
from tests.doubles.life import learning_model, open_life, puts, talking_model

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
    "before done": ("before", finishes),
    "after done": ("after", finishes),
}
MODEL_POINTS = ("before the answer", "in extraction")
POINTS = (*STORE_POINTS, *MODEL_POINTS)


def live(mode: Mode, path: Path, text: str, *, point: str | None, seed: int) -> None:
    """Say one thing and die on the way; without a point, say it and learn everything."""
    asyncio.run(alive(mode, path, text, point=point, seed=seed))


async def alive(mode: Mode, path: Path, text: str, *, point: str | None, seed: int) -> None:
    def watch(when: str, ops: list[Op]) -> None:
        moment, is_here = STORE_POINTS.get(point or "", ("", recalls))
        if when == moment and is_here(ops):
            die()

    def answer(_: Sequence[BaseMessage]) -> str:
        return die() if point == "before the answer" else f"Noted: {seed}."

    brain = learning_model(seed=seed)
    brain.structured = die if point == "in extraction" else rambling(seed)
    async with open_life(mode, path, brain=brain, chat=talking_model(replies=answer), watch=watch) as life:
        await life.say(text)
        await life.flush()
