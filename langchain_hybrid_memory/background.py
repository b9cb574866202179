"""Runs the memorize graph after the reply, one run a user at a time, without holding up the turn or the exit."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore

from langchain_hybrid_memory._flow import Call, Flow, arun, attempt, blocking, invoke, run
from langchain_hybrid_memory.claims import Claims, Urgency
from langchain_hybrid_memory.config import ExtractionMode
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.errors import HybridMemoryError, describe
from langchain_hybrid_memory.leases import leased
from langchain_hybrid_memory.memorize import RECURSION_LIMIT, MemorizeState, memorize_graph
from langchain_hybrid_memory.origins import Origin, current_origin, metadata_of
from langchain_hybrid_memory.reports import Report, add_reports
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.status import Status, read_queue, read_status

T = TypeVar("T")
P = ParamSpec("P")

Listener: TypeAlias = Callable[[str, Report], None]
"""Called with the user id and the report of a finished memorize run, on the thread or loop that ran it."""

ORIGINS = 1_000
"""Of the latest turns that wait to be learned from, so many are known by their runs, for the traces."""

REST_SECONDS = 0.05
"""Work for memory starts so long after a turn has asked for it, so that it does not contend with the turn's own end."""

logger = logging.getLogger("langchain_hybrid_memory")


class _Wait(NamedTuple):
    """A user to look at again, unless a turn comes first."""

    store: BaseStore
    due_at: float
    """On the monotonic clock."""
    is_batch: bool
    """Whether turns are being gathered; else something failed and is tried again."""
    is_on_loop: bool


