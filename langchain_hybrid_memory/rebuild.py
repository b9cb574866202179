"""Derives facts, entities and summaries again from the messages on record, aside, and swaps them in at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore

from langchain_hybrid_memory._flow import Flow, invoke, listing
from langchain_hybrid_memory.cards import Returned
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.errors import ConfigurationError, ExtractionError
from langchain_hybrid_memory.memorize import RECURSION_LIMIT, MemorizeState, memorize_graph
from langchain_hybrid_memory.records import StoredMessage
from langchain_hybrid_memory.reports import Report, add_reports
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.extract import choose_episodes
from langchain_hybrid_memory.steps.load import Episode, load
from langchain_hybrid_memory.steps.stage import begin, enqueue, episodes_of, finish, leave_out, note, staged, swap

Progress: TypeAlias = Callable[[int, int], None]
"""Called before each model call with how many turns are done and how many there are, and once more at the end."""

GIVE_UP = 5
"""After so many failures in a row the model is taken to be down."""
AHEAD = 100
"""A batch is chosen among this many turns."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Rebuilt(Returned):
    """What deriving everything again brought, and what it cost in this call."""

    turns: int
    facts: int
    """Facts learned, those that were superseded since included."""
    confirmed: int
    superseded: int
    rejected: Mapping[str, int]
    """Facts not kept, by reason."""
    calls: int
    """Model calls, with the tokens the provider reported."""
    prompt_tokens: int
    completion_tokens: int

    def _line(self) -> str:
        return f"{self.facts} facts of {self.turns} turns in {self.calls} calls"


def rebuild(scope: Scope, core: Core, store: BaseStore, *, owner: str, on_progress: Progress | None) -> Flow[Rebuilt]:
    """Run the memorize graph over all messages, over a stage of its own.

    Until everything is there, what was known stays as it is. An interrupted rebuild goes on where it was; one whose
    ground was changed meanwhile, by forgetting, pinning or correcting, starts anew.

    Raises:
        ConfigurationError: If there is no model.
        ExtractionError: If the model failed for some turns; the others are not done again when this is called again.
    """
    if not core.learns:
        msg = "rebuilding needs a model to learn with: give HybridMemory one"
        raise ConfigurationError(msg)
    yield from finish(scope, store)
    items = yield from listing(store, scope.namespace("messages"))
    messages = [cast("StoredMessage", item.value) for item in items if not item.value.get("is_abandoned")]
    episodes = episodes_of(messages, scope)
    run = _Run(scope, core, store, messages, owner)
    run.done = yield from begin(scope, store)
    for size in (AHEAD, 1):  # what fails in company is tried once more alone
        waiting = [episode for episode in episodes if episode["key"] not in run.done]
        while waiting and run.misses < GIVE_UP:
            _tell(on_progress, len(run.done), len(episodes))
            taken = yield from run.learn(waiting[:size])
            if not taken:
                return (yield from rebuild(scope, core, store, owner=owner, on_progress=on_progress))
            waiting = waiting[taken:]
    failed = len(episodes) - len(run.done)
    if failed:
        reason = next(reversed(run.report.get("errors", [])), "no reason given")
        msg = (
            f"{failed} of {len(episodes)} turns could not be learned again ({reason}); what was known stays as it was. "
            "Call rebuild() again to go on with those"
        )
        raise ExtractionError(msg)
    if not (yield from swap(scope, store, run.done)):
        return (yield from rebuild(scope, core, store, owner=owner, on_progress=on_progress))
    _tell(on_progress, len(episodes), len(episodes))
    return _rebuilt(run.report, len(episodes))


class _Run:
    """One rebuild: what it has done, and what that cost."""

    def __init__(
        self, scope: Scope, core: Core, store: BaseStore, messages: Sequence[StoredMessage], owner: str
    ) -> None:
        self._scope = scope
        self._core = core
        self._store = store
        self._owner = owner
        self._graph: CompiledStateGraph[Any, Any, Any, Any] = memorize_graph(core, store)
        self._messages: dict[str, list[StoredMessage]] = {}
        for message in messages:
            self._messages.setdefault(message["episode"], []).append(message)
        self.done: list[str] = []
        self.report = Report()
        self.misses = 0

    def learn(self, waiting: Sequence[Episode]) -> Flow[int]:
        """Learn from as many turns as go into one model call; how many were tried, none if the stage was dropped."""
        said = [message for episode in waiting for message in self._messages[episode["key"]]]
        chosen, _ = choose_episodes(waiting, said, config=self._core.extract, count=self._core.count)
        yield from enqueue(self._scope, self._store, chosen)
        given = MemorizeState(
            user_id=self._scope.user_id, learns=True, is_due=True, is_forced=True, is_staged=True, owner=self._owner
        )
        config = RunnableConfig(callbacks=list(self._core.tracers), run_name="rebuild", recursion_limit=RECURSION_LIMIT)
        result: dict[str, Any] = yield from invoke(self._graph, given, config)
        self.report = add_reports(self.report, cast("Report", result["report"]))
        left = yield from load(staged(self._scope), self._store)
        failed = {episode["key"] for episode in left}
        self.misses = self.misses + 1 if failed else 0
        self.done = [*self.done, *(episode["key"] for episode in chosen if episode["key"] not in failed)]
        yield from leave_out(self._scope, self._store, [key for episode in left for key in episode["entries"]])
        is_there = yield from note(self._scope, self._store, self.done)
        return len(chosen) if is_there else 0


def _tell(on_progress: Progress | None, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(done, total)


def _rebuilt(report: Report, turns: int) -> Rebuilt:
    return Rebuilt(
        turns=turns,
        facts=len(report.get("learned", [])),
        confirmed=report.get("confirmed", 0),
        superseded=report.get("superseded", 0),
        rejected=report.get("rejected", {}),
        calls=report.get("calls", 0),
        prompt_tokens=report.get("prompt_tokens", 0),
        completion_tokens=report.get("completion_tokens", 0),
    )
