"""Binds the steps to one memory's model, store and configuration, so that no door holds logic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, SystemMessage
from langgraph.config import get_config
from langgraph.runtime import get_runtime
from langgraph.store.base import BaseStore

from langchain_hybrid_memory._flow import Flow, Outcome, Patience, attempt
from langchain_hybrid_memory.budget import TokenCounter, is_from_person, last_human
from langchain_hybrid_memory.config import (
    BufferConfig,
    ExtractConfig,
    MemorizeConfig,
    RecallConfig,
    RecordConfig,
    SummaryConfig,
)
from langchain_hybrid_memory.errors import HybridMemoryError, StorageError, describe
from langchain_hybrid_memory.events import tell, tell_degraded, tell_recalled
from langchain_hybrid_memory.ledger import Cost, Ledger
from langchain_hybrid_memory.records import fingerprint
from langchain_hybrid_memory.redaction import Redactor, Remembering
from langchain_hybrid_memory.scope import Scope, current_scope
from langchain_hybrid_memory.state import MemoryState, MemoryUpdate, Pinned, Recalled, ThreadSummary
from langchain_hybrid_memory.steps.compose import compose, is_stale, with_block
from langchain_hybrid_memory.steps.prune import prune
from langchain_hybrid_memory.steps.recall import recall
from langchain_hybrid_memory.steps.record import cursor_index, record, rememberable
from langchain_hybrid_memory.steps.words import words_of
from langchain_hybrid_memory.turns import Place, Turns

logger = logging.getLogger("langchain_hybrid_memory")


@dataclass(frozen=True, kw_only=True)
class Core:
    """What every door of one `HybridMemory` shares."""

    model: BaseChatModel | None
    own_store: Callable[[], BaseStore]
    prefers_injected_store: bool
    """Whether a store that the run brings along goes before our own."""
    root: str
    buffer: BufferConfig
    summary: SummaryConfig
    recall: RecallConfig
    extract: ExtractConfig
    memorize: MemorizeConfig
    record: RecordConfig
    redact: Redactor
    count: TokenCounter
    now: Callable[[], datetime]
    debug: bool
    """Whether the log may hold what was remembered."""
    tracers: tuple[BaseCallbackHandler, ...]
    """Hear of the runs of memory's own, which nobody else hears of."""
    ledger: Ledger = field(default_factory=Ledger)
    patience: Patience = field(default_factory=Patience)
    turns: Turns = field(default_factory=Turns)

    @property
    def learns(self) -> bool:
        """Whether there is a model to draw facts with."""
        return self.model is not None

    def store(self) -> BaseStore:
        """The store of the run this is called in; outside a run our own."""
        injected = _store_of_run() if self.prefers_injected_store else None
        return injected if injected is not None else self.own_store()

    def scope(self, user_id: str = "") -> Scope | None:
        """The scope of the run this is called in, or of a bound user; `None` where memory is switched off for it.

        Raises:
            MissingUserError: If the run names no user.
        """
        return current_scope(self.root, user_id=user_id)

    def recalled(self, state: MemoryState) -> Flow[MemoryUpdate]:
        """The recall step for the present run; where it fails, the turn goes on with what the thread has.

        Raises:
            ConcurrentTurnError: If the thread is still answering another message.
        """
        scope = self.scope()
        if scope is None:
            return {"recalled": None, "summary": None, "pinned": None, **_passed_over(state)}
        remembered = self.remembering()
        self.turns.check(_place(), asked_id(state))
        recalling = recall(
            state,
            scope,
            self.store(),
            config=self.recall,
            buffer=self.buffer,
            now=self.now(),
            count=self.count,
            redact=remembered,
            learns=self.learns,
        )
        outcome = yield from self._in_time(recalling, "recall", state, scope)
        update = outcome.value or _degraded(state, scope, self._why(outcome.error))
        if outcome.error is None:
            self.count_redacted(remembered, _behind_cursor(state), turns=_turn(state, scope))
            yield from tell_recalled(scope.thread_id, update)
        return {**update, **_passed_over(state)} if scope.is_read_only else update

    def recorded(self, state: MemoryState) -> Flow[MemoryUpdate]:
        """The record step for the present run; where it fails, the cursor stays and a later turn sweeps again."""
        scope = self.scope()
        if scope is None or scope.is_read_only:
            return _passed_over(state)
        remembered = self.remembering()
        now = self.now()
        recording = record(state, scope, self.store(), now=now, redact=remembered, learns=self.learns)
        outcome = yield from self._in_time(recording, "record", state, scope)
        if outcome.error is None:
            self.count_redacted(remembered, _behind_cursor(state), turns=_turn(state, scope))
            ids = _said_in_turn(state, now=now)
            yield from tell("memory.recorded", scope.thread_id, ids=ids, messages=len(ids))
        if not outcome.value or not self.buffer.is_pruned:
            return outcome.value or {}
        pruning = prune(state, scope, self.store(), now=now, redact=remembered)
        pruned = yield from self._in_time(pruning, "prune", state, scope)
        return {**outcome.value, **(pruned.value or {})}

    def _in_time(
        self, flow: Flow[MemoryUpdate], step: str, state: MemoryState, scope: Scope
    ) -> Flow[Outcome[MemoryUpdate]]:
        """Run a step of a turn within the deadline; where it fails or is late, say so in the log and the stream.

        Failing to remember never costs the reply, but a setting that cannot work is raised.
        """
        waiting = self.patience.within(flow, self.recall.deadline_seconds)
        outcome = yield from attempt(self.ledger.timed(step, waiting, turns=_turn(state, scope)))
        if isinstance(outcome.error, HybridMemoryError) and not isinstance(outcome.error, StorageError):
            raise outcome.error
        if outcome.error is not None:
            why = self._why(outcome.error)
            logger.error("%s failed and was left out of this turn: %s", step, why, exc_info=self.shown(outcome.error))
            yield from tell_degraded(scope.thread_id, step, why)
        return outcome

    def shown(self, error: BaseException | None) -> BaseException | None:
        """An error as far as the log may show it: its text, or that of its cause, may quote what is remembered."""
        return error if self.debug else None

    def _why(self, error: Exception | None) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self.recall.deadline_seconds:g} seconds"
        return describe(error)

    def answering(self, state: MemoryState) -> AbstractContextManager[None]:
        """Within this block the newest message is being answered, and no other turn may begin on its thread."""
        return self.turns.answering(_place(), asked_id(state))

    def remembering(self) -> Remembering:
        """What one step may remember of texts."""
        return Remembering(self.redact, max_characters=self.record.max_characters)

    def count_redacted(self, remembered: Remembering, texts: Iterable[str], *, turns: Sequence[str] = ()) -> None:
        """Enter how many of the texts a step put on record had something taken out."""
        count = sum(text in remembered.redacted for text in texts)
        if count:
            self.ledger.note("redact", Cost(redacted=count), turns=turns)

    def refreshed(self, state: MemoryState) -> Flow[MemoryUpdate]:
        """Recall anew where what the state holds was brought for other words; nothing where it still counts."""
        return (yield from self.recalled(state)) if is_stale(state.get("recalled"), state["messages"]) else {}

    def composed(
        self,
        state: MemoryState,
        system_prompt: str | SystemMessage | None,
        messages: Sequence[AnyMessage] | None = None,
    ) -> tuple[SystemMessage | None, list[AnyMessage]]:
        """The prompt of a model call: the system message, if any, and what follows it.

        Args:
            state: What the thread holds.
            system_prompt: The application's own.
            messages: What the model is to see of the thread, where that is not the state's.
        """
        recalled = state.get("recalled")
        return compose(
            state["messages"] if messages is None else messages,
            system_prompt=system_prompt,
            summary=state.get("summary"),
            recalled=recalled if _is_shown(recalled, state) else None,
            pinned=state.get("pinned"),
            buffer=self.buffer,
            placement=self.recall.placement,
            count=self.count,
        )

    def composed_for_agent(self, state: MemoryState) -> list[AnyMessage]:
        """The messages for an agent with a prompt of its own; each has an id, to tell them from those it adds."""
        own: list[AnyMessage] = [message for message in state["messages"] if isinstance(message, SystemMessage)]
        spoken: list[AnyMessage] = [m for m in state["messages"] if not isinstance(m, SystemMessage)]
        system, messages = self.composed({**state, "messages": spoken}, None)
        newest = last_human(messages)
        if system and messages and is_from_person(messages[newest]):
            messages[newest] = with_block(messages[newest], system.text)
        return [*own, *(m if m.id else m.model_copy(update={"id": f"shown-{n}"}) for n, m in enumerate(messages))]


