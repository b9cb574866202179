"""Law 4: nothing of an internal model call reaches the user's stream, whatever is streamed, and however.

Each turn here makes two internal calls, one that extracts and one that summarizes; both answers carry a marker that is
nowhere else. In the background they are made while the user's stream is still open: a step behind the turn waits for
them.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware.types import AgentMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import StreamMode

from langchain_hybrid_memory import HybridMemory, SummaryConfig, background
from langchain_hybrid_memory._flow import call as open_call
from tests.doubles.doors import Door
from tests.doubles.life import DOORS, SECONDS, configured, store_in_memory
from tests.doubles.scripted import ScriptedChatModel

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from tests.doubles.doors import Mode

MARKER = "xyzzy-internal"
STEPS = {"memorize", "load", "index", "extract", "consolidate", "summarize", "done"}
INTERNAL_NAMES = {*STEPS, "PydanticOutputParser"}
ANSWER = "Good to know, thank you."
MODES = get_args(StreamMode)
SHOWING = {"values", "updates", "debug", "checkpoints", "tasks"}
"""The modes that show the private channels; README names them."""
SAID = [HumanMessage("I'm Alex."), AIMessage("Hello Alex."), HumanMessage("I live in Lisbon.")]
EXTRACTED = {
    "facts": [],
    "entities": [{"name": "Lisbon", "type": "place", "aliases": []}],
    "thoughts": MARKER,
}

every_extraction = pytest.mark.parametrize("extraction", ["background", "inline"])
every_door = pytest.mark.parametrize("door", ["graph", "agent", "nodes"])
LASTING = ("v2", pytest.param("v3", marks=pytest.mark.filterwarnings("ignore:The v3 streaming protocol")))
DEPRECATED = pytest.param("v1", marks=pytest.mark.filterwarnings("ignore:astream_events version='v1'"))
every_version = pytest.mark.parametrize("version", [DEPRECATED, *LASTING])


class Leak(NamedTuple):
    """A place where an internal call could leak; a thread cannot, it has no part in the run's context."""

    mode: Mode
    extraction: str


every_leak = pytest.mark.parametrize(
    "leak", [Leak("sync", "inline"), Leak("async", "inline"), Leak("async", "background")], ids="-".join
)


class Listening(BaseCallbackHandler):
    """Remembers which chains and models it was told of."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_chain_start(self, *_: Any, **more: Any) -> None:
        self.heard.append(str(more.get("name")))

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.heard.append("chat model")


class Stage(NamedTuple):
    """An agent with a memory, and the model that the memory calls."""

    agent: Any
    brain: ScriptedChatModel

    @property
    def calls(self) -> list[str]:
        """The kinds of internal calls so far, in order."""
        return [made.kind for made in self.brain.calls]


def user_model() -> ScriptedChatModel:
    return ScriptedChatModel(replies=lambda _: ANSWER)


def set_up(door: str, extraction: Any) -> Stage:
    brain = ScriptedChatModel(replies=lambda _: MARKER, structured=lambda *_: EXTRACTED)
    summary = SummaryConfig(after_messages=2, keep_messages=1)
    memory = HybridMemory(brain, store=store_in_memory(), extraction=extraction, summary=summary)
    over = {"graph": graph_over, "agent": agent_over, "nodes": nodes_over}
    return Stage(over[door](memory), brain)


def graph_over(memory: HybridMemory) -> Any:
    """Put the turn graph into a larger one, which ends when the background is done."""
    builder = StateGraph(MessagesState)
    builder.add_node("turn", memory.graph(user_model()))
    builder.add_node("linger", lingering(memory))
    builder.add_edge(START, "turn")
    builder.add_edge("turn", "linger")
    builder.add_edge("linger", END)
    return builder.compile(checkpointer=InMemorySaver())


def nodes_over(memory: HybridMemory) -> Any:
    """Put the nodes into a graph of one's own, which ends when the background is done."""
    builder = StateGraph(MessagesState)
    builder.add_node("recall", memory.nodes.recall)
    builder.add_node("respond", memory.nodes.respond(user_model()))
    builder.add_node("record", memory.nodes.record)
    builder.add_node("linger", lingering(memory))
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "respond")
    builder.add_edge("respond", "record")
    builder.add_edge("record", "linger")
    builder.add_edge("linger", END)
    return builder.compile(checkpointer=InMemorySaver())


def agent_over(memory: HybridMemory) -> Any:
    """Make an agent that ends when the background is done; the first of the middleware ends last."""
    middleware: list[Any] = [Lingering(memory), memory.middleware()]
    return create_agent(user_model(), middleware=middleware, checkpointer=InMemorySaver())


def lingering(memory: HybridMemory) -> Runnable[Any, dict[str, Any]]:
    hook = Lingering(memory)

    async def ahook(state: Any) -> dict[str, Any]:
        return await hook.aafter_agent(state, None)

    return RunnableLambda(lambda state: hook.after_agent(state, None), ahook)


class Lingering(AgentMiddleware[Any, Any]):
    """Keeps the turn open until the memory has learned."""

    def __init__(self, memory: HybridMemory) -> None:
        super().__init__()
        self.memory = memory

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002 - langchain's signature
        assert self.memory.flush(SECONDS).pending == 0
        return {}

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002 - langchain's signature
        assert (await self.memory.aflush(SECONDS)).pending == 0
        return {}


async def watch(call: Door, agent: Any, stream_mode: Any) -> list[Any]:
    """Stream one turn."""
    return await call.collect(
        agent, "stream", {"messages": SAID}, configured("alex", "first"), stream_mode=stream_mode, subgraphs=True
    )


