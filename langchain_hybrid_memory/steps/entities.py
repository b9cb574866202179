"""Tells whom a name means: one entity by several names, or several by one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias, cast

from langgraph.store.base import BaseStore

from langchain_hybrid_memory._flow import Flow, listing
from langchain_hybrid_memory.prompts.extraction import ExtractedEntity
from langchain_hybrid_memory.records import StoredEntity, StoredFact, StoredMessage, entity_key
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.ground import SPELLINGS_OF_USER, fold

Entities: TypeAlias = dict[str, StoredEntity]
"""Stored entities by key."""

BRACKET = re.compile(r"^(?P<bare>.*\S)\s*\((?P<distinction>[^()]+)\)\s*$", re.DOTALL)
PRONOUNS = frozenset({"she", "he", "they", "it", "her", "him", "them", "his", "its", "their", "this", "that", "who"})
"""Mean somebody in their context alone, so they are never kept as an alias."""

KEPT = ""
"""Stands in `told` for the episodes whose mentions are no longer told apart."""
TOLD_LIMIT = 100


def load_entities(scope: Scope, store: BaseStore) -> Flow[Entities]:
    """Everybody and everything the user has named."""
    items = yield from listing(store, scope.namespace("entities"))
    return {item.key: cast("StoredEntity", item.value) for item in items if scope.owns(item.namespace)}


def by_alias(entities: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Keys of entities by an alias that only one of them goes by and that is nobody's name; both folded.

    Args:
        entities: Aliases by the keys of the entities.
    """
    claimed: defaultdict[str, set[str]] = defaultdict(set)
    for key, aliases in entities.items():
        for alias in aliases:
            claimed[entity_key(alias)].add(key)
    return {alias: next(iter(keys)) for alias, keys in claimed.items() if len(keys) == 1 and alias not in entities}


def aliases_of(entities: Entities) -> dict[str, list[str]]:
    """Aliases by key, as `by_alias` takes them."""
    return {key: entity["aliases"] for key, entity in entities.items()}


def spellings(entities: Entities) -> dict[str, list[str]]:
    """What entities are called, by their names: the name, and each alias that is theirs alone."""
    called = {key: [entity["name"]] for key, entity in entities.items()}
    for alias, key in by_alias(aliases_of(entities)).items():
        called[key].append(alias)
    return {entities[key]["name"]: names for key, names in called.items()}


def named_in(facts: Iterable[StoredFact]) -> set[str]:
    """Keys of the entities that facts are about or name."""
    return {entity_key(name) for fact in facts for name in (fact["subject"], *fact["entities"])}


def mentioned(entities: Entities, messages: Iterable[StoredMessage]) -> list[str]:
    """Keys of the entities that messages name."""
    said = f" {' '.join(fold(message['text']) for message in messages)} "
    called = spellings(entities)
    return [
        key for key, entity in entities.items() if any(f" {fold(name)} " in said for name in called[entity["name"]])
    ]


def distinguished(name: str, messages: Iterable[StoredMessage], entities: Entities) -> str:
    """An entity's name without a distinction in brackets that nobody made.

    "Sarah (sister)" is another than Sarah when a message says "sister", or when she is known already.
    """
    match = BRACKET.match(name)
    if match is None or entity_key(name) in entities:
        return name
    said = {word for message in messages for word in fold(message["text"]).split()}
    return name if set(fold(match["distinction"]).split()) & said else match["bare"]


def naming(name: str, messages: Iterable[StoredMessage]) -> list[StoredMessage]:
    """The messages in which an entity's name, brackets aside, really occurs; the user is not an entity."""
    match = BRACKET.match(name)
    folded = f" {fold(match['bare'] if match else name)} "
    if not folded.strip() or entity_key(name) in SPELLINGS_OF_USER | PRONOUNS:
        return []
    return [m for m in messages if folded in f" {fold(m['text'])} {fold(m['speaker'] or '')} "]


def identify(extracted: ExtractedEntity, entities: Entities) -> str:
    """The key of the entity a model means: a known one by its name, or by an alias where that leaves no doubt.

    It is a known one when its name is that one's alias, or its alias that one's name. Brackets tell entities of one
    name apart, so they are never the one that goes by the name alone. Where several would fit, it is another.
    """
    key = entity_key(extracted.name)
    if key in entities:
        return key
    match = BRACKET.match(extracted.name)
    bare = entity_key(match["bare"]) if match else None
    named = {entity_key(alias) for alias in extracted.aliases} - {bare}
    meant = {known for known in named if known in entities and _is_same_type(extracted, entities[known])}
    by_name = by_alias(aliases_of(entities)).get(key)
    if by_name is not None and _is_same_type(extracted, entities[by_name]):
        meant.add(by_name)
    return meant.pop() if len(meant) == 1 else key


def merged(
    old: StoredEntity | None, extracted: ExtractedEntity, key: str, messages: Iterable[StoredMessage]
) -> StoredEntity:
    """An entity with what a later mention adds: aliases, a type, and when it was seen."""
    naming_it = naming(extracted.name, messages)
    times = [message["at"] for message in naming_it]
    told = _told(old) if old else {}
    for episode in {message["episode"] for message in naming_it}:
        told[episode] = [*told.get(episode, ()), extracted.name, *extracted.aliases]
    entity = StoredEntity(
        name=old["name"] if old else extracted.name,
        type=old["type"] if old and old["type"] != "other" else extracted.type,
        aliases=[],
        first_seen_at=min([old["first_seen_at"], *times] if old else times),
        last_seen_at=max([old["last_seen_at"], *times] if old else times),
    )
    return _called(entity, key, _bounded(told))


def withdrawn(entities: Entities, episodes: Collection[str]) -> Entities:
    """Entities without what these episodes called them; one that nothing else named is gone."""
    left: Entities = {}
    for key, entity in entities.items():
        told = {episode: names for episode, names in _told(entity).items() if episode not in episodes}
        if told == _told(entity):
            left[key] = entity
        elif told:
            left[key] = _called(entity, key, told)
    return left


def _told(entity: StoredEntity) -> dict[str, list[str]]:
    """What an entity was called, by episode; where that was not noted, it is kept for good."""
    return dict(entity.get("told", {KEPT: entity["aliases"]}))


def _called(entity: StoredEntity, key: str, told: dict[str, list[str]]) -> StoredEntity:
    aliases = {entity_key(name): name for names in told.values() for name in names}
    kept = [alias for folded, alias in aliases.items() if folded not in PRONOUNS | {key, ""}]
    return {**entity, "aliases": kept, "told": told}


def _bounded(told: dict[str, list[str]]) -> dict[str, list[str]]:
    """The latest mentions by episode, the earlier ones joined."""
    earlier = [episode for episode in told if episode != KEPT][:-TOLD_LIMIT]
    if not earlier:
        return told
    joined = dict.fromkeys(name for episode in (KEPT, *earlier) for name in told.get(episode, ()))
    return {KEPT: [*joined], **{episode: names for episode, names in told.items() if episode not in {KEPT, *earlier}}}


def _is_same_type(extracted: ExtractedEntity, known: StoredEntity) -> bool:
    return "other" in (extracted.type, known["type"]) or extracted.type == known["type"]
