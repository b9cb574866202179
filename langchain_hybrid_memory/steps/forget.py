"""Removes what a user wants forgotten, from every kind of memory it may stand in."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, SearchItem, SearchOp

from langchain_hybrid_memory._flow import Call, Flow, batch
from langchain_hybrid_memory.memories import Receipt, StoredFact, StoredMessage
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.index import INDEX_FIELDS
from langchain_hybrid_memory.steps.settle import WHITE_SPACE, Facts, revive

PAGE = 500
BLANK = "[forgotten]"
"""Stands where a forgotten quote stood."""


def forget_fact(scope: Scope, store: BaseStore, fact_id: str) -> Flow[Receipt]:
    """Forget one fact: the fact itself, the words it was drawn from, and the summary that may repeat them.

    What the fact had ended is current again. With the quoted words gone from the message, the fact cannot be drawn
    from it a second time.
    """
    namespace = scope.namespace("facts")
    item, ended = yield from batch(
        store, [GetOp(namespace, fact_id), SearchOp(namespace, filter={"superseded_by": fact_id}, limit=PAGE)]
    )
    if not isinstance(item, Item) or not scope.owns(item.namespace):
        return Receipt(removed={})
    fact = cast("StoredFact", item.value)
    before = {found.key: cast("StoredFact", found.value) for found in cast("list[SearchItem]", ended)}
    places = [(scope.thread_messages(fact["thread"]), message_id) for message_id in fact["message_ids"]]
    messages = yield from batch(store, [GetOp(place, key) for place, key in places])
    blanked = [
        _blanked(scope, cast("StoredMessage", found.value), fact["quote"])
        for found in messages
        if isinstance(found, Item)
    ]
    yield from batch(
        store,
        [
            PutOp(namespace, fact_id, None),
            PutOp(scope.namespace("summaries"), fact["thread"], None),
            *_revived(scope, revive(before, [fact_id])),
            *blanked,
        ],
    )
    remaining = f"the checkpoints of thread {fact['thread']!r}, whose messages are yours to edit"
    return Receipt(removed={"facts": 1, "quotes": len(blanked)}, remaining=(remaining,))


def forget_everything(scope: Scope, store: BaseStore, checkpointer: BaseCheckpointSaver[Any] | None) -> Flow[Receipt]:
    """Forget a user: every kind of memory, the queue, and the checkpoints of the user's threads.

    Checkpoints go first and the list of threads last, so that doing it again finishes what was interrupted.
    """
    removed: Counter[str] = Counter()
    threads = yield from _keys(scope.namespace("threads"), store)
    for _, thread in threads:
        if checkpointer is not None:
            yield from _delete_thread(checkpointer, thread)
            removed["checkpointed threads"] += 1
    for kind in ("messages", "facts", "entities", "summaries"):
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
    keys = yield from _keys(namespace, store)
    yield from batch(store, [PutOp(place, key, None) for place, key in keys])
    return len(keys)


def _keys(namespace: tuple[str, ...], store: BaseStore) -> Flow[list[tuple[tuple[str, ...], str]]]:
    keys: dict[tuple[tuple[str, ...], str], None] = {}
    while True:
        (found,) = yield from batch(store, [SearchOp(namespace, limit=PAGE, offset=len(keys))])
        page = cast("list[SearchItem]", found)
        keys |= {(tuple(item.namespace), item.key): None for item in page if _is_under(item, namespace)}
        if len(page) < PAGE:
            return list(keys)


def _is_under(item: Item, namespace: tuple[str, ...]) -> bool:
    return tuple(item.namespace[: len(namespace)]) == namespace


def _blanked(scope: Scope, message: StoredMessage, quote: str) -> Op:
    text = _without(message["text"], quote)
    value = {**message, "text": text, "is_indexed": True}
    return PutOp(scope.thread_messages(message["thread"]), message["id"], value, index=INDEX_FIELDS)


def _without(text: str, quote: str) -> str:
    """Replace a quote by a blank, matched as grounding matches it: white space and case apart."""
    flat, wanted = WHITE_SPACE.sub(" ", text), WHITE_SPACE.sub(" ", quote).strip()
    start = flat.casefold().find(wanted.casefold())
    return flat if start < 0 else flat[:start] + BLANK + flat[start + len(wanted) :]


def _revived(scope: Scope, facts: Facts) -> list[Op]:
    return [PutOp(scope.namespace("facts"), key, dict(fact), index=INDEX_FIELDS) for key, fact in facts.items()]
