"""Writes what a batch of episodes taught, replacing what the same episodes gave before as a set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from langgraph.store.base import BaseStore, Op, PutOp

from langchain_hybrid_memory._flow import Flow
from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.prompts.extraction import MEASURED, SINGLE_VALUED, ExtractedEntity, Extraction
from langchain_hybrid_memory.records import EDIT, Facts, StoredMessage, entity_key, is_held
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.entities import (
    Entities,
    aliases_of,
    by_alias,
    distinguished,
    identify,
    load_entities,
    merged,
    named_in,
    naming,
    spellings,
    withdrawn,
)
from langchain_hybrid_memory.steps.extract import Neighbor
from langchain_hybrid_memory.steps.facts import all_facts, get_facts, search_each, search_facts
from langchain_hybrid_memory.steps.ground import USER, Candidate, ground, within_limits
from langchain_hybrid_memory.steps.marks import is_claim_forgotten, load_marks
from langchain_hybrid_memory.steps.revive import revive
from langchain_hybrid_memory.steps.settle import Settlement, settle
from langchain_hybrid_memory.steps.take_back import take_back_facts
from langchain_hybrid_memory.steps.writes import fact_op, write


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who and what a batch is about."""

    entities: Entities
    """Everybody known, the batch's own brought up to date."""
    aliases: Mapping[str, str]
    """Subjects by the other names they go by in this batch, both folded."""


def consolidate(
    scope: Scope,
    store: BaseStore,
    messages: Sequence[StoredMessage],
    extraction: Extraction,
    *,
    neighbors: Sequence[Neighbor],
    config: ExtractConfig,
    now: datetime,
) -> Flow[Settlement]:
    """Check, settle and write a batch in one `store.batch`; doing it again, in whatever words, leaves no twin.

    What the user pinned, corrected or had forgotten is not touched by what a model says.
    """
    given, names_of_user = yield from _before(scope, store, messages)
    previous = {key: fact for key, fact in given.items() if not is_held(fact)}
    entities = yield from load_entities(scope, store)
    marks = yield from load_marks(scope, store)
    extraction, beyond = within_limits(extraction, config)
    others = withdrawn(entities, {message["episode"] for message in messages})
    about = _cast(extraction, others, messages, names_of_user)
    grounded, rejected = ground(extraction.facts, messages, aliases=about.aliases, config=config)
    candidates = [candidate for candidate in grounded if not is_claim_forgotten(candidate, marks)]
    rejected["forgotten"] += len(grounded) - len(candidates)
    related = yield from _related(scope, store, candidates, previous=previous)
    still = yield from get_facts(scope, store, [neighbor["key"] for neighbor in neighbors])  # unless forgotten since
    known = still | given | related
    current = revive(known, previous)
    settlement = settle(
        candidates,
        current,
        numbered=[neighbor["key"] for neighbor in neighbors],
        names=spellings(about.entities),
        now=now,
        gone=previous,
        admit=config.admit,
    )
    settlement.rejected.update(+rejected + beyond)
    written = {
        key: fact for key, fact in (current | settlement.facts).items() if key in previous or known.get(key) != fact
    }
    ops: list[Op] = [PutOp(scope.namespace("facts"), key, None) for key in previous if key not in written]
    ops += [fact_op(scope, key, fact) for key, fact in written.items()]
    ops += yield from _entity_ops(scope, store, entities, about.entities, written=written, gone=previous)
    yield from write(store, ops)
    lost = yield from take_back_facts(scope, store, written)
    settlement.added = [key for key in settlement.added if key not in lost]
    return settlement


def _entity_ops(
    scope: Scope, store: BaseStore, before: Entities, after: Entities, *, written: Facts, gone: Collection[str]
) -> Flow[list[Op]]:
    """The writes that bring entities up to date; nobody goes whom a fact still names."""
    place, lost = scope.namespace("entities"), [key for key in before if key not in after]
    if lost:
        known = yield from all_facts(scope, store)
        staying = {key: fact for key, fact in known.items() if key not in gone} | written
        named = named_in(staying.values())
        lost = [key for key in lost if key not in named]
    ops: list[Op] = [PutOp(place, key, None) for key in lost]
    changed = {key: entity for key, entity in after.items() if entity != before.get(key)}
    return [*ops, *(PutOp(place, key, dict(entity), index=False) for key, entity in changed.items())]


def _before(scope: Scope, store: BaseStore, messages: Sequence[StoredMessage]) -> Flow[tuple[Facts, list[str]]]:
    """What these episodes gave the last time, and the names the user is known by."""
    episodes = dict.fromkeys(message["episode"] for message in messages)
    filters = [{"subject": USER, "attribute": "name"}, *({"episode": episode} for episode in episodes)]
    named, *given = yield from search_each(scope, store, filters)
    facts = {key: fact for found in given for key, fact in found.items()}
    return facts, [fact["value"] for fact in named.values()]


def _related(scope: Scope, store: BaseStore, candidates: Iterable[Candidate], *, previous: Facts) -> Flow[Facts]:
    """The facts that may bear on candidates, and those that `previous` had ended, confirmed or was confirmed by."""
    claims: dict[str, dict[str, str]] = {}
    for candidate in candidates:
        subject, attribute, claim = candidate.subject, candidate.fact.attribute, candidate.claim
        if attribute in SINGLE_VALUED:
            claims[f"{subject} {attribute}"] = {"subject": subject, "attribute": attribute}
        elif attribute in MEASURED:
            claims[attribute] = {"attribute": attribute}
        elif claim:
            claims[claim] = {"claim": claim}
    confirmed = sorted({fact["confirms"] for fact in previous.values() if fact["confirms"]} - set(previous))
    links: list[dict[str, str]] = [{name: key} for key in previous for name in ("superseded_by", "confirms")]
    links += [{"confirms": key} for key in confirmed]
    related = yield from search_facts(scope, store, [*claims.values(), *links])
    ended = {fact["superseded_by"] or "" for fact in related.values()}
    corrections = sorted(key for key in ended if key.startswith(EDIT))
    return related | (yield from get_facts(scope, store, [*confirmed, *corrections]))


def _cast(
    extraction: Extraction, entities: Entities, messages: Sequence[StoredMessage], names_of_user: list[str]
) -> _Cast:
    """Tell who is who: the entities a batch really names, and the subjects its facts may call them by."""
    if not any(message["speaker"] for message in messages):  # else "the user" is whoever speaks
        names_of_user = names_of_user + _own_names(extraction)
    users = {entity_key(name) for name in names_of_user}
    known = dict(entities)
    local: dict[str, list[str]] = {}
    for each in extraction.entities:
        name = distinguished(each.name, messages, known)
        entity: ExtractedEntity = each.model_copy(update={"name": name})
        if not naming(name, messages) or entity_key(name) in users:
            continue
        key = identify(entity, known)
        known[key] = merged(known.get(key), entity, key, messages)
        local.setdefault(key, []).extend([name, *each.aliases])
    aliases = by_alias(aliases_of(known)) | by_alias(local)
    return _Cast(known, aliases | dict.fromkeys(users, USER))


def _own_names(extraction: Extraction) -> list[str]:
    return [fact.value for fact in extraction.facts if fact.attribute == "name" and entity_key(fact.subject) == USER]
