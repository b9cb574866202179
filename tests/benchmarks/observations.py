"""Loads what a model observed in LoCoMo's conversations as facts, as extraction would have stored them."""

from __future__ import annotations

from datetime import UTC, datetime

from langgraph.store.base import BaseStore, PutOp, SearchItem

from langchain_hybrid_memory._flow import listing, run
from langchain_hybrid_memory.records import StoredFact, entity_key, fingerprint, to_iso
from langchain_hybrid_memory.scope import Scope
from tests.benchmarks.histories import Conversation, Observation


def learn_observations(store: BaseStore, conversation: Conversation) -> None:
    """Put the observations of a conversation into the store, each resting on the turns it names."""
    scope = Scope(user_id=conversation.id)
    said = {item.key: item for item in run(listing(store, scope.namespace("messages")))}
    facts = {
        fingerprint(seen.speaker, seen.text): _fact(seen, said[seen.evidence[0]]) for seen in conversation.observations
    }
    store.batch([PutOp(scope.namespace("facts"), key, dict(fact), index=["text"]) for key, fact in facts.items()])


def _fact(seen: Observation, source: SearchItem) -> StoredFact:
    said_at = source.value["at"]
    return StoredFact(
        text=seen.text,
        category="other",
        entities=[seen.speaker],
        subject=entity_key(seen.speaker),
        attribute="",
        value="",
        importance=2,
        trust="user",
        valid_at=said_at,
        invalid_at=None,
        stated_end=None,
        recorded_at=to_iso(datetime.now(UTC)),
        superseded_by=None,
        confirms=None,
        claim="",
        said_at=said_at,
        confirmed_at=said_at,
        is_pinned=False,
        thread=source.value["thread"],
        episode=source.value["episode"],
        message_ids=list(seen.evidence),
        quote=source.value["text"],
        prompt="",
        extractor="LoCoMo's observations",
    )
