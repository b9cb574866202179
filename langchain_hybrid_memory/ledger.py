"""Keeps the accounts: what each step cost, in model calls, tokens and milliseconds, in all and by turn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from langchain_hybrid_memory._flow import Flow

T = TypeVar("T")

ENTRIES = 500
"""Of the latest steps, so many are kept one by one; older ones are in the totals alone."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Model calls, the tokens their provider reported, wall-clock milliseconds, and what was redacted."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    milliseconds: float = 0.0
    redacted: int = 0
    """Messages that went on record without a secret they held."""

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: Cost) -> Cost:
        """Add two costs."""
        return Cost(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            milliseconds=self.milliseconds + other.milliseconds,
            redacted=self.redacted + other.redacted,
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One step that ran, once, for one turn or for a batch of them."""

    step: str
    turns: tuple[str, ...]
    """Keys of the turns it served; a batch shares its cost."""
    cost: Cost


class Ledger:
    """What the steps of one process cost; threads and event loops may share it, and it never grows beyond a bound."""

    def __init__(self) -> None:
        """Start with nothing spent."""
        self._lock = threading.Lock()
        self._totals: dict[str, Cost] = {}
        self._entries: deque[Entry] = deque(maxlen=ENTRIES)

    def note(self, step: str, cost: Cost, *, turns: Sequence[str] = ()) -> None:
        """Enter what a step cost."""
        with self._lock:
            self._totals[step] = self._totals.get(step, Cost()).plus(cost)
            self._entries.append(Entry(step=step, turns=tuple(turns), cost=cost))

    def timed(self, step: str, flow: Flow[T], *, turns: Sequence[str] = ()) -> Flow[T]:
        """Run a step that calls no model, and enter how long it took, whether it ends well or not."""
        started = time.perf_counter()
        try:
            return (yield from flow)
        finally:
            self.note(step, Cost(milliseconds=since(started)), turns=turns)

    def totals(self) -> Mapping[str, Cost]:
        """What each step cost so far, by its name."""
        with self._lock:
            return dict(self._totals)

    def entries(self) -> tuple[Entry, ...]:
        """The latest steps, oldest first, at most `ENTRIES`."""
        with self._lock:
            return tuple(self._entries)


def since(started: float) -> float:
    """Milliseconds since a moment of `time.perf_counter`."""
    return (time.perf_counter() - started) * 1_000
