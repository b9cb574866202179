"""Runs the memorize graph after the reply, one run a user at a time, without holding up the turn or the exit."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore, SearchItem, SearchOp

from langchain_hybrid_memory._flow import Call, Flow, arun, attempt, batch, invoke, run
from langchain_hybrid_memory.claims import Claims
from langchain_hybrid_memory.config import ExtractionMode
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.errors import HybridMemoryError, describe
from langchain_hybrid_memory.memorize import (
    RECURSION_LIMIT,
    MemorizeState,
    Report,
    add_reports,
    memorize_graph,
)
from langchain_hybrid_memory.scope import pending_root

T = TypeVar("T")
P = ParamSpec("P")

Listener: TypeAlias = Callable[[str, Report], None]
"""Called with the user id and the report of a finished memorize run, on the thread or loop that ran it."""

STATUS_LIMIT = 10_000
"""At most this many queue entries are counted."""

logger = logging.getLogger("langchain_hybrid_memory")


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the background has done and what waits."""

    pending: int
    """Episodes still to be worked on, of all users, in the store."""
    failed: int
    """Those of them that failed at least once; they are tried again."""
    running: int
    """Users being worked on in this process."""
    last_error: str | None
    calls: int
    """Model calls made by this process for memory, with the tokens the provider reported."""
    prompt_tokens: int
    completion_tokens: int
    rejected: int
    """Facts whose quote was not found in the source, or that were too many."""


