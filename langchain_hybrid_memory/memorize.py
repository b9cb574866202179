"""The memorize graph: learns from what record queued, for one user a run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableLambda
from langgraph.errors import NodeError
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp
from langgraph.types import Command, RetryPolicy
from typing_extensions import TypedDict

from langchain_hybrid_memory._flow import Flow, arun, attempt, batch, run, value_of
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.errors import HybridMemoryError, StepFailedError, describe
from langchain_hybrid_memory.leases import LEASE_SECONDS, release_lease, take_lease
from langchain_hybrid_memory.ledger import Cost, since
from langchain_hybrid_memory.prompts.extraction import Extraction
from langchain_hybrid_memory.records import StoredMessage
from langchain_hybrid_memory.reports import Report, add_reports
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.branch import settle_branches
from langchain_hybrid_memory.steps.consolidate import consolidate
from langchain_hybrid_memory.steps.extract import (
    Meter,
    Neighbor,
    Usage,
    choose_episodes,
    extract,
    find_neighbors,
    prompt_size,
)
from langchain_hybrid_memory.steps.index import index
from langchain_hybrid_memory.steps.load import (
    Episode,
    failed,
    load,
    load_messages,
    ready,
    reread,
    seconds_to_retry,
    unsaid,
)
from langchain_hybrid_memory.steps.spend import is_spent, spend
from langchain_hybrid_memory.steps.stage import finish
from langchain_hybrid_memory.steps.summarize import summarize

RECURSION_LIMIT = 10_000
"""Steps a run may take: a batch of episodes takes six, so an import of thousands of messages still ends by itself."""

AGAIN = RetryPolicy(max_attempts=3, initial_interval=0.1, jitter=False, retry_on=Exception)
"""What only touches the store is tried again at once: a moment's trouble should not cost a second model call."""


class MemorizeState(TypedDict, total=False):
    """What passes between the steps; the first six are the input, the last three the output."""

    user_id: str
    learns: bool
    """Whether to extract and summarize; otherwise messages are only indexed."""
    is_due: bool
    """Whether to extract now (also when left out); otherwise only once enough turns wait."""
    is_forced: bool
    """Whether turns that never ended, and episodes whose next attempt is not due, are taken too."""
    is_staged: bool
    """Whether this is a rebuild, over a queue of its own and with results that are kept aside."""
    owner: str
    """Who runs the graph, for the lease; when left out, this run alone."""
    is_leased: bool
    queue: list[Episode]
    tried: list[str]
    chosen: list[Episode]
    messages: list[StoredMessage]
    abandoned: list[StoredMessage]
    """Messages of the chosen episodes that their thread went on without: what they gave is taken away."""
    neighbors: list[Neighbor]
    extraction: dict[str, Any]
    error: str | None
    wait_seconds: float | None
    """When to look again for what could not be worked on yet; `None` where nothing waits."""
    capped: int
    """Turns that wait for the next day, because the user has spent this day's tokens."""
    report: Annotated[Report, add_reports]


