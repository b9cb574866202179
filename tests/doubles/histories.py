"""Makes up what may happen to a thread, and lives it through the steps: turns, failures, edits, removals, learning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langgraph.graph.message import add_messages
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory._flow import run
from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.config import BufferConfig, RecallConfig, SummaryConfig
from langchain_hybrid_memory.core import _passed_over
from langchain_hybrid_memory.redaction import keep_everything
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.state import MemoryState, MemoryUpdate
from langchain_hybrid_memory.steps.compose import compose
from langchain_hybrid_memory.steps.extract import Meter
from langchain_hybrid_memory.steps.prune import prune
from langchain_hybrid_memory.steps.recall import recall
from langchain_hybrid_memory.steps.record import record
from langchain_hybrid_memory.steps.summarize import summarize
from tests.doubles.builders import ALEX, NOW
from tests.doubles.scripted import ScriptedChatModel

TOKEN = re.compile(r"<\d+>")
SUMMARY = SummaryConfig(after_messages=3, keep_messages=1, summary_tokens=50_000)


@dataclass(frozen=True, slots=True)
class Turn:
    """A person says something, the model looks things up, and answers; or something goes wrong before."""

    rounds: tuple[tuple[str, ...], ...] = ()
    """The ids of the calls made at once, round by round."""
    lost: frozenset[str] = frozenset()
    """Calls that get no result."""
    has_interruption: bool = False
    """Whether the person speaks once more between a call and its result."""
    has_system: bool = False
    is_inserted: bool = False
    """Whether a middleware puts a message of its own in."""
    ends: str = "answered"
    """Or `failed`: the model raised; `silent`: the turn was to leave no trace."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Other words under the id of a message, the n-th from the end: an edit, or an id used twice."""

    at: int


@dataclass(frozen=True, slots=True)
class Remove:
    """The application takes the n-th message from the end out of the thread."""

    at: int


@dataclass(frozen=True, slots=True)
class Learn:
    """The background works: it summarizes, and extracts from all turns but the n-th of the queue."""

    but: int


Event = Turn | Edit | Remove | Learn
calls = st.lists(st.sampled_from(["c1", "c2", "c3"]), min_size=1, max_size=3, unique=True).map(tuple)
turns = st.builds(
    Turn,
    rounds=st.lists(calls, max_size=2).map(tuple),
    lost=st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from(["c1", "c2"]))),
    has_interruption=st.sampled_from([False, False, True]),
    has_system=st.sampled_from([False, False, True]),
    is_inserted=st.sampled_from([False, False, False, True]),
    ends=st.sampled_from(["answered", "answered", "answered", "failed", "silent"]),
)
events: st.SearchStrategy[Event] = st.one_of(
    *[turns] * 8,  # most of what happens
    st.builds(Edit, st.integers(0, 12)),
    st.builds(Remove, st.integers(0, 12)),
    st.builds(Learn, st.integers(0, 9)),
    st.just(Learn(99)),
)


@dataclass(slots=True)
class Removal:
    """What a pruning took out, and how things stood when it did."""

    before: list[AnyMessage]
    gone: set[str]
    logged: dict[str, str]
    waiting: set[str]
    folded: set[str]


@dataclass(slots=True)
class Prompt:
    """What a model call was shown of which thread."""

    messages: list[AnyMessage]
    system: SystemMessage | None
    shown: list[AnyMessage]


def reduced(messages: Sequence[AnyMessage], *changes: BaseMessage) -> list[AnyMessage]:
    """What LangGraph makes of a channel of messages when these come in."""
    left, right = cast("tuple[Any, Any]", ([*messages], [*changes]))  # its own type wants lists of more than messages
    return cast("list[AnyMessage]", add_messages(left, right))


