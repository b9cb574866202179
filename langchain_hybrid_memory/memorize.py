"""The memorize graph: learns from what record queued, for one user a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from langchain_core.runnables import RunnableLambda
from langgraph.errors import NodeError
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore, PutOp
from langgraph.types import Command
from typing_extensions import TypedDict

from langchain_hybrid_memory._flow import Flow, arun, batch, run
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.errors import describe
from langchain_hybrid_memory.memories import StoredMessage
from langchain_hybrid_memory.prompts.extraction import Extraction
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.consolidate import consolidate
from langchain_hybrid_memory.steps.extract import Neighbor, Usage, choose_episodes, extract, find_neighbors, prompt_size
from langchain_hybrid_memory.steps.index import index
from langchain_hybrid_memory.steps.load import Episode, load, load_messages, ready
from langchain_hybrid_memory.steps.stage import finish
from langchain_hybrid_memory.steps.summarize import summarize

RECURSION_LIMIT = 10_000
"""Steps a run may take: a batch of episodes takes six, so an import of thousands of messages still ends by itself."""


class Report(TypedDict, total=False):
    """What a run did: counts of what the step names say, and the texts of new facts for a progress line."""

    indexed: int
    learned: list[str]
    confirmed: int
    superseded: int
    rejected: dict[str, int]
    summarized: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    largest_prompt: int
    """Tokens of the longest extraction prompt, as counted here; at most 1,500 and `ExtractConfig.batch_tokens` and what
    number, date and speaker add to each message, if the application adds no instructions."""
    failed: int
    errors: list[str]


def add_reports(one: Report, other: Report) -> Report:
    """Add up two reports; texts and errors are joined in order."""
    return Report(
        indexed=one.get("indexed", 0) + other.get("indexed", 0),
        learned=one.get("learned", []) + other.get("learned", []),
        confirmed=one.get("confirmed", 0) + other.get("confirmed", 0),
        superseded=one.get("superseded", 0) + other.get("superseded", 0),
        rejected=dict(Counter(one.get("rejected", {})) + Counter(other.get("rejected", {}))),
        summarized=one.get("summarized", 0) + other.get("summarized", 0),
        calls=one.get("calls", 0) + other.get("calls", 0),
        prompt_tokens=one.get("prompt_tokens", 0) + other.get("prompt_tokens", 0),
        completion_tokens=one.get("completion_tokens", 0) + other.get("completion_tokens", 0),
        largest_prompt=max(one.get("largest_prompt", 0), other.get("largest_prompt", 0)),
        failed=one.get("failed", 0) + other.get("failed", 0),
        errors=one.get("errors", []) + other.get("errors", []),
    )


class MemorizeState(TypedDict, total=False):
    """What passes between the steps; the first four are the input, `report` is the output."""

    user_id: str
    learns: bool
    """Whether to extract and summarize; otherwise messages are only indexed."""
    is_forced: bool
    """Whether turns that never ended and episodes that failed too often are taken too."""
    is_staged: bool
    """Whether this is a rebuild, over a queue of its own and with results that are kept aside."""
    queue: list[Episode]
    tried: list[str]
    chosen: list[Episode]
    messages: list[StoredMessage]
    neighbors: list[Neighbor]
    extraction: dict[str, Any]
    error: str | None
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
        if not scope.is_staged:
            yield from finish(scope, store)
        queue = yield from load(scope, store)
        return {"queue": queue, "error": None}

    def index(self, state: MemorizeState) -> Flow[MemorizeState]:
        scope, store = self._scope(state), self._core.store()
        count = yield from index(scope, store, state["queue"])
        update = MemorizeState(report={"indexed": count}, chosen=[], messages=[])
        if not self._core.learns or not state.get("learns"):
            return update
        waiting = ready(
            state["queue"],
            tried=state.get("tried", []),
            config=self._core.extract,
            now=self._core.now(),
            is_forced=state.get("is_forced", False),
        )
        messages = yield from load_messages(scope, store, waiting)
        ordered = _as_said(waiting, messages)
        chosen, said = choose_episodes(ordered, messages, config=self._core.extract, count=self._core.count)
        return {**update, "chosen": chosen, "messages": said}

    def extract(self, state: MemorizeState) -> Flow[MemorizeState]:
        config, store = self._core.extract, self._core.store()
        if not state["messages"] or self._core.model is None:
            return {"extraction": Extraction(facts=[], entities=[]).model_dump(), "neighbors": []}
        scope = self._scope(state)
        neighbors = yield from find_neighbors(scope, store, state["messages"], limit=config.neighbors)
        size = prompt_size(state["messages"], neighbors, config=config, count=self._core.count)
        answer, usage = yield from extract(self._core.model, state["messages"], neighbors, config=config)
        report: Report = {**_cost(usage), "largest_prompt": size}
        return {"extraction": answer.model_dump(), "neighbors": neighbors, "report": report}

    def consolidate(self, state: MemorizeState) -> Flow[MemorizeState]:
        settled = yield from consolidate(
            self._scope(state),
            self._core.store(),
            state["messages"],
            Extraction.model_validate(state["extraction"]),
            neighbors=state["neighbors"],
            config=self._core.extract,
            now=self._core.now(),
        )
        report = Report(
            learned=[settled.facts[key]["text"] for key in settled.added],
            confirmed=len(settled.confirmed),
            superseded=len(settled.superseded),
            rejected=dict(settled.rejected),
        )
        return {"report": report}

    def summarize(self, state: MemorizeState) -> Flow[MemorizeState]:
        report = Report()
        threads = dict.fromkeys(episode["thread"] for episode in state["chosen"] if episode["thread"])
        for thread in threads:
            if self._core.model is None:
                break
            folded, usage = yield from summarize(
                self._scope(state, thread),
                self._core.store(),
                self._core.model,
                config=self._core.summary,
                count=self._core.count,
            )
            report = add_reports(report, {**_cost(usage), "summarized": folded})
        return {"report": report}

    def done(self, state: MemorizeState) -> Flow[MemorizeState]:
        error = state.get("error")
        ops = [
            PutOp(
                self._scope(state).pending,
                key,
                {**entry, "attempts": entry["attempts"] + 1, "error": error} if error else None,
                index=False,
            )
            for episode in state["chosen"]
            for key, entry in episode["entries"].items()
        ]
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
    # `add_node` takes handlers of a `NodeError`, its annotations do not know them yet
    extraction_failed: Any = _extraction_failed
    summary_failed: Any = _summary_failed
    builder = StateGraph(MemorizeState)
    builder.add_node("load", _node(steps.load, "load"))
    builder.add_node("index", _node(steps.index, "index"))
    builder.add_node("extract", _node(steps.extract, "extract"), error_handler=extraction_failed)
    builder.add_node("consolidate", _node(steps.consolidate, "consolidate"), error_handler=extraction_failed)
    builder.add_node("summarize", _node(steps.summarize, "summarize"), error_handler=summary_failed)
    builder.add_node("done", _node(steps.done, "done"))
    builder.add_edge(START, "load")
    builder.add_edge("load", "index")
    builder.add_conditional_edges("index", _after_index, ["extract", END])
    builder.add_edge("extract", "consolidate")
    builder.add_edge("consolidate", "summarize")
    builder.add_edge("summarize", "done")
    builder.add_edge("done", "load")
    return builder.compile(name="memorize", checkpointer=False, store=store)


def _node(
    step: Callable[[MemorizeState], Flow[MemorizeState]], name: str
) -> RunnableLambda[MemorizeState, MemorizeState]:
    async def astep(state: MemorizeState) -> MemorizeState:
        return await arun(step(state))

    return RunnableLambda(lambda state: run(step(state)), astep, name=name)


def _as_said(episodes: Sequence[Episode], messages: Sequence[StoredMessage]) -> list[Episode]:
    """Order episodes by when they were said: those recorded together share their time of recording."""
    said = {m["episode"]: (m["at"], m["thread"], m["position"]) for m in reversed(messages)}
    return sorted(episodes, key=lambda episode: said.get(episode["key"], (episode["recorded_at"], "", 0)))


def _after_index(state: MemorizeState) -> str:
    return "extract" if state["chosen"] else END


def _extraction_failed(_state: MemorizeState, error: NodeError) -> Command[Literal["summarize"]]:
    reason = describe(error.error)
    return Command(update={"error": reason, "report": {"errors": [reason]}}, goto="summarize")


def _summary_failed(_state: MemorizeState, error: NodeError) -> Command[Literal["done"]]:
    return Command(update={"report": {"errors": [describe(error.error)]}}, goto="done")


def _cost(usage: Usage) -> Report:
    return {"calls": usage.calls, "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