class Background:
    """Schedules memorize runs; what is not done when the process ends waits in the store."""

    def __init__(self, core: Core, *, mode: ExtractionMode, listener: Listener | None) -> None:
        """Prepare without starting anything; the thread starts with the first synchronous turn."""
        self._core = core
        self._mode = mode
        self._listener = listener
        self.owner = uuid.uuid4().hex
        self._claims = Claims()
        self._jobs: deque[tuple[str, BaseStore]] = deque()
        self._waits: dict[str, _Wait] = {}
        self._is_stopped = False
        self._capped: dict[str, int] = {}
        self._tasks: dict[asyncio.Task[Report], str] = {}
        self._thread: threading.Thread | None = None
        self._hiring = threading.Condition()
        self._total = Report()
        self._origins: deque[tuple[str, Origin]] = deque(maxlen=ORIGINS)
        self._graph_over = lru_cache(maxsize=4)(lambda store: memorize_graph(core, store))

    def after_turn(self, user_id: str, store: BaseStore) -> Flow[Report]:
        """Memorize what the turn left: now when inline, else soon and out of the way; what was learned by now."""
        if origin := current_origin():
            with self._hiring:
                self._origins.append((user_id, origin))
        if self._mode == "inline":
            yield from self._hold(user_id)
            with self._claims.released_on_failure(user_id):
                return (yield from self._drain(user_id, store))
        yield from self._schedule(user_id, store, Urgency.TURN)
        return {}

    def flush(self, timeout: float | None = None) -> Flow[Status]:
        """Work through the whole queue, open and failed episodes included, and wait for it.

        Args:
            timeout: Seconds to wait; `None` waits to the end. What is left then goes on in the background.

        Returns:
            The status afterwards: `pending` is 0 if everything went well.
        """
        return (yield from self._work_off(Urgency.FORCED, timeout))

    def drain(self, timeout: float | None = None) -> Flow[Status]:
        """Work through what is due in the whole queue, whoever left it there, and wait for it; as a worker does.

        Users that another process works on, turns that never ended and failures whose next attempt is not due are left
        alone.

        Args:
            timeout: Seconds to wait; `None` waits to the end.
        """
        return (yield from self._work_off(Urgency.DUE, timeout))

    def status(self) -> Flow[Status]:
        """What waits in the store, and what this process has done."""
        capped = sum(self._capped.values())
        return (yield from read_status(self._core, self._total, capped=capped, running=self._claims.count))

    def alone(self, scope: Scope, flow: Flow[T], store: BaseStore) -> Flow[T]:
        """Run a flow while nobody learns for the user, in no process as far as the store can tell.

        What was asked for meanwhile runs next.
        """
        user_id = scope.user_id
        yield from self._hold(user_id)
        with self._claims.released_on_failure(user_id):
            value = yield from leased(flow, scope, store, owner=self.owner, now=self._core.now)
        if not self._claims.end(user_id):
            yield from self._start(user_id, store)
        return value

    def stop(self, timeout: float) -> Flow[bool]:
        """Cut waits short and let what runs end, at most `timeout` seconds; whether nothing runs then.

        What failed is not tried again until somebody asks for work.
        """
        self._release_stalled()
        with self._hiring:
            waits, self._waits = self._waits, {}
            self._hiring.notify_all()
        if self._mode == "background":
            self._claims.ask_all(Urgency.DUE)
        for user_id, wait in waits.items():
            if wait.is_batch:
                yield from self._schedule(user_id, wait.store, Urgency.DUE)
        self._is_stopped = True
        outcome = yield from attempt(self._wait(self._claims.wait_until_idle, timeout))
        with self._hiring:
            self._waits = {}
            self._hiring.notify_all()
        return bool(outcome.value)

    def _work_off(self, urgency: Urgency, timeout: float | None) -> Flow[Status]:
        store = self._core.store()
        self._release_stalled()
        queue = yield from read_queue(self._core, store)
        for user_id in dict.fromkeys(entry["user"] for entry in queue):
            yield from self._schedule(user_id, store, urgency)
        yield from self._wait(self._claims.wait_until_idle, timeout)
        return (yield from self.status())

    def _schedule(self, user_id: str, store: BaseStore, urgency: Urgency) -> Flow[None]:
        self._is_stopped = False
        if self._claims.claim(user_id, urgency):
            yield from self._start(user_id, store)
        # else whoever works on this user looks once more before letting go

    def _start(self, user_id: str, store: BaseStore) -> Flow[None]:
        """Have a claimed user worked on: by a task of the running event loop, else by the thread."""

        async def start_task() -> None:
            self._start_task(user_id, store)

        yield from Call(lambda: self._start_thread(user_id, store), start_task)

    def _start_task(self, user_id: str, store: BaseStore) -> None:
        drain = arun(self._drain(user_id, store))
        task = asyncio.get_running_loop().create_task(drain, context=contextvars.Context())
        self._tasks[task] = user_id
        task.add_done_callback(self._end_task)

    def _end_task(self, task: asyncio.Task[Report]) -> None:
        user_id = self._tasks.pop(task)
        error = None if task.cancelled() else task.exception()
        # it could not let go by itself: it was cancelled, perhaps before it took its first step, or failed
        if task.cancelled() or error:
            self._claims.release(user_id)
        if error:
            logger.error("learning in the background failed: %s", describe(error), exc_info=self._core.shown(error))

    def _start_thread(self, user_id: str, store: BaseStore) -> None:
        with self._hiring:
            self._jobs.append((user_id, store))
            self._hire()

    def _hire(self) -> None:
        """Have a thread look at jobs and waits; it lives as long as there are any."""
        self._hiring.notify_all()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="hybrid-memory", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while job := self._next_job():
            with self._claims.released_on_failure(job[0]):
                run(self._drain(*job))

    def _next_job(self) -> tuple[str, BaseStore] | None:
        """Wait for the next user to work on; `None` once there is nothing to wait for."""
        with self._hiring:
            while not self._jobs:
                waits = {user: wait for user, wait in self._waits.items() if not wait.is_on_loop}
                if not waits:
                    self._thread = None
                    return None
                user_id, wait = min(waits.items(), key=lambda each: each[1].due_at)
                rest = wait.due_at - time.monotonic()
                if rest > 0:
                    self._hiring.wait(min(rest, threading.TIMEOUT_MAX))
                elif self._is_due(user_id, wait):
                    self._jobs.append((user_id, wait.store))
            return self._jobs.popleft()

    def _is_due(self, user_id: str, wait: _Wait) -> bool:
        """End a wait and claim its user; whether the caller has to start the run."""
        with self._hiring:
            if self._waits.get(user_id) is not wait:
                return False
            del self._waits[user_id]
        return self._claims.claim(user_id, Urgency.DUE)

    def _look_again(self, user_id: str, store: BaseStore, seconds: float, *, is_batch: bool) -> Flow[None]:
        """Have a user looked at once this time has passed without a turn."""

        def put(*, is_on_loop: bool) -> _Wait:
            with self._hiring:
                due_at = time.monotonic() + seconds
                self._waits[user_id] = wait = _Wait(store, due_at, is_batch=is_batch, is_on_loop=is_on_loop)
                if not is_on_loop:
                    self._hire()
            return wait

        async def call_later() -> None:
            wait = put(is_on_loop=True)

            def wake() -> None:
                if self._is_due(user_id, wait):
                    self._start_task(user_id, store)

            asyncio.get_running_loop().call_later(seconds, wake, context=contextvars.Context())

        yield from Call(lambda: put(is_on_loop=False) and None, call_later)

    def _drain(self, user_id: str, store: BaseStore) -> Flow[Report]:
        """Run the memorize graph for a claimed user until no turn has asked for it meanwhile; what came of it."""
        total = Report()
        while True:
            if self._mode != "inline":
                yield from blocking(self._claims.rest, user_id, REST_SECONDS)
            with self._hiring:
                self._waits.pop(user_id, None)
                self._hiring.notify_all()
            urgency = self._claims.begin(user_id)
            outcome = yield from attempt(self._memorize(user_id, store, urgency))
            result = outcome.value or MemorizeState(report=_failure(outcome.error))
            yield from self._note(user_id, result)
            total = add_reports(total, result["report"])
            if self._claims.end(user_id):
                seconds = self._core.memorize.retry_seconds if outcome.error else result.get("wait_seconds")
                if seconds is not None and self._mode == "background" and not self._is_stopped:
                    yield from self._look_again(user_id, store, seconds, is_batch=not outcome.error)
                return total

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

    def _memorize(self, user_id: str, store: BaseStore, urgency: Urgency) -> Flow[MemorizeState]:
        is_forced = urgency is Urgency.FORCED
        state = MemorizeState(
            user_id=user_id,
            learns=self._mode != "manual" or urgency is not Urgency.TURN,
            is_due=self._mode == "inline" or urgency is not Urgency.TURN,
            is_forced=is_forced,
            owner=self.owner,
        )
        with self._hiring:
            origins = [origin for user, origin in self._origins if user == user_id]
        config = RunnableConfig(
            callbacks=list(self._core.tracers),
            run_name="memorize",
            metadata=metadata_of(origins),
            recursion_limit=RECURSION_LIMIT,
        )
        result: Any = yield from invoke(self._graph_over(store), state, config)
        if state["learns"] and result.get("wait_seconds") is None and not result.get("capped"):
            self._unlink(user_id, origins)
        return cast("MemorizeState", result)

    def _unlink(self, user_id: str, origins: Sequence[Origin]) -> None:
        """Let go of the turns that have been learned from."""
        done = {(user_id, origin) for origin in origins}
        with self._hiring:
            self._origins = deque((each for each in self._origins if each not in done), maxlen=ORIGINS)

    def _note(self, user_id: str, result: MemorizeState) -> Flow[None]:
        report = result["report"]
        self._total = add_reports(
            self._total, {**report, "learned": [], "facts": [], "threads": [], "errors": report.get("errors", [])[-1:]}
        )
        self._total["errors"] = self._total["errors"][-1:]
        self._capped.pop(user_id, None)
        if capped := result.get("capped"):
            self._capped[user_id] = capped
        if self._listener is None and (errors := report.get("errors")):  # else nobody hears of it who does not ask
            logger.warning("not everything was learned, the rest stays queued: %s", errors[-1])
        if self._listener is not None:
            told = yield from attempt(_tell(self._listener, user_id, report))
            if told.error is not None:
                logger.error("on_memorized failed: %s", describe(told.error), exc_info=self._core.shown(told.error))

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
