"""Keeps one fact at once because somebody asked the assistant to, with the trust its words deserve.

The sentence is the assistant's, so it counts as the assistant's word: it never ends what the user said, is never
pinned and gives no standing instruction. Only where it rests on words that the user really said in this thread it
counts as the user's, as a fact that is extracted from them does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.assertions import objection
from langchain_hybrid_memory.budget import is_from_person
from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.keywords import coverage, index_terms, query_weights
from langchain_hybrid_memory.memories import Fact, fact_from
from langchain_hybrid_memory.prompts.extraction import SINGLE_VALUED, Attribute, ExtractedEntity, ExtractedFact
from langchain_hybrid_memory.questions import is_asked
from langchain_hybrid_memory.records import SAVED, Facts, StoredMessage, entity_key, fingerprint, to_iso
from langchain_hybrid_memory.redaction import Redactor
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.entities import (
    Entities,
    aliases_of,
    by_alias,
    identify,
    load_entities,
    merged,
    naming,
    spellings,
)
from langchain_hybrid_memory.steps.facts import get_facts, search_facts
from langchain_hybrid_memory.steps.ground import SPELLINGS_OF_USER, USER, Candidate, gives_orders, is_quoted
from langchain_hybrid_memory.steps.marks import is_claim_forgotten, load_marks
from langchain_hybrid_memory.steps.settle import Settlement, is_current, settle
from langchain_hybrid_memory.steps.stage import discarding
from langchain_hybrid_memory.steps.writes import fact_op, write

PROMPT = "save_memory"
"""Noted with a fact as the prompt that drew it."""
SUPPORT = 1 / 3
"""At least this share of a fact's words, the longer ones counting more, the user must have said in the thread."""
NOT_SAID = re.compile(r"\bthe user(?:'s)?\b|\b\d{4}-\d\d(?:-\d\d)?\b", re.IGNORECASE)
"""What a sentence about somebody has that they do not say themselves."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What is to be kept, in the assistant's words."""

    fact: str
    quote: str = ""
    subject: str = USER
    attribute: Attribute = "other"
    value: str = ""
    replaces: str = ""
    """Id of the fact that it takes the place of."""
    is_pinned: bool = False
    call_id: str = ""
    """Of the tool call that brings it: done twice, it is kept once."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What became of a statement: kept, known before, or refused."""

    fact: Fact | None = None
    """The fact that now makes the claim; `None` where it was refused."""
    refusal: str = ""
    is_new: bool = False
    ended: tuple[str, ...] = ()
    """Ids of the facts that it ended."""


def save(
    statement: Statement,
    said: Sequence[BaseMessage],
    scope: Scope,
    store: BaseStore,
    *,
    config: ExtractConfig,
    redact: Redactor,
    now: datetime,
) -> Flow[Saved]:
    """Settle a statement among the known facts, as one that was extracted, and write it in one batch.

    Args:
        statement: What is to be kept.
        said: The thread so far; what the user says in it decides whose word the statement is.
        scope: Whose memory, and in which thread.
        store: Where it is kept.
        config: How facts are admitted and filed.
        redact: Applied to the statement and to what was said.
        now: When it is recorded.
    """
    longest = max(map(len, (statement.fact, statement.value, statement.subject, statement.quote)))
    if longest > config.max_characters:
        return Saved(refusal=f"it has {longest} characters; at most {config.max_characters} are kept")
    replaced = yield from get_facts(scope, store, [statement.replaces] if statement.replaces else [])
    if statement.replaces and not any(is_current(fact) for fact in replaced.values()):
        return Saved(refusal=f"there is no current fact {statement.replaces!r}")
    for old in replaced.values():
        attribute = cast("Attribute", old["attribute"]) if statement.attribute == "other" else statement.attribute
        statement = replace(statement, subject=old["subject"], attribute=attribute)
    source = yield from _source(statement, said, scope, store, redact=redact, now=now)
    entities = yield from load_entities(scope, store)
    fact, subject = _extracted(statement, source, entities, redact)
    candidate = Candidate(fact, source, subject)
    refusal = yield from _refusal(candidate, scope, store)
    if refusal:
        return Saved(refusal=refusal)
    known = replaced | (yield from _bearing(candidate, scope, store))
    entities, seen = _with_subject(entities, statement.subject, source)
    settlement = settle(
        [candidate],
        known,
        numbered=[statement.replaces] if statement.replaces else [],
        names=spellings(entities),
        now=now,
        admit=config.admit,
    )
    key, refusal = _outcome(settlement, candidate, statement, known)
    if refusal:
        return Saved(refusal=refusal)
    is_pinned = statement.is_pinned or any(old["is_pinned"] for old in replaced.values())
    facts = _labelled(settlement, source, known, pinned=key if is_pinned else "")
    staged = yield from discarding(scope, store)
    named = [PutOp(scope.namespace("entities"), name, dict(entities[name]), index=False) for name in seen]
    yield from write(store, [*(fact_op(scope, name, each) for name, each in facts.items()), *named, *staged])
    kept = fact_from(key, facts.get(key) or known[key])
    return Saved(fact=kept, is_new=key in settlement.added, ended=tuple(settlement.superseded))


