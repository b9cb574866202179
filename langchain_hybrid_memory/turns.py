"""Knows which threads are being answered in this process, so that no second turn begins on one of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from langchain_hybrid_memory.errors import ConcurrentTurnError

Place: TypeAlias = tuple[str, ...]
"""A thread's id and, for a graph within a graph, the path to it; empty for a run without a thread."""


class Turns:
    """The messages that models are answering at this moment; threads and event loops may share it."""

    def __init__(self) -> None:
        """Start with nobody answering."""
        self._lock = threading.Lock()
        self._answering: list[tuple[Place, str]] = []

    @contextmanager
    def answering(self, place: Place, message_id: str) -> Iterator[None]:
        """A message is being answered as long as the block lasts, however it ends."""
        with self._lock:
            self._answering.append((place, message_id))
        try:
            yield
        finally:
            with self._lock:
                self._answering.remove((place, message_id))

    def check(self, place: Place, message_id: str) -> None:
        """Refuse a turn on a thread that is answering something else; the same message may be delivered again.

        Raises:
            ConcurrentTurnError: If it is.
        """
        with self._lock:
            is_busy = any(where == place and answered != message_id for where, answered in self._answering)
        if place and is_busy:
            msg = (
                f"thread {place[0]!r} is still answering another message, and its checkpoint keeps only one of two "
                "turns at once; wait for that answer or cancel it, and give each conversation a thread of its own"
            )
            raise ConcurrentTurnError(msg)
