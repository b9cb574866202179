"""Runs one generator of I/O calls either synchronously or asynchronously; nothing else knows the difference."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.errors import GraphBubbleUp
from langgraph.store.base import SearchOp

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.runnables import Runnable, RunnableConfig
    from langgraph.store.base import BaseStore, Op, Result, SearchItem

T = TypeVar("T")
P = ParamSpec("P")

PAGE = 500
"""Items a listing reads at a time."""


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


def batch(store: BaseStore, ops: Iterable[Op]) -> Flow[list[Result]]:
    """Run store operations in one round trip; results come in the order of `ops`, and no operations cost no trip."""
    pending = list(ops)
    if not pending:
        return []
    return (yield from Call(lambda: store.batch(pending), lambda: store.abatch(pending)))


def listing(store: BaseStore, namespace: tuple[str, ...]) -> Flow[list[SearchItem]]:
    """Everything under a namespace, page by page in the store's order; what lies elsewhere is left out."""
    items: dict[tuple[tuple[str, ...], str], SearchItem] = {}
    for offset in count(0, PAGE):
        (found,) = yield from batch(store, [SearchOp(namespace, limit=PAGE, offset=offset)])
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