async def watch_events(call: Door, agent: Any, version: Any) -> list[Any]:
    """Collect a turn's events; before v3 they come asynchronously only, also those of synchronous nodes."""
    asked, config = {"messages": SAID}, configured("alex", "first")
    if version != "v3":
        return [event async for event in agent.astream_events(asked, config, version=version)]
    if call.mode == "sync":
        return await asyncio.to_thread(lambda: list(agent.stream_events(asked, config, version="v3")))
    return [event async for event in await agent.astream_events(asked, config, version="v3")]


def tokens(stream: list[Any]) -> list[str]:
    """The text chunks of a `messages` stream, in order."""
    return [chunk.text for _, (chunk, _) in stream if isinstance(chunk, AIMessageChunk) and chunk.text]


def event_tokens(events: list[Any], version: str) -> list[str]:
    """The text chunks that events of a version carry, in order."""
    if version != "v3":
        streamed = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
        return [chunk.text for chunk in streamed if chunk.text]
    data = [event["params"]["data"][0] for event in events if event["method"] == "messages"]
    return [part["delta"]["text"] for part in data if part["event"] == "content-block-delta"]


def names(stream: list[Any]) -> set[str]:
    """The names that events carry."""
    return {event["name"] for event in stream if "name" in event}


@pytest.fixture
def leaky(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the isolation of internal calls and of background tasks away: what the tests below must notice."""
    monkeypatch.setattr(background, "invoke", lambda runnable, value, _: open_call(runnable, value))
    monkeypatch.setattr(contextvars, "Context", contextvars.copy_context)


@every_door
@every_extraction
@pytest.mark.parametrize("stream_mode", [*MODES, list(MODES)], ids=str)
async def test_stream_shows_no_internal_call(call: Door, door: str, extraction: str, stream_mode: Any) -> None:
    stage = set_up(door, extraction)
    stream = await watch(call, stage.agent, stream_mode)
    assert stream
    assert stage.calls == ["structured", "chat"]
    assert MARKER not in repr(stream)


@every_door
@every_extraction
async def test_user_sees_the_tokens_of_the_bare_agent(call: Door, door: str, extraction: str) -> None:
    stage = set_up(door, extraction)
    bare = create_agent(user_model())
    seen = tokens(await watch(call, stage.agent, "messages"))
    assert seen == tokens(await watch(call, bare, "messages"))
    assert len(seen) == len(ANSWER.split())


@every_door
@every_extraction
@pytest.mark.parametrize("version", LASTING)
async def test_events_carry_the_tokens_of_the_bare_agent(call: Door, door: str, extraction: str, version: str) -> None:
    stage = set_up(door, extraction)
    seen = event_tokens(await watch_events(call, stage.agent, version), version)
    assert seen == event_tokens(await watch_events(call, create_agent(user_model()), version), version)
    assert "".join(seen) == ANSWER


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("stream_mode", MODES)
async def test_private_channels_are_seen_in_these_modes_alone(call: Door, door: str, stream_mode: str) -> None:
    memory = HybridMemory(store=store_in_memory(), checkpointer=InMemorySaver())
    stream = await watch(call, DOORS[door](memory, user_model()), stream_mode)
    assert stream
    assert ("recorded_through" in repr(stream)) == (stream_mode in SHOWING)


@every_door
@every_extraction
async def test_custom_stream_shows_memory_events_and_nothing_else(call: Door, door: str, extraction: str) -> None:
    stream = await watch(call, set_up(door, extraction).agent, "custom")
    later = ["memory.summarized"] if extraction == "inline" else []
    assert [event["type"] for _, event in stream] == ["memory.recalled", "memory.recorded", *later]


@every_door
@every_extraction
@every_version
async def test_no_internal_call_makes_an_event(call: Door, door: str, extraction: str, version: str) -> None:
    stage = set_up(door, extraction)
    events = await watch_events(call, stage.agent, version)
    assert stage.calls == ["structured", "chat"]
    assert MARKER not in repr(events)
    assert not INTERNAL_NAMES & names(events)


@every_door
@every_extraction
async def test_handler_of_the_run_hears_of_no_internal_call(call: Door, door: str, extraction: str) -> None:
    stage, handler = set_up(door, extraction), Listening()
    config = {**configured("alex", "first"), "callbacks": [handler]}
    await call(stage.agent, "invoke", {"messages": SAID}, config)
    assert stage.calls == ["structured", "chat"]
    assert handler.heard.count("chat model") == 1
    assert not INTERNAL_NAMES & set(handler.heard)


@pytest.mark.usefixtures("leaky")
@pytest.mark.parametrize("door", ["graph", "agent"])
@every_leak
async def test_leak_would_be_seen_in_the_stream(door: str, leak: Leak) -> None:
    """The control: if this sees nothing, the tests above prove nothing."""
    call, stage = Door(leak.mode), set_up(door, leak.extraction)
    stream = await watch(call, stage.agent, "messages")
    assert MARKER in repr(stream)


@pytest.mark.usefixtures("leaky")
@pytest.mark.parametrize("door", ["graph", "agent"])
@every_leak
@every_version
async def test_leak_would_be_seen_in_events(door: str, leak: Leak, version: str) -> None:
    """The control for events."""
    call, stage = Door(leak.mode), set_up(door, leak.extraction)
    events = await watch_events(call, stage.agent, version)
    assert MARKER in repr(events)
    assert version == "v3" or names(events) >= STEPS
