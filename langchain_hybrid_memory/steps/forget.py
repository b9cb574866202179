"""Removes what a user wants forgotten, from every kind of memory it may stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.memories import Receipt
from langchain_hybrid_memory.records import EDIT, Facts, StoredFact, StoredMark, StoredMessage, entity_key, to_iso
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.consolidate import fact_op
from langchain_hybrid_memory.steps.ground import without_quote
from langchain_hybrid_memory.steps.index import INDEX_FIELDS, write
from langchain_hybrid_memory.steps.marks import (
    BLANK,
    WHOLE,
    Marks,
    blanked,
    load_marks,
    mark_key,
    marked,
    marked_whole,
)
from langchain_hybrid_memory.steps.record import CONTEXT_CHARACTERS
from langchain_hybrid_memory.steps.revive import without_facts
from langchain_hybrid_memory.steps.stage import discarding
from langchain_hybrid_memory.steps.threads import delete_thread, rewrite_thread, without_text, without_words
from langchain_hybrid_memory.steps.traces import leave_no_trace


@dataclass(slots=True)
class _Part:
    """What is to be forgotten at once."""

    facts: Facts
    known: Facts
    """All facts, those included."""
    messages: list[StoredMessage] = field(default_factory=list)
    """The messages that change, as they are then."""
    marks: Mapping[str, StoredMark] = field(default_factory=dict)
    threads: Sequence[str] = ()
    """Threads in which something of it was said."""
    ops: Sequence[Op] = ()
    """Further writes."""
    removed: dict[str, int] = field(default_factory=dict)


def forget_fact(
    scope: Scope,
    store: BaseStore,
    fact_id: str,
    *,
    now: datetime,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> Flow[Receipt]:
    """Forget one fact: the fact itself, all the words it was drawn from, and the summaries that may repeat them.

    What the fact had ended is current again. With the quoted words gone from its messages and from those that confirmed
    it, from the context of the messages after them and from the quotes of other facts, the fact cannot be drawn
    again; a mark without words keeps them from coming in again. A correction is forgotten with what it corrected. Of
    the threads in which it was said or brought back only the latest checkpoint stays, without it.
    """
    known = yield from _facts(scope, store)
    if fact_id not in known:
        return Receipt(removed={})
    link = "superseded_by" if fact_id.startswith(EDIT) else "confirms"
    gone = {key: fact for key, fact in known.items() if key == fact_id or fact_id in (fact["confirms"], fact.get(link))}
    threads = list(dict.fromkeys(fact["thread"] for fact in gone.values()))
    messages: list[StoredMessage] = []
    for thread in threads:
        quoted = [fact for fact in gone.values() if fact["thread"] == thread]
        messages += yield from _changed(scope, store, thread, partial(_unsaid, quoted))
    marks = yield from load_marks(scope, store)
    said = {message_id for fact in gone.values() for message_id in fact["message_ids"]}
    part = _Part(
        facts=gone,
        known=known,
        messages=messages,
        marks=marked(marks, gone.values(), at=to_iso(now)),
        threads=threads,
        removed={"facts": 1, "quotes": sum(message["id"] in said for message in messages)},
    )
    return (yield from _forget(scope, store, part, checkpointer))


def forget_message(
    scope: Scope,
    store: BaseStore,
    message_id: str,
    *,
    now: datetime,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> Flow[Receipt]:
    """Forget one message of the scope's thread, and the facts that were drawn from it.

    That it was said stays on record, without its words, so that it does not come in again. A fact that another message
    confirmed now rests on that one.
    """
    thread = scope.thread_id
    (item,) = yield from batch(store, [GetOp(scope.thread_messages(thread), message_id)])
    if not isinstance(item, Item) or not scope.owns(item.namespace):
        return Receipt(removed={})
    known = yield from _facts(scope, store)
    gone = {key: fact for key, fact in known.items() if fact["thread"] == thread and message_id in fact["message_ids"]}
    gone |= {key: fact for key, fact in known.items() if key.startswith(EDIT) and _corrects(key, gone)}

    def left(message: StoredMessage) -> str:
        return BLANK if message["id"] == message_id else message["text"]

    marks = yield from load_marks(scope, store)
    part = _Part(
        facts=gone,
        known=known,
        messages=(yield from _changed(scope, store, thread, left)),
        marks=marked_whole(marks, thread, message_id, at=to_iso(now)),
        threads=[thread],
        removed={"messages": 1, "facts": _standing(gone)},
    )
    return (yield from _forget(scope, store, part, checkpointer))


def forget_thread(
    scope: Scope, store: BaseStore, *, checkpointer: BaseCheckpointSaver[Any] | None = None
) -> Flow[Receipt]:
    """Forget the scope's thread: its messages, the facts drawn from them, its summary and its checkpoints."""
    thread = scope.thread_id
    items = yield from listing(store, scope.thread_messages(thread))
    queued = [item for item in (yield from listing(store, scope.pending)) if item.value["thread"] == thread]
    known = yield from _facts(scope, store)
    gone = {key: fact for key, fact in known.items() if fact["thread"] == thread}
    removed = {"messages": len(items), "facts": _standing(gone), "queue entries": len(queued)}
    if checkpointer is not None:
        yield from delete_thread(checkpointer, thread)
    ops = [PutOp(item.namespace, item.key, None) for item in (*queued, *items)]
    part = _Part(facts=gone, known=known, ops=ops, threads=[thread], removed=removed)
    receipt = yield from _forget(scope, store, part, checkpointer)
    yield from batch(store, [PutOp(scope.namespace("threads"), thread, None)])  # last: then it is complete
    late = yield from listing(store, scope.thread_messages(thread))  # another process may have been embedding them
    yield from batch(store, [PutOp(item.namespace, item.key, None) for item in late])
    return receipt