@dataclass(repr=False)
class Thread:
    """A thread with memory, over a store of its own; every text in it holds a token that no other text holds."""

    buffer: BufferConfig
    store: InMemoryStore = field(default_factory=InMemoryStore)
    state: MemoryState = field(default_factory=lambda: cast("MemoryState", {"messages": []}))
    own: list[AnyMessage] = field(default_factory=list)
    """The messages as the application alone would have them."""
    folded: list[str] = field(default_factory=list)
    """The tokens that were given to the summary, each time."""
    prompts: list[Prompt] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    said: int = 0

    def live(self, history: Sequence[Event]) -> None:
        """Let everything happen."""
        for event in history:
            match event:
                case Turn():
                    self._talk(event)
                case Edit(at) if at < len(self.messages):
                    message = self.messages[-1 - at]
                    self._add(message.model_copy(update={"content": self._words()}))
                case Remove(at) if at < len(self.messages):
                    self._add(RemoveMessage(str(self.messages[-1 - at].id)))
                case Learn(but):
                    self._learn(but)

    @property
    def messages(self) -> list[AnyMessage]:
        return self.state["messages"]

    def logged(self) -> dict[str, str]:
        """The texts in the log by message id."""
        found = self.store.search(ALEX.namespace("messages"), limit=1_000)
        return {item.key: item.value["text"] for item in found}

    def _talk(self, turn: Turn) -> None:
        scope = Scope(user_id=ALEX.user_id, thread_id="t1", is_read_only=turn.ends == "silent")
        if turn.has_system:
            self._add(SystemMessage(self._words()))
        self._add(HumanMessage(self._words()))
        config = RecallConfig(candidates=5)
        recalled = recall(self.state, scope, self.store, config=config, buffer=self.buffer, now=NOW)
        self._update(run(recalled))
        if turn.ends == "silent":
            self._update(_passed_over(self.state))
        self._look_up(turn)
        self._ask()
        if turn.ends == "failed":
            return
        self._add(AIMessage(self._words()))
        if turn.ends == "silent":
            self._update(_passed_over(self.state))
            return
        self._update(run(record(self.state, scope, self.store, now=NOW)))
        if self.buffer.is_pruned:
            self._prune(scope)

    def _look_up(self, turn: Turn) -> None:
        for called in turn.rounds:
            self._ask()
            made = [ToolCall(name="look", args={}, id=each) for each in called]
            self._add(AIMessage("", tool_calls=made))
            if turn.has_interruption:
                self._add(HumanMessage(self._words()))
            if turn.is_inserted:
                self._add(HumanMessage(self._words(), additional_kwargs={"lc_source": "summarization"}))
            for each in called:
                if each not in turn.lost:
                    self._add(ToolMessage(self._words(), tool_call_id=each))

    def _ask(self) -> None:
        """Compose the prompt of a model call."""
        before = [message.model_copy(deep=True) for message in self.messages]
        system, shown = compose(
            self.messages,
            system_prompt="Be kind.",
            summary=self.state.get("summary"),
            recalled=self.state.get("recalled"),
            buffer=self.buffer,
        )
        self.prompts.append(Prompt(before, system, shown))
        assert self.messages == before

    def _learn(self, but: int) -> None:
        model = ScriptedChatModel(replies=self._fold)
        meter = Meter()
        run(summarize(ALEX, self.store, model, config=SUMMARY, count=approximate_tokens, meter=meter))
        for number, item in enumerate(self.store.search(ALEX.pending, limit=1_000)):
            if number != but:
                self.store.delete(item.namespace, item.key)

    def _fold(self, messages: Sequence[BaseMessage]) -> str:
        new = TOKEN.findall(messages[-1].text.split("New messages:")[1])
        self.folded += new
        return " ".join(TOKEN.findall(messages[-1].text))

    def _prune(self, scope: Scope) -> None:
        pending = self.store.search(ALEX.pending, limit=1_000)
        removal = Removal(
            before=self.messages,
            gone=set(),
            logged=self.logged(),
            waiting={key for item in pending for key in item.value["message_ids"]},
            folded=set(self.folded),
        )
        update = run(prune(self.state, scope, self.store, now=NOW, redact=keep_everything))
        removal.gone |= {str(message.id) for message in update.get("messages", [])}
        self.removals.append(removal)
        self._update(update)

    def _update(self, update: MemoryUpdate) -> None:
        messages = reduced(self.messages, *update.get("messages", []))
        self.state = cast("MemoryState", {**self.state, **update, "messages": messages})

    def _add(self, message: BaseMessage) -> None:
        named: Any = message if message.id else message.model_copy(update={"id": f"m{self.said}"})
        self.said += 1
        for messages in (self.own, self.messages):
            if isinstance(message, RemoveMessage) and message.id not in {known.id for known in messages}:
                continue
            messages[:] = reduced(messages, named)

    def _words(self) -> str:
        self.said += 1
        return f"<{self.said}>"