def quoted_message(quote: str, fact: str, said: Sequence[BaseMessage], redact: Redactor) -> BaseMessage | None:
    """The newest message of the user that holds the words of a quote, and does not only ask them.

    A quote that has little to do with the fact is none: its words would vouch for whatever a web page wants kept.
    """
    words = redact(quote)
    theirs = [(message, redact(message.text)) for message in said if is_from_person(message)]
    support = set(index_terms(" ".join(text for _, text in theirs)))
    if coverage(query_weights(NOT_SAID.sub(" ", redact(fact))), support) < SUPPORT:
        return None
    for message, text in reversed(theirs):
        if is_quoted(words, text) and not is_asked(words, text):
            return message
    return None


def _source(
    statement: Statement,
    said: Sequence[BaseMessage],
    scope: Scope,
    store: BaseStore,
    *,
    redact: Redactor,
    now: datetime,
) -> Flow[StoredMessage]:
    """The message a statement rests on, in an episode of its own: the user's, as on record, or the call itself."""
    quotes = (statement.quote, statement.fact)
    quoted = next((m for quote in quotes if (m := quoted_message(quote, statement.fact, said, redact))), None)
    calling = (m for m in reversed(said) if isinstance(m, AIMessage) and _makes(m, statement.call_id))
    source = quoted or next(calling, None)
    source_id = str(source.id) if source and source.id else ""
    place = scope.thread_messages(scope.thread_id)
    (item,) = (yield from batch(store, [GetOp(place, source_id)])) if quoted and source_id else (None,)
    own = isinstance(item, Item) and scope.owns(item.namespace)
    return StoredMessage(
        id=source_id,
        thread=scope.thread_id,
        episode=SAVED + fingerprint(scope.thread_id, source_id, statement.call_id or to_iso(now), statement.fact),
        role="user" if quoted else "assistant",
        speaker=quoted.name if quoted else None,
        text=redact(quoted.text if quoted else statement.fact),
        context="",
        at=str(cast("Item", item).value["at"]) if own else to_iso(now),
        position=0,
        after=None,
        is_fork=False,
        is_abandoned=False,
        is_indexed=True,
    )


def _makes(message: AIMessage, call_id: str) -> bool:
    return bool(call_id) and any(call["id"] == call_id for call in message.tool_calls)