class Background:
    """Schedules memorize runs; what is not done when the process ends waits in the store."""

    def __init__(self, core: Core, *, mode: ExtractionMode, listener: Listener | None) -> None:
        """Prepare without starting anything; the thread starts with the first synchronous turn."""
        self._core = core
        self._mode = mode
        self._listener = listener
        self._claims = Claims()
        self._jobs: deque[tuple[str, BaseStore]] = deque()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._thread: threading.Thread | None = None
        self._hiring = threading.Lock()
        self._total = Report()
        self._graph_over = lru_cache(maxsize=4)(lambda store: memorize_graph(core, store))

    def after_turn(self, user_id: str, store: BaseStore) -> Flow[None]:
        """Memorize what the turn left: now when inline, else soon and out of the way."""
        if self._mode == "inline":
            yield from self._hold(user_id)
            with self._claims.released_on_failure(user_id):
                yield from self._drain(user_id, store)
        else:
            yield from self._schedule(user_id, store)

    def flush(self, timeout: float | None = None) -> Flow[Status]:
        """Work through the whole queue, open and failed episodes included, and wait for it.

        Args:
            timeout: Seconds to wait; `None` waits to the end. What is left then goes on in the background.

        Returns:
            The status afterwards: `pending` is 0 if everything went well.
        """
        store = self._core.store()
        self._release_stalled()
        for user_id in (yield from self._users(store)):
            yield from self._schedule(user_id, store, is_forced=True)
        yield from self._wait(self._claims.wait_until_idle, timeout)
        return (yield from self.status())

    def status(self) -> Flow[Status]:
        """What waits in the store, and what this process has done."""
        (found,) = yield from batch(self._core.store(), [SearchOp(pending_root(self._core.root), limit=STATUS_LIMIT)])
        entries = [item.value for item in cast("list[SearchItem]", found)]
        total = self._total
        return Status(
            pending=len({(entry["user"], entry["episode"]) for entry in entries}),
            failed=len({(entry["user"], entry["episode"]) for entry in entries if entry["attempts"]}),
            running=self._claims.count,
            last_error=next(reversed(total.get("errors", [])), None),
            calls=total.get("calls", 0),
            prompt_tokens=total.get("prompt_tokens", 0),
            completion_tokens=total.get("completion_tokens", 0),
            rejected=sum(total.get("rejected", {}).values()),
        )

    def alone(self, user_id: str, flow: Flow[T], store: BaseStore) -> Flow[T]:
        """Run a flow while no memorize run of this process touches the user; what was asked for meanwhile runs next."""
        yield from self._hold(user_id)
        with self._claims.released_on_failure(user_id):
            value = yield from flow
        if not self._claims.end(user_id):
            yield from self._start(user_id, store)
        return value

    def stop(self, timeout: float) -> Flow[bool]:
        """Wait until nothing runs, at most `timeout` seconds; whether that was reached."""
        self._release_stalled()
        outcome = yield from attempt(self._wait(self._claims.wait_until_idle, timeout))
        return bool(outcome.value)

    def _schedule(self, user_id: str, store: BaseStore, *, is_forced: bool = False) -> Flow[None]:
        if self._claims.claim(user_id, is_forced=is_forced):
            yield from self._start(user_id, store)
        # else whoever works on this user looks once more before letting go

    def _start(self, user_id: str, store: BaseStore) -> Flow[None]:
        """Have a claimed user worked on: by a task of the running event loop, else by the thread."""

        async def start_task() -> None:
            drain = arun(self._drain(user_id, store))
            task = asyncio.get_running_loop().create_task(drain, context=contextvars.Context())
            self._tasks[task] = user_id
            task.add_done_callback(self._end_task)

        yield from Call(lambda: self._start_thread(user_id, store), start_task)

    def _end_task(self, task: asyncio.Task[None]) -> None:
        user_id = self._tasks.pop(task)
        if task.cancelled():  # perhaps before it took its first step, so it cannot let go by itself
            self._claims.release(user_id)

    def _start_thread(self, user_id: str, store: BaseStore) -> None:
        """Queue a user for the thread, which lives as long as somebody is queued."""
        with self._hiring:
            self._jobs.append((user_id, store))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="hybrid-memory", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while job := self._next_job():
            with self._claims.released_on_failure(job[0]):
                run(self._drain(*job))

    def _next_job(self) -> tuple[str, BaseStore] | None:
        with self._hiring:
            if self._jobs:
                return self._jobs.popleft()
            self._thread = None
            return None

    def _drain(self, user_id: str, store: BaseStore) -> Flow[None]:
        """Run the memorize graph for a claimed user until no turn has asked for it meanwhile."""
        while True:
            is_forced = self._claims.begin(user_id)
            outcome = yield from attempt(self._memorize(user_id, store, is_forced=is_forced))
            yield from self._note(user_id, outcome.value or _failure(outcome.error))
            if self._claims.end(user_id):
                return

    def _hold(self, user_id: str) -> Flow[None]:
        """Claim a user for the caller once nobody works on it; a caller cancelled while it waits holds nothing."""
        self._release_stalled()
        while not self._claims.take(user_id):
            yield from self._wait(self._claims.wait_until_free, user_id)

    def _wait(self, condition: Callable[P, bool], *args: P.args, **kwargs: P.kwargs) -> Call[bool]:
        """Wait for what runs in the background.

        Raises:
            HybridMemoryError: If it runs on the event loop that this would hold up.
        """

        def wait() -> bool:
            if any(task.get_loop() is _running_loop() for task in list(self._tasks)):
                msg = "this event loop is still learning, so waiting here would never end; await the method's twin"
                raise HybridMemoryError(msg)
            return condition(*args, **kwargs)

        return Call(wait, lambda: asyncio.to_thread(condition, *args, **kwargs))

    def _memorize(self, user_id: str, store: BaseStore, *, is_forced: bool) -> Flow[Report]:
        learns = self._mode != "manual" or is_forced
        state = MemorizeState(user_id=user_id, learns=learns, is_forced=is_forced)
        config = RunnableConfig(callbacks=[], run_name="memorize", recursion_limit=RECURSION_LIMIT)
        result: dict[str, Any] = yield from invoke(self._graph_over(store), state, config)
        return cast("Report", result["report"])

    def _note(self, user_id: str, report: Report) -> Flow[None]:
        self._total = add_reports(self._total, {**report, "learned": [], "errors": report.get("errors", [])[-1:]})
        if self._listener is not None:
            told = yield from attempt(_tell(self._listener, user_id, report))
            if told.error is not None:
                logger.error("on_memorized failed", exc_info=told.error)

    def _users(self, store: BaseStore) -> Flow[list[str]]:
        (found,) = yield from batch(store, [SearchOp(pending_root(self._core.root), limit=STATUS_LIMIT)])
        return list(dict.fromkeys(item.value["user"] for item in cast("list[SearchItem]", found)))

    def _release_stalled(self) -> None:
        """Give up the claims of tasks whose event loop no longer runs: they will never finish."""
        for task, user_id in list(self._tasks.items()):
            if not task.get_loop().is_running():
                self._claims.release(user_id)


def _failure(error: Exception | None) -> Report:
    return {"errors": [describe(error)]} if error else {}


def _tell(listener: Listener, user_id: str, report: Report) -> Flow[None]:
    yield from ()
    listener(user_id, report)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
