"""One generator of calls does the same synchronously and asynchronously, and internal calls stay invisible."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import GetOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory import _flow
from langchain_hybrid_memory._flow import Call, Flow
from tests.doubles.scripted import ScriptedChatModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import Item

    from tests.doubles.doors import Door, Mode

INTERNAL = "internal words"


def saying(value: str) -> Call[str]:
    """Return the value with the spelling that made it."""

    async def asay() -> str:
        await asyncio.sleep(0)
        return f"async {value}"

    return Call(lambda: f"sync {value}", asay)


def failing(error: BaseException) -> Call[str]:
    """Raise in either spelling."""

    def fail() -> str:
        raise error

    async def afail() -> str:
        await asyncio.sleep(0)
        raise error

    return Call(fail, afail)


# --- run and arun ---


async def test_both_spellings_give_the_same(call: Door) -> None:
    def flow() -> Flow[str]:
        first = yield from saying("one")
        second = yield from saying("two")
        return f"{first}, {second}"

    assert await call(_flow, "run", flow()) == f"{call.mode} one, {call.mode} two"


async def test_flow_without_calls_returns(call: Door) -> None:
    def flow() -> Flow[int]:
        yield from ()
        return 7

    assert await call(_flow, "run", flow()) == 7


async def test_exception_is_mended_in_the_flow(call: Door) -> None:
    def flow() -> Flow[str]:
        try:
            yield from failing(KeyError("lost"))
        except KeyError:
            return (yield from saying("mended"))
        return "unreached"

    assert await call(_flow, "run", flow()) == f"{call.mode} mended"


async def test_unmended_exception_is_raised_after_finally(call: Door) -> None:
    seen: list[str] = []

    def flow() -> Flow[str]:
        try:
            return (yield from failing(KeyError("lost")))
        finally:
            seen.append((yield from saying("cleaned")))

    with pytest.raises(KeyError, match="lost"):
        await call(_flow, "run", flow())
    assert seen == [f"{call.mode} cleaned"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()], ids=repr)
def test_base_exception_reaches_the_flow(error: BaseException) -> None:
    seen: list[BaseException] = []

    def flow() -> Flow[str]:
        try:
            return (yield from failing(error))
        except BaseException as caught:
            seen.append(caught)
            raise

    with pytest.raises(type(error)):
        _flow.run(flow())
    assert seen == [error]


def test_stop_iteration_of_a_call_does_not_end_the_flow() -> None:
    """A `next()` that runs dry inside a library must not look like the flow's own end; no coroutine can raise one."""

    def flow() -> Flow[str]:
        return (yield from failing(StopIteration("not a value")))

    with pytest.raises(RuntimeError, match="StopIteration"):
        _flow.run(flow())


