"""Keeps track of which users are being worked on in this process, so that each is by one run at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import IntEnum


class Urgency(IntEnum):
    """How much is asked of a run; of two requests the greater counts."""

    TURN = 0
    """A turn has ended: index it, and learn if enough turns wait."""
    DUE = 1
    """The wait is over: learn from what waits."""
    FORCED = 2
    """Learn from everything, open turns and those that failed included."""


class Claims:
    """Which users are being worked on in this process, and which of them have to be looked at again."""

    def __init__(self) -> None:
        """Start with nobody claimed."""
        self._changed = threading.Condition()
        self._active: set[str] = set()
        self._again: dict[str, Urgency] = {}
        self._asked_at: dict[str, float] = {}

    @property
    def count(self) -> int:
        """How many users are being worked on."""
        return len(self._active)

    def claim(self, user_id: str, urgency: Urgency) -> bool:
        """Ask for a run; whether the caller has to start it (else one that is running will look again)."""
        with self._changed:
            self._again[user_id] = max(urgency, self._again.get(user_id, Urgency.TURN))
            is_free = user_id not in self._active
            self._active.add(user_id)
            self._asked_at[user_id] = time.monotonic()
            self._changed.notify_all()
            return is_free

    def ask_all(self, urgency: Urgency) -> None:
        """Have everybody who is being worked on looked at once more."""
        with self._changed:
            for user_id in self._active:
                self._again[user_id] = max(urgency, self._again.get(user_id, Urgency.TURN))
            self._changed.notify_all()

    def rest(self, user_id: str, seconds: float) -> bool:
        """Wait until this time has passed since a run was asked for, unless it is for more than a turn's end.

        Returns:
            Whether more was asked for.
        """
        with self._changed:
            left = self._asked_at.get(user_id, 0.0) + seconds - time.monotonic()
            return self._changed.wait_for(lambda: self._again.get(user_id, Urgency.TURN) > Urgency.TURN, left)

    def begin(self, user_id: str) -> Urgency:
        """Take up what was asked for."""
        with self._changed:
            self._asked_at.pop(user_id, None)
            return self._again.pop(user_id, Urgency.TURN)

    def end(self, user_id: str) -> bool:
        """Let go of a user unless another run was asked for meanwhile; whether it was let go."""
        with self._changed:
            if user_id in self._again:
                return False
            self._active.discard(user_id)
            self._changed.notify_all()
            return True

    def release(self, user_id: str) -> None:
        """Let go of a user whatever was asked for; harmless when nothing is held."""
        with self._changed:
            self._again.pop(user_id, None)
            self._asked_at.pop(user_id, None)
            self._active.discard(user_id)
            self._changed.notify_all()

    @contextmanager
    def released_on_failure(self, user_id: str) -> Iterator[None]:
        """Let go of a user if the block is left by an exception, cancellation included."""
        with ExitStack() as undo:
            undo.callback(self.release, user_id)
            yield
            undo.pop_all()

    def take(self, user_id: str) -> bool:
        """Claim a user nobody works on; whether that worked."""
        with self._changed:
            is_free = user_id not in self._active
            self._active.add(user_id)
            return is_free

    def wait_until_free(self, user_id: str) -> bool:
        """Wait until nobody works on a user; true then."""
        with self._changed:
            return self._changed.wait_for(lambda: user_id not in self._active)

    def wait_until_idle(self, timeout: float | None) -> bool:
        """Wait at most `timeout` seconds until nobody is worked on; whether that was reached."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._active, timeout)