def _forget(
    scope: Scope, store: BaseStore, part: _Part, checkpointer: BaseCheckpointSaver[Any] | None
) -> Flow[Receipt]:
    """Carry it out: checkpoints first, since they are found by what the store says."""
    fates, remaining = Counter[str](), []
    deleted = []
    if checkpointer is None:
        remaining = [f"the checkpoints of thread {thread!r}: no checkpointer was given" for thread in part.threads]
    else:
        for thread, fate in (yield from _rewrite_threads(scope, store, part, checkpointer)):
            fates[fate] += 1
            deleted += [thread] if fate == "deleted" else []
    unnamed = _unnamed(part)
    staged = yield from discarding(scope, store)
    yield from write(
        store,
        [
            *part.ops,
            *(PutOp(scope.namespace("facts"), key, None) for key in part.facts),
            *(PutOp(scope.namespace("summaries"), thread, None) for thread in part.threads),
            *(PutOp(scope.namespace("entities"), key, None) for key in unnamed),
            *staged,
            *(PutOp(scope.namespace("forgotten"), key, dict(mark), index=False) for key, mark in part.marks.items()),
            *(fact_op(scope, key, other) for key, other in without_facts(part.known, part.facts).items()),
            *(_message_op(scope, message) for message in part.messages),
        ],
    )
    remaining += yield from leave_no_trace(scope.stage, store, checkpointer)
    counts = {**part.removed, "entities": len(unnamed), "rewritten threads": fates["rewritten"]}
    return Receipt(
        removed={kind: count for kind, count in counts.items() if count},
        remaining=tuple(remaining),
        deleted_threads=tuple(deleted),
    )


def _rewrite_threads(
    scope: Scope, store: BaseStore, part: _Part, checkpointer: BaseCheckpointSaver[Any]
) -> Flow[list[tuple[str, str]]]:
    """Take the words out of the user's threads; what became of each."""
    threads = yield from listing(store, scope.namespace("threads"))
    fates: list[tuple[str, str]] = []
    for thread in dict.fromkeys([*part.threads, *(item.key for item in threads)]):
        rewriting = rewrite_thread(
            checkpointer,
            thread,
            rewrite=partial(_rewritten, thread, part.marks),
            facts=part.facts,
            is_named=thread in part.threads,
        )
        fates.append((thread, (yield from rewriting)))
    return fates


def _rewritten(thread: str, marks: Marks, message: BaseMessage) -> BaseMessage:
    mark = marks.get(mark_key(thread, str(message.id)))
    if mark is None:
        return message
    if WHOLE in mark["quotes"]:
        return without_text(message)
    return without_words(message, lambda text: blanked(text, mark))


def _facts(scope: Scope, store: BaseStore) -> Flow[Facts]:
    items = yield from listing(store, scope.namespace("facts"))
    return {item.key: cast("StoredFact", item.value) for item in items}


def _standing(facts: Facts) -> int:
    return sum(fact["confirms"] is None for fact in facts.values())


def _corrects(key: str, gone: Facts) -> bool:
    return any(fact["superseded_by"] == key for fact in gone.values())


def _unnamed(part: _Part) -> list[str]:
    """Keys of the entities that only forgotten facts were about."""
    named = {entity_key(name) for fact in part.facts.values() for name in fact["entities"]}
    left = [fact for key, fact in part.known.items() if key not in part.facts]
    return sorted(named - {entity_key(name) for fact in left for name in (*fact["entities"], fact["subject"])})


def _unsaid(facts: Iterable[StoredFact], message: StoredMessage) -> str:
    text = message["text"]
    for fact in facts:
        if message["id"] in fact["message_ids"]:
            text = without_quote(text, fact["quote"], blank=BLANK)
    return text


def _changed(
    scope: Scope, store: BaseStore, thread: str, left: Callable[[StoredMessage], str]
) -> Flow[list[StoredMessage]]:
    """The messages of a thread that change: those of which less is left, and those that have one of them as context."""
    items = yield from listing(store, scope.thread_messages(thread))
    messages = [cast("StoredMessage", item.value) for item in items]
    texts = {message["text"]: left(message) for message in messages if left(message) != message["text"]}
    contexts = {text[-CONTEXT_CHARACTERS:]: rest[-CONTEXT_CHARACTERS:] for text, rest in texts.items()}
    after = [
        cast(
            "StoredMessage",
            {**message, "text": left(message), "context": contexts.get(message["context"], message["context"])},
        )
        for message in messages
    ]
    return [message for message, old in zip(after, messages, strict=True) if message != old]


def _message_op(scope: Scope, message: StoredMessage) -> Op:
    place = scope.thread_messages(message["thread"])
    return PutOp(place, message["id"], dict(message), index=INDEX_FIELDS if message["is_indexed"] else False)
