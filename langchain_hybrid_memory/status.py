"""How memory stands: what waits in the queue, and what this process has done and spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import cast

from langgraph.store.base import BaseStore, SearchItem, SearchOp

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.cards import Card, Returned
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.ledger import Cost, Entry
from langchain_hybrid_memory.records import Pending
from langchain_hybrid_memory.reports import Report
from langchain_hybrid_memory.scope import pending_root

QUEUE_LIMIT = 10_000
"""At most this many queue entries are read."""


@dataclass(frozen=True, kw_only=True)
class Status(Returned):
    """What waits in the store for anybody, and what this process has done and spent."""

    pending: int
    """Episodes still to be worked on, of all users, in the store."""
    failed: int
    """Those of them that failed at least once; they are tried again by themselves, less and less often."""
    capped: int
    """Those of them that wait for the next day, because their user has spent this day's tokens."""
    running: int
    """Users being worked on in this process."""
    last_error: str | None
    calls: int
    """Model calls made by this process for memory, failed ones included, with the tokens the provider reported."""
    prompt_tokens: int
    completion_tokens: int
    rejected: int
    """Facts whose quote was not found in the source, or that were too many."""
    steps: Mapping[str, Cost] = field(default_factory=dict, repr=False)
    """What each step cost this process, by its name: calls, tokens, milliseconds."""
    turns: tuple[Entry, ...] = field(default=(), repr=False)
    """The latest steps one by one, oldest first, each with the turns it served; a bounded number."""

    def _card(self) -> Card:
        rows = {"failed": self.failed or None, "wait for tomorrow": self.capped or None, "last error": self.last_error}
        tokens = f"{self.prompt_tokens} in, {self.completion_tokens} out"
        spent = {"model calls": self.calls, "tokens": tokens, "facts rejected": self.rejected}
        title = f"{self.pending} turns waiting" if self.pending else "everything is learned"
        return Card(title=title, rows=rows | spent)


def read_queue(core: Core, store: BaseStore) -> Flow[list[Pending]]:
    """The queue of all users, in the store's order; at most `QUEUE_LIMIT` entries."""
    (found,) = yield from batch(store, [SearchOp(pending_root(core.root), limit=QUEUE_LIMIT)])
    return [cast("Pending", item.value) for item in cast("list[SearchItem]", found)]


def read_status(core: Core, done: Report, *, capped: int, running: int) -> Flow[Status]:
    """How memory stands now.

    Args:
        core: Whose store is read, and whose costs are added up.
        done: What the memorize runs of this process did, all together.
        capped: Episodes that wait for the next day.
        running: Users being worked on.
    """
    entries = yield from read_queue(core, core.store())
    steps = core.ledger.totals()
    spent = reduce(Cost.plus, steps.values(), Cost())
    return Status(
        pending=len({(entry["user"], entry["episode"]) for entry in entries}),
        failed=len({(entry["user"], entry["episode"]) for entry in entries if entry["attempts"]}),
        capped=capped,
        running=running,
        last_error=next(reversed(done.get("errors", [])), None),
        calls=spent.calls,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        rejected=sum(done.get("rejected", {}).values()),
        steps=steps,
        turns=core.ledger.entries(),
    )