def _extracted(
    statement: Statement, source: StoredMessage, entities: Entities, redact: Redactor
) -> tuple[ExtractedFact, str]:
    """The statement as if it had been extracted from its source, and whom it is about."""
    text = redact(statement.fact).strip()
    is_quote_said = source["role"] == "user" and is_quoted(redact(statement.quote), source["text"])
    folded = entity_key(statement.subject)
    if folded in SPELLINGS_OF_USER | {""}:
        subject = entity_key(source["speaker"]) if source["speaker"] else USER
    else:
        subject = by_alias(aliases_of(entities)).get(folded, folded)
    fact = ExtractedFact(
        message=1,
        quote=redact(statement.quote).strip() if is_quote_said else text,
        subject=subject,
        attribute=statement.attribute,
        value=redact(statement.value).strip() or text,
        fact=text,
        since=None,
        importance=3 if statement.is_pinned or statement.attribute in SINGLE_VALUED else 2,
        confirms=[],
        supersedes=[1] if statement.replaces else [],
    )
    return fact, subject


def _refusal(candidate: Candidate, scope: Scope, store: BaseStore) -> Flow[str]:
    """Why a statement is not to be kept, if it is not."""
    fact, message, _ = candidate
    if not fact.fact:
        return "it says nothing"
    if message["role"] != "user" and fact.attribute == "instruction":
        return "a standing instruction must quote the user's own words"
    if gives_orders(fact, message):
        return "it tells the assistant what to do, and not in the user's own words"
    reason = objection(fact.quote, message["text"], fact.fact)
    if reason is not None:
        return f"the words it rests on do not say so ({reason})"
    if is_claim_forgotten(candidate, (yield from load_marks(scope, store))):
        return "the user had it forgotten"
    return ""


def _bearing(candidate: Candidate, scope: Scope, store: BaseStore) -> Flow[Facts]:
    """The facts that bear on a statement."""
    attribute = candidate.fact.attribute
    filters = [{"claim": candidate.claim}, {"episode": candidate.message["episode"]}]
    if attribute in SINGLE_VALUED:
        filters.append({"subject": candidate.subject, "attribute": attribute})
    return (yield from search_facts(scope, store, filters))


def _with_subject(entities: Entities, name: str, source: StoredMessage) -> tuple[Entities, tuple[str, ...]]:
    """The entities with the one a statement is about, and its key, where it really is named there."""
    if not naming(name, [source]):
        return entities, ()
    extracted = ExtractedEntity(name=name, type="other", aliases=[])
    key = identify(extracted, entities)
    return {**entities, key: merged(entities.get(key), extracted, key, [source])}, (key,)


def _outcome(settlement: Settlement, candidate: Candidate, statement: Statement, known: Facts) -> tuple[str, str]:
    """The key of the fact that makes the claim after settling and, where it must not be kept, why."""
    for reason in settlement.rejected:
        return "", reason
    for key in settlement.added:
        stands = settlement.facts[key]["superseded_by"]
        if stands is not None:
            return "", f"the user said otherwise, see fact {stands!r}; quote what the user says now"
        if statement.replaces and statement.replaces not in settlement.superseded:
            return "", f"only words that the user said since may replace fact {statement.replaces!r}; quote them"
        return key, ""
    for twin in settlement.confirmed:
        return settlement.facts[twin]["confirms"] or twin, ""
    claim = candidate.claim
    same = (key for key, fact in known.items() if is_current(fact) and claim == fact["claim"])
    key = next(same, "")
    return key, "" if key else "the user has corrected it"


def _labelled(settlement: Settlement, source: StoredMessage, known: Facts, *, pinned: str) -> Facts:
    """The facts to write, with what settling does not know: how the new one came, and that one is pinned.

    Only the user's own words are pinned.
    """
    facts = dict(settlement.facts)
    for key, fact in facts.items():
        if fact["episode"] == source["episode"]:
            facts[key] = {**fact, "prompt": PROMPT, "message_ids": [source["id"]] if source["id"] else []}
    wanted = facts.get(pinned) or known.get(pinned)
    if wanted is not None and source["role"] == wanted["trust"] == "user":
        facts[pinned] = {**wanted, "is_pinned": True}
    return facts