class _Steps:
    """The steps of the graph, bound to one memory's core."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def _scope(self, state: MemorizeState, thread_id: str = "") -> Scope:
        return Scope(
            user_id=state.get("user_id", ""),
            thread_id=thread_id,
            root=self._core.root,
            is_staged=state.get("is_staged", False),
        )

    def load(self, state: MemorizeState) -> Flow[MemorizeState]:
        scope, store = self._scope(state), self._core.store()
        owner = state.get("owner") or uuid.uuid4().hex
        is_leased = self._core.learns and bool(state.get("learns"))
        if is_leased:
            is_forced = state.get("is_forced", False)
            is_leased = yield from take_lease(scope, store, owner=owner, now=self._core.now(), is_forced=is_forced)
        if is_leased and not scope.is_staged:
            yield from finish(scope, store)
        queue = yield from load(scope, store)
        if not scope.is_staged and (yield from settle_branches(scope, store, queue, now=self._core.now())):
            queue = yield from load(scope, store)
        return {"queue": queue, "owner": owner, "is_leased": is_leased, "error": None}

    def index(self, state: MemorizeState) -> Flow[MemorizeState]:
        scope, store = self._scope(state), self._core.store()
        indexing = index(scope, store, state["queue"])
        count = yield from self._core.ledger.timed("index", indexing, turns=_keys(state["queue"]))
        update = MemorizeState(report={"indexed": count}, chosen=[], messages=[], wait_seconds=None)
        if not self._core.learns or not state.get("learns"):
            return update
        if not state["is_leased"]:
            return {**update, "wait_seconds": LEASE_SECONDS}
        update |= yield from self._choose(state, scope, store)
        if not update["chosen"] and not scope.is_staged:  # a rebuild keeps it from one batch to the next
            yield from release_lease(scope, store, owner=state["owner"], now=self._core.now())
        return update

    def _choose(self, state: MemorizeState, scope: Scope, store: BaseStore) -> Flow[MemorizeState]:
        """Which episodes the next model call reads, if it is time for one, and else how long that takes."""
        now, is_forced, extract = self._core.now(), state.get("is_forced", False), self._core.extract
        queue = state["queue"]
        waiting = ready(queue, tried=state.get("tried", []), config=extract, now=now, is_forced=is_forced)
        retries = [seconds_to_retry(episode, now=now) for episode in queue if episode["attempts"]]
        nothing = MemorizeState(chosen=[], wait_seconds=min(retries, default=None), capped=0)
        if not waiting:
            return nothing
        if not scope.is_staged and (yield from is_spent(scope, store, cap=extract.daily_tokens, now=now)):
            return {**nothing, "capped": len(waiting), "wait_seconds": None}
        loaded = yield from load_messages(scope, store, waiting)
        messages = [message for message in loaded if not message.get("is_abandoned")]
        if not is_forced and not state.get("is_due", True) and not self._is_batch(waiting, messages):
            return {**nothing, "wait_seconds": min([self._core.memorize.after_seconds, *retries])}
        ordered = _as_said(waiting, loaded)
        chosen, said = choose_episodes(ordered, messages, config=extract, count=self._core.count)
        keys = set(_keys(chosen))
        gone = [unsaid(m) for m in loaded if m["episode"] in keys and m.get("is_abandoned")]
        return {"chosen": chosen, "messages": said, "abandoned": gone, "capped": 0}

    def _is_batch(self, waiting: Sequence[Episode], messages: Sequence[StoredMessage]) -> bool:
        """Whether enough turns wait for a model call; one that failed has waited already."""
        config = self._core.memorize
        tokens = sum(self._core.count(message["text"]) for message in messages)
        return waiting[0]["attempts"] > 0 or len(waiting) >= config.after_turns or tokens >= config.after_tokens

    def extract(self, state: MemorizeState) -> Flow[MemorizeState]:
        if not state["messages"] or self._core.model is None:
            return {"extraction": Extraction(facts=[], entities=[]).model_dump(), "neighbors": []}
        started, meter = time.perf_counter(), Meter()
        outcome = yield from attempt(self._extracted(state, self._core.model, meter))
        yield from self._spent(state, "extract", meter, started)
        if outcome.value is not None:
            return {**outcome.value, "report": {**outcome.value["report"], **_cost(meter.usage)}}
        reason = describe(outcome.error)
        return {"error": reason, "report": {**_cost(meter.usage), "errors": [reason]}}

    def _extracted(self, state: MemorizeState, model: BaseChatModel, meter: Meter) -> Flow[MemorizeState]:
        config, store, messages = self._core.extract, self._core.store(), state["messages"]
        neighbors = yield from find_neighbors(self._scope(state), store, messages, limit=config.neighbors)
        size = prompt_size(messages, neighbors, config=config, count=self._core.count)
        answer = yield from extract(model, messages, neighbors, config=config, meter=meter)
        return {"extraction": answer.model_dump(), "neighbors": neighbors, "report": {"largest_prompt": size}}

    def _spent(self, state: MemorizeState, step: str, meter: Meter, started: float) -> Flow[None]:
        """Enter what a step with model calls cost, and count it towards the user's day."""
        cost = Cost(**meter.usage._asdict(), milliseconds=since(started))
        self._core.ledger.note(step, cost, turns=_keys(state["chosen"]))
        if self._core.extract.daily_tokens is not None:
            spending = spend(self._scope(state), self._core.store(), tokens=cost.tokens, now=self._core.now())
            yield from attempt(spending)  # a cap is no reason to lose what was paid for

    def consolidate(self, state: MemorizeState) -> Flow[MemorizeState]:
        scope, store = self._scope(state), self._core.store()
        said = yield from reread(scope, store, state["messages"])  # some of it may have been forgotten since
        consolidating = consolidate(
            scope,
            store,
            [*said, *state.get("abandoned", ())],
            Extraction.model_validate(state["extraction"]),
            neighbors=state["neighbors"],
            config=self._core.extract,
            now=self._core.now(),
        )
        settled = yield from self._core.ledger.timed("consolidate", consolidating, turns=_keys(state["chosen"]))
        report = Report(
            learned=[settled.facts[key]["text"] for key in settled.added],
            facts=settled.added,
            confirmed=len(settled.confirmed),
            superseded=len(settled.superseded),
            rejected=dict(settled.rejected),
        )
        return {"report": report}

    def summarize(self, state: MemorizeState) -> Flow[MemorizeState]:
        if self._core.model is None:
            return {}
        started, meter = time.perf_counter(), Meter()
        outcome = yield from attempt(self._summarized(state, self._core.model, meter))
        if meter.usage.calls:
            yield from self._spent(state, "summarize", meter, started)
        errors = [describe(outcome.error)] if outcome.error else []
        folded = outcome.value or {}
        report = Report(summarized=sum(folded.values()), threads=list(folded), errors=errors)
        return {"report": {**_cost(meter.usage), **report}}

    def _summarized(self, state: MemorizeState, model: BaseChatModel, meter: Meter) -> Flow[dict[str, int]]:
        """Bring the summaries of the batch's threads up to date; how many messages were folded in, by thread."""
        folded: dict[str, int] = {}
        store, config, count = self._core.store(), self._core.summary, self._core.count
        for thread in dict.fromkeys(episode["thread"] for episode in state["chosen"] if episode["thread"]):
            scope = self._scope(state, thread)
            count_folded = yield from summarize(scope, store, model, config=config, count=count, meter=meter)
            folded |= {thread: count_folded} if count_folded else {}
        return folded

    def done(self, state: MemorizeState) -> Flow[MemorizeState]:
        error, pending = state.get("error"), self._scope(state).pending
        retry_seconds, now = self._core.memorize.retry_seconds, self._core.now()
        entries = {key: entry for episode in state["chosen"] for key, entry in episode["entries"].items()}
        found = yield from batch(self._core.store(), [GetOp(pending, key) for key in entries])
        ops: list[Op] = []
        for key in [item.key for item in found if isinstance(item, Item)]:  # others were forgotten meanwhile
            left = failed(entries[key], error=error, retry_seconds=retry_seconds, now=now) if error else None
            ops.append(PutOp(pending, key, cast("dict[str, Any] | None", left), index=False))
        yield from batch(self._core.store(), ops)
        tried = [*state.get("tried", []), *(episode["key"] for episode in state["chosen"])]
        return {"tried": tried, "report": {"failed": len(state["chosen"]) if error else 0}}