def _degraded(state: MemoryState, scope: Scope, why: str) -> MemoryUpdate:
    """What a turn goes on with that could not recall: what the thread has of this user from earlier turns."""
    update = MemoryUpdate(
        recalled=Recalled(message_id=asked_id(state), digest=_digest(state), keys=[], text="", degraded=why)
    )
    if not _is_of(state.get("summary"), scope):
        update["summary"] = None
    if not _is_of(state.get("pinned"), scope):
        update["pinned"] = None
    return update


def _is_shown(recalled: Recalled | None, state: MemoryState) -> bool:
    return recalled is not None and "degraded" not in recalled and not is_stale(recalled, state["messages"])


def _is_of(kept: ThreadSummary | Pinned | None, scope: Scope) -> bool:
    return kept is not None and kept.get("owner") == fingerprint(scope.user_id)


def _behind_cursor(state: MemoryState) -> list[str]:
    return [words_of(message) for message in state["messages"][cursor_index(state) + 1 :]]


def _turn(state: MemoryState, scope: Scope) -> tuple[str, ...]:
    """The key of the present turn, as the log will have it; empty where nobody said anything."""
    said = [message for message in state["messages"] if is_from_person(message)]
    return (fingerprint(scope.thread_id, str(said[-1].id)),) if said else ()


def _said_in_turn(state: MemoryState, *, now: datetime) -> list[str]:
    """Ids of what a turn has put on record: from its human message on, or from further back where that was missed."""
    first = min(last_human(state["messages"]), cursor_index(state) + 1)
    return [said.id for said in rememberable(state, now=now) if said.position >= first]


def _passed_over(state: MemoryState) -> MemoryUpdate:
    """Move both cursors over a turn that must leave no trace, so that no later one sweeps it up or quotes it."""
    if not state["messages"]:
        return {}
    last = str(state["messages"][-1].id)
    return {"recorded_through": last, "skipped_through": last}


def asked_id(state: MemoryState) -> str:
    """Id of the message that a turn answers; empty where there is none."""
    messages = state["messages"]
    return str(messages[last_human(messages)].id) if messages else ""


def _digest(state: MemoryState) -> str:
    messages = state["messages"]
    return fingerprint(messages[last_human(messages)].text) if messages else ""


def _place() -> Place:
    """Where the present run's turn takes place: its thread, and the nodes it is within, the last being its own."""
    configurable = get_config().get("configurable", {})
    *parents, _ = str(configurable.get("checkpoint_ns", "")).split("|")
    thread = configurable.get("thread_id")
    return (str(thread), *parents) if thread else ()


def _store_of_run() -> BaseStore | None:
    try:
        runtime = get_runtime()
    except RuntimeError:  # there is no run
        return None
    return runtime.store if runtime else None
