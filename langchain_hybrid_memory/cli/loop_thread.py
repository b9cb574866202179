"""Runs coroutines on a thread of their own, so that the main thread hears Ctrl-C at any moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar

T = TypeVar("T")

CLOSE_SECONDS = 5.0
INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended."""


class LoopThread:
    """An event loop that also runs while the main thread waits for a person's next line."""

    def __init__(self) -> None:
        """Prepare; entering it starts the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hybrid-memory-loop", daemon=True)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; Ctrl-C cancels it, and is raised again once it has cleaned up.

        Raises:
            KeyboardInterrupt: After a first Ctrl-C.
            SystemExit: After a second, which does not wait.
        """
        task = asyncio.run_coroutine_threadsafe(_start(coroutine), self._loop).result()
        finished = threading.Event()
        self._loop.call_soon_threadsafe(task.add_done_callback, lambda _: finished.set())
        try:
            finished.wait()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(task.cancel)
            _wait_or_leave(finished)
            raise
        return task.result()

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what still runs, and end the thread."""
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


def _wait_or_leave(finished: threading.Event) -> None:
    try:
        finished.wait()
    except KeyboardInterrupt as error:
        raise SystemExit(INTERRUPTED) from error


async def _start(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.get_running_loop().create_task(coroutine)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
