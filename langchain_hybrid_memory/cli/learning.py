"""Waits for the background to learn, and says in a line what it learned."""

from __future__ import annotations

import time
from collections.abc import Callable

from langchain_hybrid_memory.cli.screen import counted
from langchain_hybrid_memory.hybrid_memory import HybridMemory
from langchain_hybrid_memory.reports import Report
from langchain_hybrid_memory.status import Status

LOOK_EVERY_SECONDS = 0.1


def finish(memory: HybridMemory, on_pending: Callable[[int], None]) -> Status:
    """Learn from everything that is queued, and wait for it; Ctrl-C ends the waiting and leaves the rest queued.

    Args:
        memory: Whose queue.
        on_pending: Called again and again with the number of turns that wait.

    Returns:
        The status afterwards: what is pending then, could not be learned.
    """
    waiting = memory.status().pending
    while True:
        status = _flush(memory, on_pending)
        if not status.pending or status.pending >= waiting:
            return status
        waiting = status.pending  # a run takes so many turns and no more


def _flush(memory: HybridMemory, on_pending: Callable[[int], None]) -> Status:
    status = memory.flush(0)
    while status.running:
        on_pending(status.pending)
        time.sleep(LOOK_EVERY_SECONDS)
        status = memory.status()
    return status


def describe_report(report: Report) -> str:
    """Say in a line what a memorize run did for the user; empty if that was nothing to speak of."""
    parts = []
    if learned := report.get("learned"):
        parts.append("learned: " + " · ".join(learned))
    if superseded := report.get("superseded"):
        parts.append(f"{superseded} superseded")
    if confirmed := report.get("confirmed"):
        parts.append(f"{confirmed} confirmed")
    if summarized := report.get("summarized"):
        parts.append(f"summarized {counted(summarized, 'message')}")
    if errors := report.get("errors"):
        parts.append(f"could not learn everything yet, it stays queued: {errors[-1]}")
    return "; ".join(parts)
