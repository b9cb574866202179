"""One life of a process: a memory over real files, a graph that talks, and an end after which all is opened anew."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore, Op, PutOp, Result
from langgraph.store.memory import InMemoryStore
from pydantic import Field

from langchain_hybrid_memory import HybridMemory, MemorizeConfig, RecallConfig
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.leases import is_shared
from langchain_hybrid_memory.state import MemoryState
from tests.doubles.doors import Door
from tests.doubles.embedding import WordEmbedding
from tests.doubles.extractor import extracting_model
from tests.doubles.scripted import ScriptedChatModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from langgraph.checkpoint.base import BaseCheckpointSaver

    from langchain_hybrid_memory import Fact, Status
    from tests.doubles.doors import Mode

INTRODUCTION = (
    "Hi, I'm Alex and I live in Lisbon.",
    "My friend Sarah works at Google as a software engineer.",
    "She's been there for 3 years and loves it.",
    "I'm planning a trip to Japan in March.",
    "I prefer budget accommodation and love trying local food.",
)
"""What Alex tells on the first day."""
KNOWN = (
    "name is Alex",
    "lives in Lisbon",
    "Sarah works at Google",
    "Sarah is a software engineer",
    "held that job for 3 years",
    "trip to Japan in March",
    "prefers budget accommodation",
    "loves trying local food",
)
"""A few words of each fact that follows from it."""
AT_ONCE = MemorizeConfig(after_turns=1)
"""Extract after each turn, so that no test waits for more turns to come."""
SECONDS = 30.0
"""No test waits longer than this for the background."""
PATIENT = RecallConfig(deadline_seconds=SECONDS)
"""A turn of a test does not give up on the store because the machine is busy."""


Watch: TypeAlias = Callable[[str, list[Op]], None]
"""Gets `before` or `after`, and the operations of a batch."""


def watch_nothing(_: str, __: list[Op]) -> None:
    """Let every batch pass."""


def note(messages: Sequence[BaseMessage]) -> str:
    """Answer without repeating anything."""
    return f"Noted, number {len(messages)}."


def digest(messages: Sequence[BaseMessage]) -> str:
    """Summarize by repeating what was given: the summary so far and each new message."""
    so_far, _, new = messages[-1].text.removesuffix("\n\nSummary:").partition("\n\nNew messages:\n")
    return f"{so_far.removeprefix('Summary so far:')}\n{new}".replace("\nnone\n", "\n").strip()


def talking_model(**options: Any) -> ScriptedChatModel:
    """Make the model of the user's agent."""
    return ScriptedChatModel(**{"replies": note, **options})


def learning_model(**options: Any) -> ScriptedChatModel:
    """Make the model for internal calls: it extracts by rule, rewords on every call, and summarizes by repeating."""
    return extracting_model(**{"replies": digest, **options})


class GatedChatModel(ScriptedChatModel):
    """Holds each call until `gate` is set; `entered` is set as soon as one waits."""

    gate: threading.Event = Field(default_factory=threading.Event)
    entered: threading.Event = Field(default_factory=threading.Event)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        self.entered.set()
        assert self.gate.wait(SECONDS)
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self.entered.set()
        while not self.gate.is_set():  # noqa: ASYNC110 - threads and event loops share the gate
            await asyncio.sleep(0.005)
        return await super()._agenerate(*args, **kwargs)


def gated(model: ScriptedChatModel) -> GatedChatModel:
    """Put a gate before a scripted model; it takes over the script, not the calls so far."""
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    return GatedChatModel(**fields)


async def until(event: threading.Event) -> None:
    """Wait for a thread or task to get somewhere, without holding up the loop."""
    assert await asyncio.to_thread(event.wait, SECONDS)


class WatchedStore(BaseStore):
    """Tells `watch` of each batch, `before` and `after` it; what that raises comes out of the store."""

    def __init__(self, store: BaseStore, watch: Watch) -> None:
        self.store = store
        self.watch = watch

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        asked = list(ops)
        self.watch("before", asked)
        results = self.store.batch(asked)
        self.watch("after", asked)
        return results

    @property
    def is_shared(self) -> bool:
        return is_shared(self.store)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        asked = list(ops)
        self.watch("before", asked)
        results = await self.store.abatch(asked)
        self.watch("after", asked)
        return results


class SharedStore(WatchedStore):
    """A store that says other processes may use it."""

    is_shared = True


def store_in_memory(embedding: WordEmbedding | None = None) -> InMemoryStore:
    """Make LangGraph's own store, searching by words."""
    chosen = embedding or WordEmbedding()
    return InMemoryStore(index={"embed": chosen, "dims": chosen.dimensions, "fields": ["text"]})


