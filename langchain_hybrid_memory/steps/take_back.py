"""Takes back what was written from words that another process had forgotten before it was written.

Whoever forgets marks the words, or takes the thread off the list, and then looks for what there is once more; whoever
writes looks for marks and threads afterwards. So one of the two sees what the other did, whoever comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.records import EDIT, SAVED, Facts, StoredFact, StoredMessage, entity_key
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.entities import named_in
from langchain_hybrid_memory.steps.facts import all_facts
from langchain_hybrid_memory.steps.marks import Marks, blanked, load_marks, mark_key
from langchain_hybrid_memory.steps.revive import without_facts
from langchain_hybrid_memory.steps.writes import fact_op, write


def gone_threads(scope: Scope, store: BaseStore, threads: Iterable[str]) -> Flow[set[str]]:
    """Which of some threads were forgotten."""
    asked = list(dict.fromkeys(threads))
    found = yield from batch(store, [GetOp(scope.namespace("threads"), thread) for thread in asked])
    return set(asked) - {item.key for item in found if isinstance(item, Item)}


def without_forgotten(scope: Scope, store: BaseStore, messages: Sequence[StoredMessage]) -> Flow[list[StoredMessage]]:
    """Messages without the words that were forgotten in them, or in the one that each followed."""
    marks = yield from load_marks(scope, store)
    if not marks:
        return list(messages)
    before = yield from _before(scope, store, messages)
    left: list[StoredMessage] = []
    for message in messages:
        thread, own = message["thread"], message["id"]
        text = blanked(message["text"], marks.get(mark_key(thread, own)))
        context = blanked(message["context"], marks.get(mark_key(thread, before.get((thread, own), ""))))
        left.append({**message, "text": text, "context": context})
    return left


def _before(scope: Scope, store: BaseStore, messages: Iterable[StoredMessage]) -> Flow[Mapping[tuple[str, str], str]]:
    """Which message each followed, by thread and id; what was recorded outside a graph does not say so itself."""
    before = {(message["thread"], message["id"]): message.get("after") or "" for message in messages}
    for thread in dict.fromkeys(thread for (thread, _), name in before.items() if not name):
        items = yield from listing(store, scope.thread_messages(thread))
        ordered = [item.key for item in sorted(items, key=lambda item: (item.value["position"], item.key))]
        before |= {(thread, name): last for last, name in pairwise(ordered) if not before.get((thread, name))}
    return before


def rests_on_forgotten(fact: StoredFact, marks: Marks) -> bool:
    """Whether a fact makes a claim that was forgotten in one of its messages, or quotes words that were."""
    own = [marks[key] for name in fact["message_ids"] if (key := mark_key(fact["thread"], name)) in marks]
    return any(fact["claim"] in mark["claims"] or blanked(fact["quote"], mark) != fact["quote"] for mark in own)


def take_back_facts(scope: Scope, store: BaseStore, written: Facts) -> Flow[Facts]:
    """Remove the facts among those just written that rest on words or threads which are forgotten by now; which."""
    # only what was drawn from a recorded message has its thread on the list in any case
    drawn = [fact["thread"] for fact in written.values() if not fact["episode"].startswith((EDIT, SAVED))]
    threads = yield from gone_threads(scope, store, drawn)
    marks = yield from load_marks(scope, store)
    lost = {key: fact for key, fact in written.items() if fact["thread"] in threads or rests_on_forgotten(fact, marks)}
    if lost:
        known = (yield from all_facts(scope, store)) | lost
        yield from write(store, without(scope, known, lost))
    return lost


def without(scope: Scope, known: Facts, lost: Facts) -> list[Op]:
    """The writes that take away facts, and the entities that only they were about, and mend the facts that stay."""
    return [
        *(PutOp(scope.namespace("facts"), key, None) for key in lost),
        *(PutOp(scope.namespace("entities"), key, None) for key in unnamed(known, lost)),
        *(fact_op(scope, key, fact) for key, fact in without_facts(known, lost).items()),
    ]


def unnamed(known: Facts, lost: Facts) -> list[str]:
    """Keys of the entities that only lost facts were about."""
    named = {entity_key(name) for fact in lost.values() for name in fact["entities"]}
    return sorted(named - named_in(fact for key, fact in known.items() if key not in lost))
