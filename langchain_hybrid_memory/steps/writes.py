"""Writes facts and messages, with what is embedded of them, in as few batches as a store takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from langgraph.store.base import BaseStore, Op, PutOp

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.records import StoredFact, StoredMessage
from langchain_hybrid_memory.scope import Scope

INDEX_FIELDS = ["text"]
"""What of a message or fact is embedded."""


def fact_op(scope: Scope, key: str, fact: StoredFact) -> PutOp:
    """The write of a fact; one that only confirms another is kept, but not found by meaning."""
    return PutOp(scope.namespace("facts"), key, dict(fact), index=INDEX_FIELDS if fact["confirms"] is None else False)


def message_op(scope: Scope, message: StoredMessage) -> PutOp:
    """The write of a message; it is found by meaning if it says that it is indexed."""
    place = scope.thread_messages(message["thread"])
    return PutOp(place, message["id"], dict(message), index=INDEX_FIELDS if message["is_indexed"] else False)


def write(store: BaseStore, ops: Iterable[Op]) -> Flow[None]:
    """Run writes in one batch, or in as few as have each embedded text once: InMemoryStore refuses it twice in one.

    What is not embedded goes last, so a queue entry is only ever marked or removed after what it stands for.
    """
    rounds: list[list[Op]] = [[]]
    seen: Counter[str] = Counter()
    rest: list[Op] = []
    for op in ops:
        if not isinstance(op, PutOp) or op.value is None or op.index is False:
            rest.append(op)
            continue
        text = str(op.value["text"])
        if seen[text] == len(rounds):
            rounds.append([])
        rounds[seen[text]].append(op)
        seen[text] += 1
    rounds[-1] = [*rounds[-1], *rest]
    for each in rounds:
        yield from batch(store, each)
