"""Tells whoever watches a run what memory did in it: ids and counts, never a word of what is remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, cast

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, adispatch_custom_event
from langchain_core.callbacks.manager import dispatch_custom_event
from langchain_core.runnables.config import ensure_config
from langgraph.runtime import get_runtime
from typing_extensions import TypedDict

from langchain_hybrid_memory._flow import Call, Flow
from langchain_hybrid_memory.state import MemoryUpdate

EventName: TypeAlias = Literal["memory.recalled", "memory.recorded", "memory.learned", "memory.summarized"]


class MemoryEvent(TypedDict):
    """What a stream of mode `custom` shows, and the data of a custom event of the same name."""

    type: EventName
    thread_id: str
    """The thread of the run; empty where it has none."""
    ids: list[str]
    """Of the facts and messages recalled or recorded, of the facts learned, of the threads summarized."""
    counts: dict[str, int]


class DegradedEvent(TypedDict):
    """A step of the turn that failed or was late, so that the turn went on without it."""

    type: Literal["memory.degraded"]
    thread_id: str
    step: str
    """`recall`, `record` or `prune`."""
    why: str


def tell(name: EventName, thread_id: str, *, ids: Iterable[str], **counts: int) -> Flow[None]:
    """Tell of what was done to some items, and how many of each kind."""
    return _send(
        MemoryEvent(
            type=name, thread_id=thread_id, ids=list(ids), counts={kind: int(count) for kind, count in counts.items()}
        )
    )


def tell_degraded(thread_id: str, step: str, why: str) -> Flow[None]:
    """Tell that a step was left out, and why."""
    return _send(DegradedEvent(type="memory.degraded", thread_id=thread_id, step=step, why=why))


def _send(event: MemoryEvent | DegradedEvent) -> Flow[None]:
    """Write an event to the stream of the run this is called in, and dispatch it to its callbacks.

    Where there is no run, or nobody watches it, nothing happens.
    """
    try:
        runtime = get_runtime()
    except RuntimeError:  # there is no run
        return
    if runtime:
        runtime.stream_writer(event)
    manager = ensure_config().get("callbacks")
    if isinstance(manager, CallbackManager | AsyncCallbackManager) and manager.parent_run_id:
        name = event["type"]
        yield from Call(lambda: dispatch_custom_event(name, event), lambda: adispatch_custom_event(name, event))


def tell_recalled(thread_id: str, update: MemoryUpdate) -> Flow[None]:
    """Tell what the recall step brought back."""
    recalled, pinned = update.get("recalled"), update.get("pinned")
    ids, pins = (recalled["keys"] if recalled else []), (pinned["keys"] if pinned else [])
    is_summarized = update.get("summary") is not None
    return tell(
        "memory.recalled", thread_id, ids=[*pins, *ids], recalled=len(ids), pinned=len(pins), summaries=is_summarized
    )


def tell_learned(thread_id: str, report: Mapping[str, Any]) -> Flow[None]:
    """Tell what a memorize run learned and summarized, where it did.

    Args:
        thread_id: The thread of the run that waited for it.
        report: What the memorize run reports.
    """
    facts, threads = cast("list[str]", report.get("facts", [])), cast("list[str]", report.get("threads", []))
    counts = {name: int(report.get(name, 0)) for name in ("confirmed", "superseded")}
    if facts or any(counts.values()):
        yield from tell("memory.learned", thread_id, ids=facts, learned=len(facts), **counts)
    if threads:
        yield from tell("memory.summarized", thread_id, ids=threads, messages=int(report.get("summarized", 0)))
