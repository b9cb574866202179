"""Removes what a user wants forgotten, from every kind of memory it may stand in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.memories import Receipt
from langchain_hybrid_memory.records import EDIT, Facts, StoredFact, StoredMark, StoredMessage, check_id, to_iso
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.facts import all_facts
from langchain_hybrid_memory.steps.ground import without_quote
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
from langchain_hybrid_memory.steps.stage import discarding
from langchain_hybrid_memory.steps.take_back import rests_on_forgotten, unnamed, without
from langchain_hybrid_memory.steps.threads import Fate, delete_thread, rewrite_thread, without_text, without_words
from langchain_hybrid_memory.steps.traces import leave_no_trace
from langchain_hybrid_memory.steps.writes import message_op, write


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
    running: str = ""
    """A thread that is left as it is, because it is in the middle of a turn."""
    said: Collection[str] = ()
    """Ids of the messages that lose words; recall may have brought them back in other threads."""
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
    the threads in which it was said or brought back only the latest checkpoint stays, without it; the scope's own, if
    it has one, is in the middle of a turn and stays as it is.

    Raises:
        ConfigurationError: If `fact_id` is not a string.
    """
    check_id("fact_id", fact_id)
    known = yield from all_facts(scope, store)
    if fact_id not in known:
        return Receipt(removed={})
    marks = marked((yield from load_marks(scope, store)), _with_it(known, fact_id).values(), at=to_iso(now))
    yield from _mark(scope, store, marks)
    before, known = known, (yield from all_facts(scope, store))
    late = {key: fact for key, fact in known.items() if key not in before and rests_on_forgotten(fact, marks)}
    gone = _with_it(before | known, fact_id) | late
    threads = list(dict.fromkeys(fact["thread"] for fact in gone.values()))
    messages: list[StoredMessage] = []
    for thread in threads:
        quoted = [fact for fact in gone.values() if fact["thread"] == thread]
        messages += yield from _changed(scope, store, thread, partial(_unsaid, quoted))
    said = {message_id for fact in gone.values() for message_id in fact["message_ids"]}
    part = _Part(
        facts=gone,
        known=known,
        messages=messages,
        marks=marks,
        threads=threads,
        running=scope.thread_id,
        said=said,
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

    Raises:
        ConfigurationError: If `message_id` is not a string.
    """
    check_id("message_id", message_id)
    thread = scope.thread_id
    (item,) = yield from batch(store, [GetOp(scope.thread_messages(thread), message_id)])
    if not isinstance(item, Item) or not scope.owns(item.namespace):
        return Receipt(removed={})
    marks = marked_whole((yield from load_marks(scope, store)), thread, message_id, at=to_iso(now))
    yield from _mark(scope, store, marks)
    known = yield from all_facts(scope, store)
    gone = {key: fact for key, fact in known.items() if fact["thread"] == thread and message_id in fact["message_ids"]}
    gone |= {key: fact for key, fact in known.items() if key.startswith(EDIT) and _corrects(key, gone)}

    def left(message: StoredMessage) -> str:
        return BLANK if message["id"] == message_id else message["text"]

    part = _Part(
        facts=gone,
        known=known,
        messages=(yield from _changed(scope, store, thread, left)),
        marks=marks,
        threads=[thread],
        said=[message_id],
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
    known = yield from all_facts(scope, store)
    gone = {key: fact for key, fact in known.items() if fact["thread"] == thread}
    removed = {"messages": len(items), "facts": _standing(gone), "queue entries": len(queued)}
    if checkpointer is not None:
        yield from delete_thread(checkpointer, thread)
    ops = [PutOp(item.namespace, item.key, None) for item in (*queued, *items)]
    said = [item.key for item in items]
    part = _Part(facts=gone, known=known, ops=ops, threads=[thread], said=said, removed=removed)
    receipt = yield from _forget(scope, store, part, checkpointer)
    yield from batch(store, [PutOp(scope.namespace("threads"), thread, None)])  # last: then it is complete
    yield from batch(store, (yield from _late(scope, store)))
    return receipt


def _late(scope: Scope, store: BaseStore) -> Flow[list[Op]]:
    """The writes that remove what another process was still writing about a thread when that was taken off the list."""
    messages = yield from listing(store, scope.thread_messages(scope.thread_id))
    known = yield from all_facts(scope, store)
    lost = {key: fact for key, fact in known.items() if fact["thread"] == scope.thread_id}
    return [
        *(PutOp(item.namespace, item.key, None) for item in messages),
        PutOp(scope.namespace("summaries"), scope.thread_id, None),
        *without(scope, known, lost),
    ]


def _forget(
    scope: Scope, store: BaseStore, part: _Part, checkpointer: BaseCheckpointSaver[Any] | None
) -> Flow[Receipt]:
    """Carry it out: checkpoints first, since they are found by what the store says."""
    fates: dict[str, Fate] = {}
    if checkpointer is None:
        remaining = [f"the checkpoints of thread {thread!r}: no checkpointer was given" for thread in part.threads]
    else:
        remaining = [f"thread {part.running!r}, which is in the middle of this turn"] if part.running else []
        fates = yield from _rewrite_threads(scope, store, part, checkpointer)
    lost = unnamed(part.known, part.facts)
    staged = yield from discarding(scope, store)
    yield from write(
        store,
        [
            *part.ops,
            *(PutOp(scope.namespace("summaries"), thread, None) for thread in part.threads),
            *staged,
            *without(scope, part.known, part.facts),
            *(message_op(scope, message) for message in part.messages),
        ],
    )
    remaining += yield from leave_no_trace(scope.stage, store, checkpointer)
    counts = {**part.removed, "entities": len(lost), "rewritten threads": list(fates.values()).count("rewritten")}
    return Receipt(
        removed={kind: count for kind, count in counts.items() if count},
        remaining=tuple(remaining),
        deleted_threads=tuple(thread for thread, fate in fates.items() if fate == "deleted"),
    )


def _rewrite_threads(
    scope: Scope, store: BaseStore, part: _Part, checkpointer: BaseCheckpointSaver[Any]
) -> Flow[dict[str, Fate]]:
    """Take the words out of the user's threads; what became of each."""
    threads = yield from listing(store, scope.namespace("threads"))
    fates: dict[str, Fate] = {}
    for thread in dict.fromkeys([*part.threads, *(item.key for item in threads)]):
        if thread == part.running:
            continue
        rewriting = rewrite_thread(
            checkpointer,
            thread,
            rewrite=partial(_rewritten, thread, part.marks),
            items=[*part.facts, *part.said],
            is_named=thread in part.threads,
        )
        fates[thread] = yield from rewriting
    return fates


def _rewritten(thread: str, marks: Marks, message: BaseMessage) -> BaseMessage:
    mark = marks.get(mark_key(thread, str(message.id)))
    if mark is None:
        return message
    if WHOLE in mark["quotes"]:
        return without_text(message)
    return without_words(message, lambda text: blanked(text, mark))


def _mark(scope: Scope, store: BaseStore, marks: Marks) -> Flow[None]:
    """Write marks, before anything is looked for: whoever writes from those words after this takes it back."""
    yield from batch(
        store, [PutOp(scope.namespace("forgotten"), key, dict(mark), index=False) for key, mark in marks.items()]
    )


def _with_it(known: Facts, fact_id: str) -> Facts:
    """A fact and what goes with it: what only confirms it, and what it corrected."""
    link = "superseded_by" if fact_id.startswith(EDIT) else "confirms"
    return {key: fact for key, fact in known.items() if key == fact_id or fact_id in (fact["confirms"], fact.get(link))}


def _standing(facts: Facts) -> int:
    return sum(fact["confirms"] is None for fact in facts.values())


def _corrects(key: str, gone: Facts) -> bool:
    return any(fact["superseded_by"] == key for fact in gone.values())


def _unsaid(facts: Iterable[StoredFact], message: StoredMessage) -> str:
    text = message["text"]
    for fact in facts:
        if message["id"] in fact["message_ids"]:
            text = without_quote(text, fact["quote"], blank=BLANK)
    return text


def _changed(
    scope: Scope, store: BaseStore, thread: str, left: Callable[[StoredMessage], str]
) -> Flow[list[StoredMessage]]:
    """The messages of a thread that change: those of which less is left, and those that follow one of them.

    Those have its end as context, perhaps as it read before it was edited.
    """
    items = yield from listing(store, scope.thread_messages(thread))
    messages = sorted((cast("StoredMessage", item.value) for item in items), key=itemgetter("position"))
    texts = {message["id"]: text for message in messages if (text := left(message)) != message["text"]}
    changed: list[StoredMessage] = []
    previous = ""
    for message in messages:
        before = message.get("after") or previous
        new = message.copy()
        new["text"] = texts.get(message["id"], message["text"])
        if before in texts and message["context"]:
            new["context"] = texts[before][-CONTEXT_CHARACTERS:]
        changed += [new] if new != message else []
        previous = message["id"]
    return changed
