"""Keeps what a rebuild prepares aside, and swaps it in when all of it is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import cast

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp
from typing_extensions import TypedDict

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.records import (
    EDIT,
    SAVED,
    Facts,
    StoredEntity,
    StoredFact,
    StoredMessage,
    is_held,
    queue_entry,
)
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.entities import named_in
from langchain_hybrid_memory.steps.facts import all_facts
from langchain_hybrid_memory.steps.load import Episode, as_episode, load
from langchain_hybrid_memory.steps.take_back import take_back_facts
from langchain_hybrid_memory.steps.writes import fact_op, write

PLAN = "plan"


class Plan(TypedDict):
    """How far a rebuild is; it lies in the stage itself."""

    done: list[str]
    """Episodes whose facts are in the stage."""
    is_complete: bool
    """Whether nothing is left but to swap, which is then finished by whoever comes first."""


def staged(scope: Scope) -> Scope:
    """The same user's memory as a rebuild sees it: the same messages, and what it has derived from them so far."""
    return replace(scope, is_staged=True)


def begin(scope: Scope, store: BaseStore) -> Flow[list[str]]:
    """Open the stage; the episodes that an interrupted rebuild has done already.

    What the user pinned and corrected, and what was saved at a wish, is taken over first, so that what is derived
    settles against it.
    """
    plan = yield from _plan(scope, store)
    left = yield from load(staged(scope), store)
    yield from leave_out(scope, store, [key for episode in left for key in episode["entries"]])
    if plan is not None:
        return plan["done"]
    facts = yield from all_facts(scope, store)
    held = {key: _as_told(fact) for key, fact in facts.items() if is_held(fact) or _is_saved(fact)}
    yield from write(store, [*(fact_op(staged(scope), key, fact) for key, fact in held.items()), _plan_op(scope, [])])
    return []


def enqueue(scope: Scope, store: BaseStore, episodes: Iterable[Episode]) -> Flow[None]:
    """Queue episodes in the stage, for a memorize run over it."""
    entries = [(key, entry) for episode in episodes for key, entry in episode["entries"].items()]
    yield from batch(store, [PutOp(staged(scope).pending, key, dict(entry), index=False) for key, entry in entries])


def leave_out(scope: Scope, store: BaseStore, keys: Collection[str]) -> Flow[None]:
    """Take entries out of the stage's queue."""
    yield from batch(store, [PutOp(staged(scope).pending, key, None) for key in keys])


def note(scope: Scope, store: BaseStore, done: Sequence[str], *, is_complete: bool = False) -> Flow[bool]:
    """Note which episodes the stage holds, so that an interrupted rebuild goes on from there.

    Returns:
        Whether the stage is still there. Another process drops it as well, when the user forgets, pins or corrects
        something in there; what was put into it since is dropped then.
    """
    if (yield from _plan(scope, store)) is None:
        yield from batch(store, (yield from discarding(scope, store)))
        return False
    yield from batch(store, [_plan_op(scope, done, is_complete=is_complete)])
    return True


def swap(scope: Scope, store: BaseStore, done: Sequence[str]) -> Flow[bool]:
    """Put what the stage holds in the place of what was known; whether it was still there, see `note`.

    An interruption from here on is finished by `finish`.
    """
    is_there = yield from note(scope, store, done, is_complete=True)
    return is_there and (yield from finish(scope, store))


def finish(scope: Scope, store: BaseStore) -> Flow[bool]:
    """Swap in a rebuild that is complete; whether there was one.

    What was learned meanwhile from episodes that the rebuild did not know stays.
    """
    plan = yield from _plan(scope, store)
    if plan is None or not plan["is_complete"]:
        return False
    done, aside = set(plan["done"]), staged(scope)
    new, old = (yield from all_facts(aside, store)), (yield from all_facts(scope, store))
    kept = {key: f for key, f in old.items() if key not in new and (is_held(f) or f["episode"] not in done)}
    ops: list[Op] = [PutOp(scope.namespace("facts"), key, None) for key in old if key not in {*new, *kept}]
    ops += [fact_op(scope, key, fact) for key, fact in new.items() if old.get(key) != fact]
    ops += yield from _entity_ops(scope, store, kept | {key: fact for key, fact in new.items() if _is_saved(fact)})
    summaries = yield from listing(store, aside.namespace("summaries"))
    ops += [PutOp(scope.namespace("summaries"), item.key, item.value, index=False) for item in summaries]
    yield from write(store, ops)
    yield from take_back_facts(scope, store, new)
    if (yield from _plan(scope, store)) is None:  # dropped meanwhile: the summaries may tell what was forgotten
        yield from batch(store, [PutOp(scope.namespace("summaries"), item.key, None) for item in summaries])
    yield from batch(store, (yield from discarding(scope, store)))
    return True


def discarding(scope: Scope, store: BaseStore) -> Flow[list[Op]]:
    """The writes that drop a rebuild in progress: what it was made from is no longer so."""
    items = yield from listing(store, scope.stage)
    ordered = sorted(items, key=lambda item: item.key == PLAN and item.namespace == scope.stage)
    return [PutOp(item.namespace, item.key, None) for item in ordered]


def episodes_of(messages: Iterable[StoredMessage], scope: Scope) -> list[Episode]:
    """The episodes of a log, in the order they were said, as if each had just been recorded."""
    members: dict[str, list[StoredMessage]] = {}
    for message in sorted(messages, key=lambda message: (message["at"], message["thread"], message["position"])):
        members.setdefault(message["episode"], []).append(message)
    return [_episode(key, said, scope) for key, said in members.items()]


def _episode(key: str, said: list[StoredMessage], scope: Scope) -> Episode:
    entry = queue_entry(
        user=scope.user_id,
        thread=said[0]["thread"],
        episode=key,
        message_ids=[message["id"] for message in sorted(said, key=lambda message: message["position"])],
        recorded_at=said[0]["at"],
        is_indexed=True,  # or will be: that is the business of the queue proper
    )
    return as_episode({key: entry})


def _is_saved(fact: StoredFact) -> bool:
    return fact["episode"].startswith(SAVED)


def _as_told(fact: StoredFact) -> StoredFact:
    """A fact as it was before anything but a correction ended it."""
    fact = {**fact, "more_sources": {}}
    if (fact["superseded_by"] or "").startswith(EDIT):
        return fact
    return {**fact, "superseded_by": None, "invalid_at": fact["stated_end"], "confirms": None}


def _plan(scope: Scope, store: BaseStore) -> Flow[Plan | None]:
    (item,) = yield from batch(store, [GetOp(scope.stage, PLAN)])
    is_known = isinstance(item, Item) and scope.owns(item.namespace)
    return cast("Plan", cast("Item", item).value) if is_known else None


def _plan_op(scope: Scope, done: Sequence[str], *, is_complete: bool = False) -> PutOp:
    return PutOp(scope.stage, PLAN, dict(Plan(done=list(done), is_complete=is_complete)), index=False)


def _entity_ops(scope: Scope, store: BaseStore, kept: Facts) -> Flow[list[Op]]:
    """Put the stage's entities in the place of the known ones, except those that facts which stay are about."""
    new = yield from listing(store, staged(scope).namespace("entities"))
    old = yield from listing(store, scope.namespace("entities"))
    place = scope.namespace("entities")
    values = {item.key: cast("StoredEntity", item.value) for item in new}
    needed = values.keys() | named_in(kept.values())
    gone = [item.key for item in old if item.key not in needed]
    puts = [PutOp(place, key, dict(value), index=False) for key, value in values.items()]
    return [*(PutOp(place, key, None) for key in gone), *puts]
