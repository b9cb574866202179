"""Runs one generator of I/O calls either synchronously or asynchronously; nothing else knows the difference."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import GraphBubbleUp
from langgraph.store.base import GetOp, Item, SearchItem, SearchOp

from langchain_hybrid_memory.storable import read_item, storable_op

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.runnables import Runnable, RunnableConfig
    from langgraph.store.base import BaseStore, Op, Result

T = TypeVar("T")
P = ParamSpec("P")

PAGE = 500
"""Items a listing reads at a time."""
LEFT_LIMIT = 4
"""So many flows that were left alone may run at once, so that what hangs does not fill a process with threads."""
LEFT_SECONDS = 60.0
"""A flow that was left alone counts for so long: what hangs for ever does not keep others from being tried."""

POLL_SECONDS = 0.02
"""How often it is looked whether those have ended."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One I/O operation in both its spellings; `yield from` it to get its result."""

    run: Callable[[], T]
    arun: Callable[[], Awaitable[T]]

    def __iter__(self) -> Generator[Call[Any], Any, T]:
        """Hand the call to the driver and return what it sends back."""
        result: T = yield self
        return result


Flow: TypeAlias = Generator[Call[Any], Any, T]


class Outcome(NamedTuple, Generic[T]):
    """What became of a flow that was allowed to fail: exactly one of the two is meaningful."""

    value: T | None
    error: Exception | None


def run(flow: Flow[T]) -> T:
    """Drive a flow to its end on this thread and return its value."""
    try:
        call = next(flow)
        while True:
            try:
                result = call.run()
            except BaseException as error:  # noqa: BLE001 - handed to the flow, which names what it can mend
                call = flow.throw(error)
            else:
                call = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()


async def arun(flow: Flow[T]) -> T:
    """Drive a flow to its end on the running event loop and return its value."""
    try:
        call = next(flow)
        while True:
            try:
                result = await call.arun()
            except BaseException as error:  # noqa: BLE001 - cancellation included: the flow must see it
                call = flow.throw(error)
            else:
                call = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()


def attempt(flow: Flow[T] | Call[T]) -> Flow[Outcome[T]]:
    """Run a flow and report an exception instead of raising it.

    For the edges where code that is not ours (a model, a store, a hook) may raise anything and the caller has a place
    to record it. Cancellation and LangGraph's interrupts still pass through.
    """
    try:
        value = yield from flow
    except GraphBubbleUp:
        raise
    except Exception as error:  # noqa: BLE001 - the caller records it; see the docstring
        return Outcome(None, error)
    return Outcome(value, None)


def value_of(outcome: Outcome[T]) -> T:
    """What a flow returned that was allowed to fail; where it failed, its exception is raised after all."""
    if outcome.error is not None:
        raise outcome.error
    return cast("T", outcome.value)


def gather(flows: Iterable[Flow[T]]) -> Flow[list[T]]:
    """Run flows one after another when synchronous and side by side when asynchronous; results keep their order."""
    pending = list(flows)

    def run_each() -> list[T]:
        return [run(flow) for flow in pending]

    async def arun_together() -> list[T]:
        return list(await asyncio.gather(*(arun(flow) for flow in pending)))

    return (yield from Call(run_each, arun_together))


def blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Call[T]:
    """Call a library that has no asynchronous form; asynchronously it runs in a thread."""
    return Call(lambda: function(*args, **kwargs), lambda: asyncio.to_thread(function, *args, **kwargs))


class Patience:
    """Waits for a flow only so long; one that takes longer is left alone: it goes on, and nobody gets its result."""

    def __init__(self) -> None:
        """Start with nothing left alone."""
        self._left: dict[Future[Any] | asyncio.Task[Any], float] = {}

    def within(self, flow: Flow[T], seconds: float) -> Flow[T]:
        """Wait for a flow at most so long; `math.inf` waits to the end.

        Synchronously it runs in a thread that a process does not wait for when it exits.

        Raises:
            TimeoutError: If it takes longer, or several that took longer are still running.
        """
        limit = min(seconds, threading.TIMEOUT_MAX)
        return (yield from Call(lambda: self._wait(flow, limit), lambda: self._await(flow, limit)))

    def until_none_is_left(self, seconds: float) -> Call[bool]:
        """Wait at most so long for the flows that were left alone; whether all of them have ended."""
        until = time.monotonic() + seconds

        def wait() -> bool:
            while self._left and time.monotonic() < until:
                time.sleep(POLL_SECONDS)
            return not self._left

        async def await_them() -> bool:
            while self._left and time.monotonic() < until:  # noqa: ASYNC110 - threads and loops leave them
                await asyncio.sleep(POLL_SECONDS)
            return not self._left

        return Call(wait, await_them)

    def _wait(self, flow: Flow[T], seconds: float) -> T:
        self._check(flow)
        future: Future[T] = Future()
        target = contextvars.copy_context().run
        threading.Thread(target=target, args=(_fulfil, future, flow), name="hybrid-memory-step", daemon=True).start()
        try:
            return future.result(seconds)
        except TimeoutError:
            self._leave(future)
            raise

    async def _await(self, flow: Flow[T], seconds: float) -> T:
        self._check(flow)
        task = asyncio.create_task(arun(flow))
        try:
            await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            self._leave(task)
            raise TimeoutError
        return task.result()

    def _check(self, flow: Flow[Any]) -> None:
        past = time.monotonic() - LEFT_SECONDS
        if sum(since > past for since in list(self._left.values())) >= LEFT_LIMIT:
            flow.close()
            raise TimeoutError

    def _leave(self, running: Future[Any] | asyncio.Task[Any]) -> None:
        self._left[running] = time.monotonic()
        running.add_done_callback(self._forget)

    def _forget(self, ended: Future[Any] | asyncio.Task[Any]) -> None:
        self._left.pop(ended, None)
        if not ended.cancelled():
            ended.exception()  # else asyncio complains that nobody looked at it