def configured(user: str | None, thread: str | None, **more: Any) -> dict[str, Any]:
    """Write a run's config."""
    named = {"user_id": user, "thread_id": thread, **more}
    return {"configurable": {name: value for name, value in named.items() if value is not None}}


def turn_agent(memory: HybridMemory, chat: ScriptedChatModel, **_: Any) -> Any:
    """Door 1: the whole loop as a graph."""
    return memory.graph(chat)


def middleware_agent(memory: HybridMemory, chat: ScriptedChatModel, *, tools: Sequence[Any] = ()) -> Any:
    """Door 2: an agent of LangChain's with the memory as middleware."""
    middleware: Any = memory.middleware()  # its state is an AgentState, though not by name
    agent: Any = create_agent(
        chat, tools=[*tools], middleware=[middleware], store=memory.store, checkpointer=memory.checkpointer
    )
    return agent


def nodes_agent(memory: HybridMemory, chat: ScriptedChatModel, **_: Any) -> Any:
    """Door 3: a graph of one's own, whose schema knows nothing of memory."""

    def respond(state: MemoryState) -> dict[str, Any]:
        system, messages = memory._core.composed(state, None)
        return {"messages": [chat.invoke([system, *messages] if system else messages)]}

    builder = StateGraph(MessagesState)
    builder.add_node("recall", memory.nodes.recall)
    builder.add_node("respond", respond)
    builder.add_node("record", memory.nodes.record)
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "respond")
    builder.add_edge("respond", "record")
    return builder.compile(checkpointer=memory.checkpointer, store=memory.store)


DOORS: Mapping[str, Callable[..., Any]] = {"graph": turn_agent, "agent": middleware_agent, "nodes": nodes_agent}


@dataclass(frozen=True, slots=True)
class Life:
    """A memory, and an agent with it that somebody talks to."""

    memory: HybridMemory
    agent: Any
    chat: ScriptedChatModel
    call: Door

    async def say(self, text: str, *, user: str | None = "alex", thread: str | None = "first", **more: Any) -> str:
        """Say something to the agent and return its answer."""
        config = configured(user, thread, **more)
        result = await self.call(self.agent, "invoke", {"messages": [("user", text)]}, config)
        return cast("AIMessage", result["messages"][-1]).text

    async def flush(self) -> Status:
        """Let the memory learn everything that is queued."""
        return cast("Status", await self.call(self.memory, "flush", SECONDS))

    async def facts(self, user: str = "alex", **options: Any) -> list[Fact]:
        """What is known about a user."""
        return cast("list[Fact]", await self.call(self.memory.for_user(user), "facts", **options))

    @property
    def prompt(self) -> str:
        """What the agent's model was shown last."""
        return self.chat.calls_of("chat")[-1].prompt


@asynccontextmanager
async def open_checkpointer(mode: Mode, path: Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """Open the SQLite checkpointer of this spelling."""
    if mode == "async":
        async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
            yield saver
    else:
        with SqliteSaver.from_conn_string(str(path)) as saver:
            yield saver


@asynccontextmanager
async def open_life(
    mode: Mode,
    path: Path,
    *,
    brain: ScriptedChatModel | None,
    chat: ScriptedChatModel | None = None,
    embedding: WordEmbedding | None = None,
    door: str = "graph",
    watch: Watch = watch_nothing,
    shell: type[WatchedStore] = WatchedStore,
    **options: Any,
) -> AsyncIterator[Life]:
    """Open store and checkpointer in a directory, talk through one of the doors, and close everything."""
    call, chat = Door(mode), chat or talking_model()
    async with (
        open_checkpointer(mode, path / "threads.sqlite") as checkpointer,
        open_store(path / "memory", embedding=embedding or WordEmbedding()) as store,
    ):
        options = {"memorize": AT_ONCE, "recall": PATIENT, **options}
        memory = HybridMemory(brain, store=shell(store, watch), checkpointer=checkpointer, **options)
        yield Life(memory, DOORS[door](memory, chat), chat, call)
        await close(memory, mode)


async def close(memory: HybridMemory, mode: Mode) -> None:
    """Close a memory in this spelling: let what runs end."""
    await (memory.aclose() if mode == "async" else asyncio.to_thread(memory.close))


def count(facts: Sequence[Fact], words: str) -> int:
    """How many facts contain these words."""
    return sum(words in fact.text for fact in facts)


def puts(ops: Iterable[Op], kind: str) -> list[PutOp]:
    """The writes of one kind, `messages`, `facts`, `pending` and so on, among store operations."""
    return [op for op in ops if isinstance(op, PutOp) and kind in op.namespace]
