"""Looks at what is known: facts at an instant, where one comes from, an entity's profile, a timeline."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from langgraph.store.base import BaseStore, GetOp, Item

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.errors import AmbiguousNameError, UnknownFactError
from langchain_hybrid_memory.memories import (
    Entity,
    Fact,
    Moment,
    MomentLabel,
    Provenance,
    entity_from,
    fact_from,
    message_from,
)
from langchain_hybrid_memory.records import EDIT, Facts, StoredFact, check_id, entity_key, from_iso
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.entities import aliases_of, by_alias, load_entities
from langchain_hybrid_memory.steps.facts import all_facts, get_facts, search_facts


def look_up(scope: Scope, store: BaseStore, fact_id: str) -> Flow[StoredFact]:
    """One fact as it is stored.

    Raises:
        UnknownFactError: If the user has no fact of that id.
        ConfigurationError: If it is not a string.
    """
    check_id("fact_id", fact_id)
    found = yield from get_facts(scope, store, [fact_id])
    if not found:
        msg = (
            f"there is no fact {fact_id!r} of user {scope.user_id!r}: take an id from facts(current_only=False) or "
            "timeline(); a fact that was learned again, or forgotten, has none"
        )
        raise UnknownFactError(msg)
    return found[fact_id]


def facts_at(
    scope: Scope, store: BaseStore, *, now: datetime, current_only: bool = True, as_of: datetime | None = None
) -> Flow[list[Fact]]:
    """What is known, or was true at an instant, by when it began."""
    known = yield from all_facts(scope, store)
    facts = [fact_from(key, fact) for key, fact in known.items() if fact["confirms"] is None]
    if as_of is not None:
        facts = [fact for fact in facts if fact.valid_at <= as_of and _lasts(fact, as_of)]
    elif current_only:
        facts = [fact for fact in facts if not fact.is_superseded and _lasts(fact, now)]
    return _in_order(facts)


def why(scope: Scope, store: BaseStore, fact_id: str) -> Flow[Provenance]:
    """Where a fact comes from, and its place in the history.

    Raises:
        UnknownFactError: If the user has no fact of that id.
    """
    stored = yield from look_up(scope, store, fact_id)
    links = [{"confirms": fact_id}, {"superseded_by": fact_id}]
    related = yield from search_facts(scope, store, links)
    enders = yield from get_facts(scope, store, [key for key in [stored["superseded_by"]] if key])
    place = scope.thread_messages(stored["thread"])
    items = yield from batch(store, [GetOp(place, message_id) for message_id in stored["message_ids"]])
    messages = [item.value for item in items if isinstance(item, Item) and scope.owns(item.namespace)]
    return Provenance(
        fact=fact_from(fact_id, stored),
        quote=stored["quote"],
        message_ids=tuple(stored["message_ids"]),
        messages=tuple(message_from(message) for message in messages),
        thread=stored["thread"],
        said_at=from_iso(stored["said_at"]),
        confirmed_by=_linked(related, "confirms", fact_id),
        supersedes=_linked(related, "superseded_by", fact_id),
        superseded_by=next((fact_from(key, fact) for key, fact in enders.items()), None),
    )


def entities(scope: Scope, store: BaseStore) -> Flow[list[Entity]]:
    """Everybody and everything named, without their facts, latest mentioned first."""
    known = yield from load_entities(scope, store)
    return sorted(map(entity_from, known.values()), key=lambda entity: entity.last_seen_at, reverse=True)


def entity(scope: Scope, store: BaseStore, name: str, *, now: datetime, history: bool = False) -> Flow[Entity | None]:
    """The profile of whoever goes by a name or alias: current facts and, if wanted, those that no longer hold.

    Raises:
        AmbiguousNameError: If several go by that name and none has it for its own.
    """
    known = yield from load_entities(scope, store)
    wanted = entity_key(name)
    called = [key for key, entity in known.items() if wanted in {entity_key(alias) for alias in entity["aliases"]}]
    keys = [wanted] if wanted in known else called
    if len(keys) > 1:
        names = " or ".join(repr(known[key]["name"]) for key in sorted(keys))
        msg = f"several go by the name {name!r}; ask for {names}"
        raise AmbiguousNameError(msg)
    if not keys:
        return None
    names_of = {alias for alias, key in by_alias(aliases_of(known)).items() if key == keys[0]} | {keys[0]}
    facts = yield from facts_at(scope, store, now=now, current_only=False)
    about = [fact for fact in facts if _is_about(fact, names_of)]
    current = [fact for fact in about if not fact.is_superseded and _lasts(fact, now)]
    past = [fact for fact in about if fact not in current] if history else []
    return entity_from(known[keys[0]], tuple(current), tuple(past))


def timeline(scope: Scope, store: BaseStore, name: str | None, *, now: datetime) -> Flow[list[Moment]]:
    """What was and is true, by when it began: of everything or of one entity; nothing of one that is not known."""
    if name is None:
        facts = yield from facts_at(scope, store, now=now, current_only=False)
    else:
        profile = yield from entity(scope, store, name, now=now, history=True)
        facts = _in_order([*profile.facts, *profile.history]) if profile else []
    return [_moment(fact, now) for fact in facts]


def _linked(facts: Facts, link: str, key: str) -> tuple[Fact, ...]:
    found = [fact_from(other, fact) for other, fact in facts.items() if fact.get(link) == key]
    return tuple(sorted(found, key=lambda fact: (fact.said_at, fact.id)))


def _in_order(facts: Iterable[Fact]) -> list[Fact]:
    return sorted(facts, key=lambda fact: (fact.valid_at, fact.recorded_at, fact.id))


def _lasts(fact: Fact, instant: datetime) -> bool:
    return fact.invalid_at is None or instant < fact.invalid_at


def _is_about(fact: Fact, names: Collection[str]) -> bool:
    return fact.subject in names or any(entity_key(name) in names for name in fact.entities)


def _moment(fact: Fact, now: datetime) -> Moment:
    label: MomentLabel = "began" if _lasts(fact, now) else "ended"
    if fact.superseded_by is not None:
        label = "corrected" if fact.superseded_by.startswith(EDIT) else "superseded"
    return Moment(at=fact.valid_at, label=label, until=fact.invalid_at, fact=fact)