def _fulfil(future: Future[T], flow: Flow[T]) -> None:
    try:
        value = run(flow)
    except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
        future.set_exception(error)
    else:
        future.set_result(value)


def batch(store: BaseStore, ops: Iterable[Op]) -> Flow[list[Result]]:
    """Run store operations in one round trip; results come in the order of `ops`, and no operations cost no trip.

    Every item a store answers with is checked: one from another namespace than was asked for is dropped, whatever the
    store's own matching does. This is where one user is kept from what is another's, a second time.
    """
    pending = list(ops)
    if not pending:
        return []
    results = yield from _answers(store, pending)
    return [_asked_for(op, result) for op, result in zip(pending, results, strict=True)]


def _answers(store: BaseStore, ops: list[Op]) -> Flow[list[Result]]:
    """What a store answers, unchecked; it sees no string that some store cannot keep."""
    asked = [storable_op(op) for op in ops]
    results: list[Result] = yield from Call(lambda: store.batch(asked), lambda: store.abatch(asked))
    return [_read(result) for result in results]


def _read(result: Result) -> Result:
    if isinstance(result, Item):
        return read_item(result)
    if isinstance(result, list):
        return cast("Result", [read_item(each) if isinstance(each, Item) else each for each in result])
    return result


def _asked_for(op: Op, result: Result) -> Result:
    """What of a store's answer lies where it was asked to look."""
    if isinstance(op, GetOp) and isinstance(result, Item):
        return result if (tuple(result.namespace), result.key) == (op.namespace, op.key) else None
    if isinstance(op, SearchOp) and isinstance(result, list):
        prefix, found = op.namespace_prefix, cast("list[SearchItem]", result)
        return [item for item in found if tuple(item.namespace[: len(prefix)]) == prefix]
    return result


def listing(store: BaseStore, namespace: tuple[str, ...]) -> Flow[list[SearchItem]]:
    """Everything under a namespace, page by page in the store's order; what lies elsewhere is left out."""
    items: dict[tuple[tuple[str, ...], str], SearchItem] = {}
    for offset in count(0, PAGE):
        (found,) = yield from _answers(store, [SearchOp(namespace, limit=PAGE, offset=offset)])
        page = cast("list[SearchItem]", found)
        items |= {(tuple(item.namespace), item.key): item for item in page}
        if len(page) < PAGE:
            break
    return [item for (place, _), item in items.items() if place[: len(namespace)] == namespace]


def invoke(runnable: Runnable[Any, T], value: object, config: RunnableConfig) -> Call[T]:
    """Invoke a runnable where no callback, stream or tracer of the caller's run can see it."""
    return secluded(lambda: runnable.invoke(value, config), lambda: runnable.ainvoke(value, config))


def secluded(function: Callable[[], T], afunction: Callable[[], Awaitable[T]]) -> Call[T]:
    """Call something that may run a model where no callback, stream or tracer of the caller's run can see it.

    An empty context is what keeps tokens and events of internal calls out of every stream of the surrounding graph:
    tags and private names are not enough.
    """

    async def awaited() -> T:
        return await afunction()

    async def acall() -> T:
        return await asyncio.create_task(awaited(), context=contextvars.Context())

    return Call(lambda: contextvars.Context().run(function), acall)


def call(runnable: Runnable[Any, T], value: object, *handlers: BaseCallbackHandler) -> Call[T]:
    """Invoke a runnable as a part of the present run: its callbacks, streams and traces include it.

    Args:
        runnable: What to invoke.
        value: Its input.
        handlers: Are told of this invocation too.
    """

    def config() -> RunnableConfig:
        return merge_configs(ensure_config(), {"callbacks": list(handlers)} if handlers else {})

    return Call(lambda: runnable.invoke(value, config()), lambda: runnable.ainvoke(value, config()))