def memorize_graph(
    core: Core, store: BaseStore | None = None
) -> CompiledStateGraph[MemorizeState, None, MemorizeState, MemorizeState]:
    """Compile `load - index - extract - consolidate - summarize - done` for one memory.

    It runs in the background, as a node, in a worker or on a server alike: compiled without a store it takes the one
    that the run brings along. Give it `user_id`, `learns` and `is_forced`; it returns a `report`. A failing model or
    store leaves the episodes pending, with the error noted, and ends the run well.
    """
    steps = _Steps(core)
    # `add_node` takes a handler of a `NodeError`, its annotations do not know it yet
    consolidation_failed: Any = _consolidation_failed
    builder = StateGraph(MemorizeState)
    builder.add_node("load", _node(core, steps.load, "load"), retry_policy=AGAIN)
    builder.add_node("index", _node(core, steps.index, "index"), retry_policy=AGAIN)
    builder.add_node("extract", _node(core, steps.extract, "extract"))
    consolidate_node = _node(core, steps.consolidate, "consolidate")
    builder.add_node("consolidate", consolidate_node, retry_policy=AGAIN, error_handler=consolidation_failed)
    builder.add_node("summarize", _node(core, steps.summarize, "summarize"))
    builder.add_node("done", _node(core, steps.done, "done"), retry_policy=AGAIN)
    builder.add_edge(START, "load")
    builder.add_edge("load", "index")
    builder.add_conditional_edges("index", _after_index, ["extract", END])
    builder.add_conditional_edges("extract", _after_extract, ["consolidate", "summarize"])
    builder.add_edge("consolidate", "summarize")
    builder.add_edge("summarize", "done")
    builder.add_edge("done", "load")
    return builder.compile(name="memorize", checkpointer=False, store=store)


def _node(
    core: Core, step: Callable[[MemorizeState], Flow[MemorizeState]], name: str
) -> RunnableLambda[MemorizeState, MemorizeState]:
    """A step as a node. What it raises is logged by LangGraph when it is tried again, so it must quote nothing."""

    def quiet(state: MemorizeState) -> Flow[MemorizeState]:
        outcome = yield from attempt(step(state))
        if outcome.error is None or core.debug or isinstance(outcome.error, HybridMemoryError):
            return value_of(outcome)
        raise StepFailedError(describe(outcome.error)) from None

    async def astep(state: MemorizeState) -> MemorizeState:
        return await arun(quiet(state))

    return RunnableLambda(lambda state: run(quiet(state)), astep, name=name)


def _as_said(episodes: Sequence[Episode], messages: Sequence[StoredMessage]) -> list[Episode]:
    """Order episodes by when they were said: those recorded together share their time of recording."""
    said = {m["episode"]: (m["at"], m["thread"], m["position"]) for m in reversed(messages)}
    return sorted(episodes, key=lambda episode: said.get(episode["key"], (episode["recorded_at"], "", 0)))


def _after_index(state: MemorizeState) -> str:
    return "extract" if state["chosen"] else END


def _after_extract(state: MemorizeState) -> str:
    return "summarize" if state.get("error") else "consolidate"


def _consolidation_failed(_state: MemorizeState, error: NodeError) -> Command[Literal["summarize"]]:
    reason = describe(error.error)
    return Command(update={"error": reason, "report": {"errors": [reason]}}, goto="summarize")


def _keys(episodes: Sequence[Episode]) -> list[str]:
    return [episode["key"] for episode in episodes]


def _cost(usage: Usage) -> Report:
    return {"calls": usage.calls, "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
