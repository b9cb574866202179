"""Writes what a batch of episodes taught, replacing what the same episodes gave before as a set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import cast

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, Result, SearchItem, SearchOp

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.memories import StoredEntity, StoredFact, StoredMessage, entity_key
from langchain_hybrid_memory.prompts.extraction import SINGLE_VALUED, ExtractedEntity, Extraction
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.extract import Neighbor
from langchain_hybrid_memory.steps.ground import SPELLINGS_OF_USER, USER, Candidate, fold, ground
from langchain_hybrid_memory.steps.index import INDEX_FIELDS, write
from langchain_hybrid_memory.steps.settle import Facts, Settlement, revive, settle

SAME_LIMIT = 100
"""Facts of one episode, or of one subject and attribute, that are looked at."""


def consolidate(
    scope: Scope,
    store: BaseStore,
    messages: Sequence[StoredMessage],
    extraction: Extraction,
    *,
    neighbors: Sequence[Neighbor],
    max_facts: int,
    now: datetime,
) -> Flow[Settlement]:
    """Check, settle and write a batch in one `store.batch`; doing it again, in whatever words, leaves no twin."""
    entities = {entity_key(entity.name): entity for entity in extraction.entities if _naming(entity.name, messages)}
    previous, names_of_user = yield from _before(scope, store, messages)
    if not any(message["speaker"] for message in messages):  # else "the user" is whoever speaks
        names_of_user += _own_names(extraction)
    aliases = _aliases(entities.values(), names_of_user)
    entities = {key: entity for key, entity in entities.items() if aliases.get(key) != USER}
    candidates, rejected = ground(extraction.facts, messages, aliases=aliases, max_facts=max_facts)
    related, stored = yield from _related(scope, store, candidates, previous=previous, entities=list(entities))
    known = {neighbor["key"]: neighbor["fact"] for neighbor in neighbors} | related
    current = revive(known, previous)
    settlement = settle(
        candidates,
        current,
        numbered=[neighbor["key"] for neighbor in neighbors],
        names=[entity.name for entity in entities.values()],
        now=now,
    )
    settlement.rejected.update(rejected)
    written = {
        key: fact for key, fact in (current | settlement.facts).items() if key in previous or known.get(key) != fact
    }
    namespace = scope.namespace("facts")
    ops: list[Op] = [PutOp(namespace, key, None) for key in previous if key not in written]
    ops += [PutOp(namespace, key, dict(fact), index=INDEX_FIELDS) for key, fact in written.items()]
    yield from write(store, ops + _entity_ops(scope, entities, stored, messages))
    return settlement


def _before(scope: Scope, store: BaseStore, messages: Sequence[StoredMessage]) -> Flow[tuple[Facts, list[str]]]:
    """What these episodes gave the last time, and the names the user is known by."""
    episodes = dict.fromkeys(message["episode"] for message in messages)
    filters = [{"subject": USER, "attribute": "name"}, *({"episode": episode} for episode in episodes)]
    named, *given = yield from _search(scope, store, filters)
    return _merged(given), [fact["value"] for fact in named.values()]


def _related(
    scope: Scope, store: BaseStore, candidates: Iterable[Candidate], *, previous: Facts, entities: Sequence[str]
) -> Flow[tuple[Facts, list[Result]]]:
    """The facts that share a single-valued property with a candidate or were ended by `previous`; and the entities."""
    properties = {
        (candidate.subject, candidate.fact.attribute)
        for candidate in candidates
        if candidate.fact.attribute in SINGLE_VALUED
    }
    filters = [
        *({"subject": subject, "attribute": attribute} for subject, attribute in sorted(properties)),
        *({"superseded_by": key} for key in previous),
    ]
    found = yield from _search(scope, store, filters)
    stored = yield from batch(store, [GetOp(scope.namespace("entities"), key) for key in entities])
    return _merged(found), stored


def _search(scope: Scope, store: BaseStore, filters: Iterable[dict[str, str]]) -> Flow[list[Facts]]:
    namespace = scope.namespace("facts")
    found = yield from batch(store, [SearchOp(namespace, filter=wanted, limit=SAME_LIMIT) for wanted in filters])
    return [
        {
            item.key: cast("StoredFact", item.value)
            for item in cast("list[SearchItem]", items)
            if scope.owns(item.namespace)
        }
        for items in found
    ]


def _merged(found: Iterable[Facts]) -> Facts:
    return {key: fact for facts in found for key, fact in facts.items()}


def _own_names(extraction: Extraction) -> list[str]:
    return [fact.value for fact in extraction.facts if fact.attribute == "name" and entity_key(fact.subject) == USER]


def _aliases(entities: Iterable[ExtractedEntity], names_of_user: Iterable[str]) -> dict[str, str]:
    """Subjects by the other names they go by; a name the user gave for themselves is the user."""
    aliases = {entity_key(alias): entity_key(entity.name) for entity in entities for alias in entity.aliases}
    return aliases | {entity_key(name): USER for name in names_of_user}


def _naming(name: str, messages: Iterable[StoredMessage]) -> list[StoredMessage]:
    """The messages in which an entity's name really occurs; the user is not an entity."""
    folded = f" {fold(name)} "
    if not folded.strip() or entity_key(name) in SPELLINGS_OF_USER:
        return []
    return [m for m in messages if folded in f" {fold(m['text'])} {fold(m['speaker'] or '')} "]


def _entity_ops(
    scope: Scope, entities: Mapping[str, ExtractedEntity], stored: Sequence[Result], messages: Sequence[StoredMessage]
) -> list[Op]:
    """The writes that bring entities up to date; a later mention adds aliases and moves `last_seen_at`."""
    ops: list[Op] = []
    for (key, entity), item in zip(entities.items(), stored, strict=True):
        times = [message["at"] for message in _naming(entity.name, messages)]
        is_known = isinstance(item, Item) and scope.owns(item.namespace)
        old = cast("StoredEntity", cast("Item", item).value) if is_known else None
        aliases = {entity_key(alias): alias for alias in [*(old["aliases"] if old else ()), *entity.aliases]}
        value = StoredEntity(
            name=old["name"] if old else entity.name,
            type=old["type"] if old and old["type"] != "other" else entity.type,
            aliases=[alias for folded, alias in aliases.items() if folded != key],
            first_seen_at=min([old["first_seen_at"], *times] if old else times),
            last_seen_at=max([old["last_seen_at"], *times] if old else times),
        )
        ops.append(PutOp(scope.namespace("entities"), key, dict(value), index=False))
    return ops
