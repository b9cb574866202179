"""Removes what a user wants forgotten, from every kind of memory it may stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore, Op, PutOp

from langchain_hybrid_memory._flow import Call, Flow, batch, listing
from langchain_hybrid_memory.memories import Receipt
from langchain_hybrid_memory.records import EDIT, StoredFact, StoredMessage, entity_key, to_iso
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.consolidate import fact_op, get_facts, search_facts
from langchain_hybrid_memory.steps.ground import is_quoted, without_quote
from langchain_hybrid_memory.steps.index import INDEX_FIELDS, write
from langchain_hybrid_memory.steps.marks import BLANK, load_marks, marked
from langchain_hybrid_memory.steps.record import CONTEXT_CHARACTERS
from langchain_hybrid_memory.steps.settle import Facts, revive
from langchain_hybrid_memory.steps.stage import discarding


def forget_fact(scope: Scope, store: BaseStore, fact_id: str, *, now: datetime) -> Flow[Receipt]:
    """Forget one fact: the fact itself, all the words it was drawn from, and the summaries that may repeat them.

    What the fact had ended is current again. With the quoted words gone from its messages and from those that confirmed
    it, from the context of the messages after them and from the quotes of other facts, the fact cannot be drawn
    again; a mark without words keeps them from coming in again. A correction is forgotten with what it corrected.
    """
    namespace = scope.namespace("facts")
    found = yield from get_facts(scope, store, [fact_id])
    if not found:
        return Receipt(removed={})
    link = {"superseded_by": fact_id} if fact_id.startswith(EDIT) else {"confirms": fact_id}
    gone = found | (yield from search_facts(scope, store, [{"confirms": fact_id}, link]))
    related = yield from _related(scope, store, gone)
    facts = _facts_without(related, gone)
    messages = yield from _messages(scope, store, gone)
    marks = yield from load_marks(scope, store)
    unnamed = yield from _unnamed(scope, store, gone)
    staged = yield from discarding(scope, store)
    threads = dict.fromkeys(fact["thread"] for fact in gone.values())
    yield from write(
        store,
        [
            *(PutOp(namespace, key, None) for key in gone),
            *(PutOp(scope.namespace("summaries"), thread, None) for thread in threads),
            *(PutOp(scope.namespace("entities"), key, None) for key in unnamed),
            *staged,
            *(
                PutOp(scope.namespace("forgotten"), key, dict(mark), index=False)
                for key, mark in marked(marks, gone.values(), at=to_iso(now)).items()
            ),
            *(fact_op(scope, key, other) for key, other in facts.items()),
            *(_message_op(scope, message) for message in messages),
        ],
    )
    quoted = {message_id for fact in gone.values() for message_id in fact["message_ids"]}
    quotes = sum(message["id"] in quoted for message in messages)
    remaining = [f"the checkpoints of thread {thread!r}, whose messages are yours to edit" for thread in threads]
    counts = {"facts": 1, "quotes": quotes, "entities": len(unnamed)}
    return Receipt(removed={kind: count for kind, count in counts.items() if count}, remaining=tuple(remaining))


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
    for kind in ("messages", "facts", "entities", "summaries", "forgotten", "usage"):
        removed[kind] += yield from _clear(scope.namespace(kind), store)
    yield from _clear(scope.stage, store)
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


def _related(scope: Scope, store: BaseStore, gone: Facts) -> Flow[Facts]:
    """The facts that those of `gone` had ended or confirmed, and those that may quote the same words."""
    links = [{"superseded_by": key} for key in gone]
    episodes = [{"episode": episode} for episode in dict.fromkeys(fact["episode"] for fact in gone.values())]
    confirmed = sorted({str(fact["confirms"]) for fact in gone.values() if fact["confirms"]} - set(gone))
    others = [{"confirms": key} for key in confirmed]
    related = yield from search_facts(scope, store, [*links, *episodes, *others])
    return related | (yield from get_facts(scope, store, confirmed))


def _unnamed(scope: Scope, store: BaseStore, gone: Facts) -> Flow[list[str]]:
    """Keys of the entities that only forgotten facts were about."""
    named = {entity_key(name) for fact in gone.values() for name in fact["entities"]}
    if not named:
        return []
    items = yield from listing(store, scope.namespace("facts"))
    left = [cast("StoredFact", item.value) for item in items if item.key not in gone]
    still = {entity_key(name) for fact in left for name in (*fact["entities"], fact["subject"])}
    return sorted(named - still)


def _facts_without(related: Facts, gone: Facts) -> Facts:
    """The related facts that change: those that `gone` had ended, and those that quote the same words."""
    without = revive(related, gone)
    for fact in gone.values():
        without = {key: _unquoted(other, fact) for key, other in without.items()}
    return {key: other for key, other in without.items() if other != related[key]}


def _unquoted(other: StoredFact, fact: StoredFact) -> StoredFact:
    if not set(other["message_ids"]) & set(fact["message_ids"]):
        return other
    is_part = is_quoted(other["quote"], fact["quote"])
    return {**other, "quote": BLANK if is_part else without_quote(other["quote"], fact["quote"], blank=BLANK)}


def _messages(scope: Scope, store: BaseStore, gone: Facts) -> Flow[list[StoredMessage]]:
    """The messages that change: those that facts rest on, and those that have one of them as context."""
    changed: list[StoredMessage] = []
    for thread in dict.fromkeys(fact["thread"] for fact in gone.values()):
        items = yield from listing(store, scope.thread_messages(thread))
        before = [cast("StoredMessage", item.value) for item in items]
        after = before
        for fact in gone.values():
            after = _messages_without(after, fact) if fact["thread"] == thread else after
        changed += [message for message, old in zip(after, before, strict=True) if message != old]
    return changed


def _messages_without(messages: Sequence[StoredMessage], fact: StoredFact) -> list[StoredMessage]:
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
    return [
        {
            **message,
            "text": texts.get(message["id"], message["text"]),
            "context": contexts.get(message["context"], message["context"]),
        }
        for message in messages
    ]


def _message_op(scope: Scope, message: StoredMessage) -> Op:
    place = scope.thread_messages(message["thread"])
    return PutOp(place, message["id"], dict(message), index=INDEX_FIELDS if message["is_indexed"] else False)