async def test_cancellation_reaches_the_flow_and_finally_runs() -> None:
    seen: list[str] = []

    def flow() -> Flow[None]:
        try:
            yield from Call(lambda: None, lambda: asyncio.sleep(60))
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append((yield from saying("cleaned")))

    task = asyncio.create_task(_flow.arun(flow()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "async cleaned"]


async def test_cancelling_an_invoke_cancels_the_model() -> None:
    model = ScriptedChatModel(replies=["one two"], token_delay_seconds=30)

    def flow() -> Flow[AIMessage]:
        return (yield from _flow.invoke(model, "hi", {}))

    task = asyncio.create_task(_flow.arun(flow()))
    await asyncio.sleep(0.05)
    assert model.calls
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- gather ---


async def test_gather_keeps_the_order(call: Door) -> None:
    def delayed(number: int) -> Flow[int]:
        seconds = 0.03 - number / 100
        yield from Call(lambda: time.sleep(seconds), lambda: asyncio.sleep(seconds))
        return number

    assert await call(_flow, "run", _flow.gather(delayed(number) for number in range(3))) == [0, 1, 2]


async def test_gather_of_nothing_is_empty(call: Door) -> None:
    assert await call(_flow, "run", _flow.gather([])) == []


async def test_gather_runs_side_by_side_when_asynchronous() -> None:
    """Each flow waits for all the others, so that one after another would never end."""
    meeting = asyncio.Barrier(3)

    def meet() -> Flow[int]:
        return (yield from Call(lambda: 0, meeting.wait))

    async with asyncio.timeout(5):
        assert sorted(await _flow.arun(_flow.gather(meet() for _ in range(3)))) == [0, 1, 2]


async def test_cancelling_a_gather_cancels_every_flow() -> None:
    seen: list[int] = []

    def wait(number: int) -> Flow[None]:
        try:
            yield from Call(lambda: None, lambda: asyncio.sleep(60))
        finally:
            seen.append(number)

    task = asyncio.create_task(_flow.arun(_flow.gather(wait(number) for number in range(2))))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(seen) == [0, 1]


async def test_gather_raises_what_a_flow_raised(call: Door) -> None:
    def good() -> Flow[str]:
        return (yield from saying("good"))

    def bad() -> Flow[str]:
        return (yield from failing(KeyError("lost")))

    with pytest.raises(KeyError, match="lost"):
        await call(_flow, "run", _flow.gather([good(), bad()]))


# --- attempt ---


async def test_attempt_gives_the_value(call: Door) -> None:
    def flow() -> Flow[str]:
        return (yield from saying("fine"))

    assert await call(_flow, "run", _flow.attempt(flow())) == (f"{call.mode} fine", None)


async def test_attempt_reports_the_exception(call: Door) -> None:
    error = ConnectionError("down")

    def flow() -> Flow[str]:
        return (yield from failing(error))

    assert await call(_flow, "run", _flow.attempt(flow())) == (None, error)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_attempt_lets_interrupts_and_cancellation_pass(error: BaseException) -> None:
    def flow() -> Flow[str]:
        return (yield from failing(error))

    with pytest.raises(type(error)):
        _flow.run(_flow.attempt(flow()))


# --- blocking ---


async def test_blocking_leaves_the_loop_free(call: Door) -> None:
    def work(number: int, *, name: str) -> tuple[int, str]:
        return threading.get_ident(), name * number

    def flow() -> Flow[tuple[int, str]]:
        return (yield from _flow.blocking(work, 2, name="ab"))

    ident, text = await call(_flow, "run", flow())
    assert text == "abab"
    assert ident != threading.get_ident()


def test_blocking_stays_on_the_thread_when_synchronous() -> None:
    def flow() -> Flow[int]:
        return (yield from _flow.blocking(threading.get_ident))

    assert _flow.run(flow()) == threading.get_ident()


# --- batch ---


async def test_batch_answers_in_the_order_of_the_operations(call: Door) -> None:
    store = InMemoryStore()
    put = PutOp(("a",), "key", {"text": "kept"})
    assert await call(_flow, "run", _flow.batch(store, [put])) == [None]
    results: list[Any] = await call(
        _flow, "run", _flow.batch(store, iter([GetOp(("a",), "none"), GetOp(("a",), "key"), SearchOp(("a",))]))
    )
    missing, item, (hit,) = results
    kept: Item = item
    assert (missing, kept.value, hit.key) == (None, {"text": "kept"}, "key")


async def test_batch_of_nothing_makes_no_trip(call: Door) -> None:
    unreachable: Any = object()
    assert await call(_flow, "run", _flow.batch(unreachable, [])) == []


# --- invoke and call ---

STREAM_MODES = ["values", "updates", "messages", "custom", "debug", "tasks", "checkpoints"]
ASKED = {"messages": [("user", "hello")]}
MakeCall: TypeAlias = "Callable[[ScriptedChatModel], Call[AIMessage]]"

every_version = pytest.mark.parametrize(
    "version",
    [
        pytest.param("v1", marks=pytest.mark.filterwarnings("ignore:astream_events version='v1'")),
        "v2",
        pytest.param("v3", marks=pytest.mark.filterwarnings("ignore:The v3 streaming protocol")),
    ],
)


def open_call(model: ScriptedChatModel) -> Call[AIMessage]:
    """Call the model as a part of the run: the control that must be seen."""
    return _flow.call(model, "hi")


def internal_call(model: ScriptedChatModel) -> Call[AIMessage]:
    """Call the model as the library does for itself."""
    return _flow.invoke(model, "hi", {"callbacks": []})


def graph_with(make_call: MakeCall, mode: Mode) -> CompiledStateGraph[Any]:
    """Build a graph whose one node calls a streaming model and keeps the answer to itself."""
    model = ScriptedChatModel(replies=lambda _: INTERNAL, token_delay_seconds=0.001)

    def flow() -> Flow[dict[str, Any]]:
        answer = yield from make_call(model)
        assert answer.text == INTERNAL
        return {"messages": [AIMessage("done", id="done")]}

    def node(state: MessagesState) -> dict[str, Any]:
        assert state["messages"]
        return _flow.run(flow())

    async def anode(state: MessagesState) -> dict[str, Any]:
        assert state["messages"]
        return await _flow.arun(flow())

    builder = StateGraph(MessagesState)
    builder.add_node("remember", node if mode == "sync" else anode)
    builder.add_edge(START, "remember")
    return builder.compile()


def shows_the_call(seen: list[Any]) -> bool:
    """Tell whether a word or an event of the model's call is in what a caller saw."""
    text = repr(seen)
    return any(word in text for word in (*INTERNAL.split(), "ScriptedChatModel", "chat_model"))


async def watch_stream(call: Door, make_call: MakeCall, stream_mode: str) -> list[Any]:
    graph = graph_with(make_call, call.mode)
    return await call.collect(graph, "stream", ASKED, stream_mode=stream_mode, subgraphs=True)


async def watch_events(call: Door, make_call: MakeCall, version: Any) -> list[Any]:
    """Collect events; before v3 they come asynchronously only, also those of a synchronous node."""
    graph = graph_with(make_call, call.mode)
    if version != "v3":
        return [event async for event in graph.astream_events(ASKED, version=version)]
    if call.mode == "sync":
        return await asyncio.to_thread(lambda: list(graph.stream_events(ASKED, version="v3")))
    return [event async for event in await graph.astream_events(ASKED, version="v3")]


async def test_open_call_streams_its_tokens(call: Door) -> None:
    """The control: if nothing is seen here, the tests below prove nothing."""
    assert shows_the_call(await watch_stream(call, open_call, "messages"))


@every_version
async def test_open_call_makes_events(call: Door, version: str) -> None:
    """The control for events."""
    assert shows_the_call(await watch_events(call, open_call, version))


@pytest.mark.parametrize("stream_mode", STREAM_MODES)
async def test_internal_call_is_in_no_stream(call: Door, stream_mode: str) -> None:
    assert not shows_the_call(await watch_stream(call, internal_call, stream_mode))


async def test_empty_context_alone_hides_the_call(call: Door) -> None:
    """Both of the two guards, empty context and no callbacks, hold by themselves."""
    assert not shows_the_call(await watch_stream(call, lambda model: _flow.invoke(model, "hi", {}), "messages"))


async def test_internal_call_sees_no_context_of_the_run(call: Door) -> None:
    place = contextvars.ContextVar("place", default="nowhere")
    model = ScriptedChatModel(replies=lambda _: place.get())

    def flow() -> Flow[tuple[str, str]]:
        place.set("in the run")
        internal = yield from _flow.invoke(model, "hi", {})
        within = yield from _flow.call(model, "hi")
        return internal.text, within.text

    assert await call(_flow, "run", flow()) == ("nowhere", "in the run")


@every_version
async def test_internal_call_is_in_no_event(call: Door, version: str) -> None:
    seen = await watch_events(call, internal_call, version)
    assert seen
    assert not shows_the_call(seen)


@pytest.mark.parametrize(("make_call", "starts"), [(open_call, 1), (internal_call, 0)])
async def test_callbacks_of_the_run_hear_of_open_calls_only(call: Door, make_call: MakeCall, starts: int) -> None:
    listener = StartListener()
    await call(graph_with(make_call, call.mode), "invoke", ASKED, {"callbacks": [listener]})
    assert listener.starts == starts


async def test_internal_call_reports_to_its_own_callbacks(call: Door) -> None:
    listener = StartListener()

    def flow() -> Flow[AIMessage]:
        return (yield from _flow.invoke(ScriptedChatModel(), "hi", {"callbacks": [listener]}))

    assert (await call(_flow, "run", flow())).text == "You said: hi"
    assert listener.starts == 1


class StartListener(BaseCallbackHandler):
    """Counts the chat model calls it hears of."""

    def __init__(self) -> None:
        self.starts = 0

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.starts += 1


# --- patience ---


class Held:
    """Flows that end when `gate` is set."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.ended: list[str] = []

    def flow(self, name: str) -> Flow[str]:
        async def await_gate() -> bool:
            return await asyncio.to_thread(self.gate.wait, 10)

        yield from Call(lambda: self.gate.wait(10), await_gate)
        self.ended.append(name)
        return name


async def test_flow_in_time_gives_its_value_or_its_error(call: Door) -> None:
    patience = _flow.Patience()
    assert await call(_flow, "run", patience.within(saying_flow(), math.inf)) == f"{call.mode} words"
    with pytest.raises(KeyError):
        await call(_flow, "run", patience.within(failing_flow(KeyError()), 10))


async def until_none_is_left(patience: _flow.Patience) -> None:
    """Wait for the flows that were left alone."""
    while patience._left:  # noqa: ASYNC110 - threads and tasks end them
        await asyncio.sleep(0.001)


def saying_flow() -> Flow[str]:
    return (yield from saying("words"))


def failing_flow(error: Exception) -> Flow[str]:
    return (yield from failing(error))


async def test_late_flow_is_left_alone_and_goes_on(call: Door) -> None:
    held, patience = Held(), _flow.Patience()
    with pytest.raises(TimeoutError):
        await call(_flow, "run", patience.within(held.flow("late"), 0.01))
    assert held.ended == []
    held.gate.set()
    await until_none_is_left(patience)
    assert held.ended == ["late"]


async def test_only_so_many_late_flows_run_at_once_and_new_ones_are_tried_when_they_end(call: Door) -> None:
    held, patience = Held(), _flow.Patience()
    for number in range(_flow.LEFT_LIMIT + 2):
        with pytest.raises(TimeoutError):
            await call(_flow, "run", patience.within(held.flow(str(number)), 0.01))
    held.gate.set()
    await until_none_is_left(patience)
    assert await call(_flow, "run", patience.within(held.flow("next"), 10)) == "next"
    assert sorted(held.ended) == [*map(str, range(_flow.LEFT_LIMIT)), "next"], "the others were not even begun"


async def test_flows_that_hang_for_ever_do_not_keep_others_from_being_tried(
    call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_flow, "LEFT_SECONDS", 0.0)
    held, patience = Held(), _flow.Patience()
    for number in range(_flow.LEFT_LIMIT):
        with pytest.raises(TimeoutError):
            await call(_flow, "run", patience.within(held.flow(str(number)), 0.01))
    assert await call(_flow, "run", patience.within(saying_flow(), 10)) == f"{call.mode} words"
    held.gate.set()


async def test_cancelled_wait_cancels_the_flow() -> None:
    held, patience = Held(), _flow.Patience()
    task = asyncio.create_task(_flow.arun(patience.within(held.flow("cancelled"), 10)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.gate.set()
    await asyncio.sleep(0.01)
    assert held.ended == []
