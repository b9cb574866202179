"""Removes what a user wants forgotten, from every kind of memory it may stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, SearchItem, SearchOp

from langchain_hybrid_memory._flow import PAGE, Call, Flow, batch, listing
from langchain_hybrid_memory.memories import Receipt, StoredFact, StoredMessage
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.ground import is_quoted, without_quote
from langchain_hybrid_memory.steps.index import INDEX_FIELDS, write
from langchain_hybrid_memory.steps.record import CONTEXT_CHARACTERS, FORGOTTEN
from langchain_hybrid_memory.steps.settle import Facts, revive

BLANK = FORGOTTEN
"""Stands where a forgotten quote stood."""


def forget_fact(scope: Scope, store: BaseStore, fact_id: str) -> Flow[Receipt]:
    """Forget one fact: the fact itself, the words it was drawn from, and the summary that may repeat them.

    What the fact had ended is current again. With the quoted words gone from the message, from the context of the
    message after it and from the quotes of other facts, the fact cannot be drawn a second time.
    """
    namespace = scope.namespace("facts")
    (item,) = yield from batch(store, [GetOp(namespace, fact_id)])
    if not isinstance(item, Item) or not scope.owns(item.namespace):
        return Receipt(removed={})
    fact = cast("StoredFact", item.value)
    filters = ({"superseded_by": fact_id}, {"episode": fact["episode"]})
    found = yield from batch(store, [SearchOp(namespace, filter=wanted, limit=PAGE) for wanted in filters])
    related = {hit.key: cast("StoredFact", hit.value) for hits in found for hit in cast("list[SearchItem]", hits)}
    thread = yield from listing(store, scope.thread_messages(fact["thread"]))
    facts = _facts_without(related, fact_id, fact)
    messages = list(_messages_without([cast("StoredMessage", said.value) for said in thread], fact))
    yield from write(
        store,
        [
            PutOp(namespace, fact_id, None),
            PutOp(scope.namespace("summaries"), fact["thread"], None),
            *(PutOp(namespace, key, dict(other), index=INDEX_FIELDS) for key, other in facts.items()),
            *(_message_op(scope, message) for message in messages),
        ],
    )
    quotes = sum(message["id"] in fact["message_ids"] for message in messages)
    remaining = f"the checkpoints of thread {fact['thread']!r}, whose messages are yours to edit"
    return Receipt(removed={"facts": 1, "quotes": quotes}, remaining=(remaining,))


def forget_everything(scope: Scope, store: BaseStore, checkpointer: BaseCheckpointSaver[Any] | None) -> Flow[Receipt]:
    """Forget a user: every kind of memory, the queue, and the checkpoints of the user's threads.

    Checkpoints go first and the list of threads last, so that doing it again finishes what was interrupted.
    """
    removed: Counter[str] = Counter()
    threads = yield from listing(store, scope.namespace("threads"))
    for thread in threads:
        if checkpointer is not None:
            yield from _delete_thread(checkpointer, thread.key)
            removed["checkpointed threads"] += 1
    for kind in ("messages", "facts", "entities", "summaries", "usage"):
        removed[kind] += yield from _clear(scope.namespace(kind), store)
    removed["queue entries"] += yield from _clear(scope.pending, store)
    removed["threads"] += yield from _clear(scope.namespace("threads"), store)
    remaining = (
        () if checkpointer or not threads else (f"checkpoints of {len(threads)} threads: no checkpointer was given",)
    )
    return Receipt(removed=dict(removed), remaining=remaining)


def _delete_thread(checkpointer: BaseCheckpointSaver[Any], thread: str) -> Call[None]:
    return Call(lambda: checkpointer.delete_thread(thread), lambda: checkpointer.adelete_thread(thread))


def _clear(namespace: tuple[str, ...], store: BaseStore) -> Flow[int]:
    items = yield from listing(store, namespace)
    yield from batch(store, [PutOp(item.namespace, item.key, None) for item in items])
    return len(items)


def _facts_without(related: Facts, fact_id: str, fact: StoredFact) -> Facts:
    """The related facts that change: those the fact had ended, and those that quote the same words."""
    revived = revive(related, {fact_id: fact})
    without = {key: _unquoted(other, fact) for key, other in revived.items()}
    return {key: other for key, other in without.items() if other != related[key]}


def _unquoted(other: StoredFact, fact: StoredFact) -> StoredFact:
    if not set(other["message_ids"]) & set(fact["message_ids"]):
        return other
    is_part = is_quoted(other["quote"], fact["quote"])
    return {**other, "quote": BLANK if is_part else without_quote(other["quote"], fact["quote"], blank=BLANK)}


def _messages_without(thread: Iterable[StoredMessage], fact: StoredFact) -> Iterator[StoredMessage]:
    """The messages of a thread that change: those the fact rests on, and those that have one of them as context."""
    messages = list(thread)
    texts = {
        message["id"]: without_quote(message["text"], fact["quote"], blank=BLANK)
        for message in messages
        if message["id"] in fact["message_ids"]
    }
    contexts = {
        message["text"][-CONTEXT_CHARACTERS:]: texts[message["id"]][-CONTEXT_CHARACTERS:]
        for message in messages
        if message["id"] in texts
    }
    for message in messages:
        text, context = message["text"], message["context"]
        changed: StoredMessage = {
            **message,
            "text": texts.get(message["id"], text),
            "context": contexts.get(context, context),
        }
        if changed != message:
            yield changed


def _message_op(scope: Scope, message: StoredMessage) -> Op:
    place = scope.thread_messages(message["thread"])
    return PutOp(place, message["id"], dict(message), index=INDEX_FIELDS if message["is_indexed"] else False)
