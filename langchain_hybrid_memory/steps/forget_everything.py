"""Removes a user for good: whatever lies in the store, and the checkpoints of the user's threads."""

from __future__ import annotations

from collections import Counter
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore, PutOp

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.memories import Receipt
from langchain_hybrid_memory.scope import KINDS, Scope
from langchain_hybrid_memory.steps.threads import delete_thread
from langchain_hybrid_memory.steps.traces import leave_no_trace


def forget_everything(scope: Scope, store: BaseStore, checkpointer: BaseCheckpointSaver[Any] | None) -> Flow[Receipt]:
    """Forget a user: every kind of memory, the queue, and the checkpoints of the user's threads.

    Checkpoints go first and the list of threads last, so that doing it again finishes what was interrupted.
    """
    removed: Counter[str] = Counter()
    threads = yield from listing(store, scope.namespace("threads"))
    for thread in threads:
        if checkpointer is not None:
            yield from delete_thread(checkpointer, thread.key)
            removed["checkpointed threads"] += 1
    for kind in KINDS:
        if kind != "threads":
            removed[kind] += yield from _clear(scope.namespace(kind), store)
    yield from _clear(scope.stage, store)
    removed["queue entries"] += yield from drop_queue(scope, store)
    removed["threads"] += len(threads)
    remaining = yield from leave_no_trace(scope.home, store, checkpointer)
    yield from _clear(scope.namespace("threads"), store)
    for kind in KINDS:  # another process may have been writing them
        yield from _clear(scope.namespace(kind), store)
    yield from drop_queue(scope, store)
    if checkpointer is None and threads:
        remaining.append(f"checkpoints of {len(threads)} threads: no checkpointer was given")
    return Receipt(removed=dict(removed), remaining=tuple(remaining))


def drop_queue(scope: Scope, store: BaseStore) -> Flow[int]:
    """Have nothing more learned about a user from what was said so far; how many queue entries there were."""
    return (yield from _clear(scope.pending, store))


def _clear(namespace: tuple[str, ...], store: BaseStore) -> Flow[int]:
    items = yield from listing(store, namespace)
    yield from batch(store, [PutOp(item.namespace, item.key, None) for item in items])
    return len(items)
