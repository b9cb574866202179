"""Lets the user overrule what was learned: pin a fact into every prompt, or say it right."""

from __future__ import annotations

from datetime import datetime

from langgraph.store.base import BaseStore

from langchain_hybrid_memory._flow import Flow
from langchain_hybrid_memory.errors import ConfigurationError, UnknownFactError
from langchain_hybrid_memory.memories import Fact, fact_from
from langchain_hybrid_memory.records import EDIT, StoredFact, fingerprint, to_iso
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.entities import load_entities, spellings
from langchain_hybrid_memory.steps.ground import WHITE_SPACE, claim_of
from langchain_hybrid_memory.steps.look import look_up
from langchain_hybrid_memory.steps.settle import VERSION, noted
from langchain_hybrid_memory.steps.stage import discarding
from langchain_hybrid_memory.steps.writes import fact_op, write


def pin(scope: Scope, store: BaseStore, fact_id: str, *, is_pinned: bool) -> Flow[Fact]:
    """Have a fact stand in every prompt, or no longer; as long as it is pinned, extraction does not take it away.

    Raises:
        UnknownFactError: If the user has no fact of that id, or a newer one has ended it.
    """
    fact = yield from (_standing(scope, store, fact_id) if is_pinned else look_up(scope, store, fact_id))
    changed: StoredFact = {**fact, "is_pinned": is_pinned}
    yield from write(store, [fact_op(scope, fact_id, changed), *(yield from discarding(scope, store))])
    return fact_from(fact_id, changed)


def edit(scope: Scope, store: BaseStore, fact_id: str, text: str, *, now: datetime) -> Flow[Fact]:
    """Correct a fact: a new one in the user's own words ends it, from the same day on.

    Whatever is extracted again from the old words is taken in by what the user corrected. Only what the user says later
    may end the correction.

    Raises:
        UnknownFactError: If the user has no fact of that id, or a newer one has ended it.
        ConfigurationError: If `text` is empty.
    """
    right = WHITE_SPACE.sub(" ", text).strip()
    if not right:
        msg = f"text={text!r} says nothing; use forget({fact_id!r}) to take a fact away"
        raise ConfigurationError(msg)
    wrong = yield from _standing(scope, store, fact_id)
    entities = yield from load_entities(scope, store)
    episode = EDIT + fingerprint(fact_id, right, to_iso(now))
    key = f"{episode}-0"
    fact: StoredFact = {
        **wrong,
        "text": right,
        "value": right,
        "entities": noted(right, wrong["subject"], spellings(entities)),
        "trust": "user",
        "recorded_at": to_iso(now),
        "claim": claim_of(wrong["subject"], wrong["attribute"], right),
        "said_at": to_iso(now),
        "confirmed_at": to_iso(now),
        "episode": episode,
        "message_ids": [],
        "quote": right,
        "prompt": "",
        "extractor": VERSION,
        "more_sources": {},
    }
    ended: StoredFact = {**wrong, "superseded_by": key, "invalid_at": wrong["valid_at"], "is_pinned": False}
    staged = yield from discarding(scope, store)
    yield from write(store, [fact_op(scope, key, fact), fact_op(scope, fact_id, ended), *staged])
    return fact_from(key, fact)


def _standing(scope: Scope, store: BaseStore, fact_id: str) -> Flow[StoredFact]:
    fact = yield from look_up(scope, store, fact_id)
    instead = fact["superseded_by"] or fact["confirms"]
    if instead is not None:
        msg = f"fact {fact_id!r} was superseded or only confirms another; use {instead!r} in its place"
        raise UnknownFactError(msg)
    return fact
