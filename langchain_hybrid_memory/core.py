"""Binds the steps to one memory's model, store and configuration, so that no door holds logic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, SystemMessage
from langgraph.runtime import get_runtime
from langgraph.store.base import BaseStore

from langchain_hybrid_memory._flow import Flow, Outcome, attempt
from langchain_hybrid_memory.budget import TokenCounter, is_from_person
from langchain_hybrid_memory.config import BufferConfig, ExtractConfig, MemorizeConfig, RecallConfig, SummaryConfig
from langchain_hybrid_memory.errors import HybridMemoryError, describe
from langchain_hybrid_memory.ledger import Ledger
from langchain_hybrid_memory.records import fingerprint
from langchain_hybrid_memory.redaction import Redactor
from langchain_hybrid_memory.scope import Scope, current_scope
from langchain_hybrid_memory.state import MemoryState, MemoryUpdate
from langchain_hybrid_memory.steps.compose import compose, is_stale
from langchain_hybrid_memory.steps.prune import prune
from langchain_hybrid_memory.steps.recall import recall
from langchain_hybrid_memory.steps.record import record

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
    memorize: MemorizeConfig = MemorizeConfig()
    redact: Redactor
    count: TokenCounter
    now: Callable[[], datetime]
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def learns(self) -> bool:
        """Whether there is a model to draw facts with."""
        return self.model is not None

    def store(self) -> BaseStore:
        """The store of the run this is called in; outside a run our own."""
        injected = _store_of_run() if self.prefers_injected_store else None
        return injected if injected is not None else self.own_store()

    def scope(self) -> Scope | None:
        """The scope of the run this is called in; `None` where memory is switched off for it.

        Raises:
            MissingUserError: If the run names no user.
        """
        return current_scope(self.root)

    def recalled(self, state: MemoryState) -> Flow[MemoryUpdate]:
        """The recall step for the present run; where it fails, the turn goes on with the window alone."""
        scope = self.scope()
        if scope is None:
            return {"recalled": None, "summary": None, "pinned": None, **_passed_over(state)}
        recalling = self.ledger.timed(
            "recall",
            recall(
                state,
                scope,
                self.store(),
                config=self.recall,
                buffer=self.buffer,
                now=self.now(),
                count=self.count,
                redact=self.redact,
                learns=self.learns,
            ),
            turns=_turn(state, scope),
        )
        outcome = yield from attempt(recalling)
        update = _value_or_logged(outcome, "recall", otherwise={"recalled": None})
        return {**update, **_passed_over(state)} if scope.is_read_only else update

    def recorded(self, state: MemoryState) -> Flow[MemoryUpdate]:
        """The record step for the present run; where it fails, the cursor stays and a later turn sweeps again."""
        scope = self.scope()
        if scope is None or scope.is_read_only:
            return _passed_over(state)
        now = self.now()
        recording = record(state, scope, self.store(), now=now, redact=self.redact, learns=self.learns)
        outcome = yield from attempt(self.ledger.timed("record", recording, turns=_turn(state, scope)))
        update = _value_or_logged(outcome, "record", otherwise={})
        if not update or not self.buffer.is_pruned:
            return update
        pruned = yield from attempt(prune(state, scope, self.store(), now=now, redact=self.redact))
        return {**update, **_value_or_logged(pruned, "prune", otherwise={})}

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
            recalled=None if is_stale(recalled, state["messages"]) else recalled,
            pinned=state.get("pinned"),
            buffer=self.buffer,
            placement=self.recall.placement,
            count=self.count,
        )


def _value_or_logged(outcome: Outcome[MemoryUpdate], step: str, *, otherwise: MemoryUpdate) -> MemoryUpdate:
    """What a step returned. Failing to remember never costs the reply, but a setting that cannot work is raised."""
    if outcome.value is not None:
        return outcome.value
    if isinstance(outcome.error, HybridMemoryError):
        raise outcome.error
    logger.error("%s failed and was left out of this turn: %s", step, describe(outcome.error))
    return otherwise


def _turn(state: MemoryState, scope: Scope) -> tuple[str, ...]:
    """The key of the present turn, as the log will have it; empty where nobody said anything."""
    said = [message for message in state["messages"] if is_from_person(message)]
    return (fingerprint(scope.thread_id, str(said[-1].id)),) if said else ()


def _passed_over(state: MemoryState) -> MemoryUpdate:
    """Move both cursors over a turn that must leave no trace, so that no later one sweeps it up or quotes it."""
    if not state["messages"]:
        return {}
    last = str(state["messages"][-1].id)
    return {"recorded_through": last, "skipped_through": last}


def _store_of_run() -> BaseStore | None:
    try:
        runtime = get_runtime()
    except RuntimeError:  # there is no run
        return None
    return runtime.store if runtime else None
