"""Decides, without any I/O, what becomes of extracted facts: rejected, added, confirming or superseding a known one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeAlias

from langchain_hybrid_memory.memories import TRUST_ORDER, StoredFact, StoredMessage, entity_key, from_iso, to_iso
from langchain_hybrid_memory.prompts.extraction import SINGLE_VALUED, VERSION, ExtractedFact

Facts: TypeAlias = dict[str, StoredFact]
"""Stored facts by key."""

USER = "user"
WORD = re.compile(r"\w+")
WHITE_SPACE = re.compile(r"\s+")
SPELLINGS_OF_USER = frozenset({"user", "the user", "i", "me", "myself"})


class Candidate(NamedTuple):
    """An extracted fact whose quote was found, with the message it was found in."""

    fact: ExtractedFact
    message: StoredMessage
    subject: str

    @property
    def claim(self) -> tuple[str, str, str]:
        """What is claimed, in a form that equal claims share."""
        return (self.subject, self.fact.attribute, fold(self.fact.value))


@dataclass(slots=True)
class Settlement:
    """What became of a batch's facts; `facts` holds each one that has to be written."""

    facts: Facts = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


def ground(
    facts: Iterable[ExtractedFact],
    messages: Sequence[StoredMessage],
    *,
    aliases: Mapping[str, str],
    max_facts: int,
) -> tuple[list[Candidate], Counter[str]]:
    """Keep the facts whose quote occurs in a message of the batch, white space and case apart.

    A quote that stands in another message than the one cited is moved there: small models count badly but copy well.

    Args:
        facts: The model's facts.
        messages: The batch, in the order the model saw it numbered.
        aliases: Subjects by the other names they go by, both folded.
        max_facts: Facts beyond this many are rejected.

    Returns:
        The candidates in the order of their messages, and how many facts were rejected for each reason.
    """
    rejected: Counter[str] = Counter()
    candidates: list[Candidate] = []
    for number, fact in enumerate(facts):
        source = _source(fact, messages)
        if number >= max_facts:
            rejected["too many"] += 1
        elif source is None:
            rejected["quote not found"] += 1
        elif not fact.fact.strip():
            rejected["empty"] += 1
        else:
            candidates.append(Candidate(fact, source, _subject(fact.subject, source, aliases)))
    order = {message["id"]: index for index, message in enumerate(messages)}
    return sorted(candidates, key=lambda candidate: order[candidate.message["id"]]), rejected


def settle(
    candidates: Sequence[Candidate],
    known: Facts,
    *,
    numbered: Sequence[str],
    names: Sequence[str],
    now: datetime,
) -> Settlement:
    """Settle candidates, in order, against the known facts and against each other.

    Args:
        candidates: Grounded facts of one batch.
        known: Facts the candidates may confirm or supersede, by key; not changed.
        numbered: Keys of the facts shown to the model, in the order it saw them: its number 1 is the first.
        names: Names of entities; those that occur in a fact are noted with it.
        now: When the facts are recorded.
    """
    table = {key: StoredFact(**fact) for key, fact in known.items()}
    settlement = Settlement()
    ordinals: Counter[str] = Counter()
    for candidate in candidates:
        episode = candidate.message["episode"]
        twin = _twin(candidate, table, numbered)
        if twin is not None:
            table[twin] = _confirm(table[twin], candidate)
            settlement.confirmed.append(twin)
            continue
        key = f"{episode}-{ordinals[episode]}"
        ordinals[episode] += 1
        table[key] = _stored(candidate, names, now)
        settlement.added.append(key)
        settlement.superseded += _supersede(key, candidate, table, numbered)
    settlement.facts = {key: fact for key, fact in table.items() if known.get(key) != fact}
    return settlement


def revive(facts: Mapping[str, StoredFact], gone: Iterable[str]) -> Facts:
    """The facts as they are once those with the keys `gone` are taken away: what they had ended is current again."""
    removed = set(gone)
    left = {key: fact for key, fact in facts.items() if key not in removed}
    return {key: _current(fact) if fact["superseded_by"] in removed else fact for key, fact in left.items()}


def fold(text: str) -> str:
    """Fold a text so that only its words count."""
    return " ".join(WORD.findall(text.casefold()))


def is_quoted(quote: str, text: str) -> bool:
    """Whether a quote occurs in a text, white space and case apart; an empty one never does."""
    wanted = WHITE_SPACE.sub(" ", quote).strip().casefold()
    return bool(wanted) and wanted in WHITE_SPACE.sub(" ", text).casefold()


def _source(fact: ExtractedFact, messages: Sequence[StoredMessage]) -> StoredMessage | None:
    cited = messages[fact.message - 1 : fact.message] if fact.message > 0 else []
    return next((message for message in [*cited, *messages] if is_quoted(fact.quote, message["text"])), None)


def _subject(subject: str, message: StoredMessage, aliases: Mapping[str, str]) -> str:
    """Fold a subject; "the user" is the speaker where messages name their speakers, else `user`."""
    folded = entity_key(subject)
    if folded in SPELLINGS_OF_USER:
        return entity_key(message["speaker"]) if message["speaker"] else USER
    return aliases.get(folded, folded)


def _twin(candidate: Candidate, table: Facts, numbered: Sequence[str]) -> str | None:
    """The current fact that already makes this claim, if there is one."""
    confirmed = {numbered[number - 1] for number in candidate.fact.confirms if 0 < number <= len(numbered)}
    words = set(fold(candidate.fact.value).split())
    for key, fact in table.items():
        if fact["superseded_by"] is not None or fact["subject"] != candidate.subject:
            continue
        is_same_claim = (fact["subject"], fact["attribute"], fold(fact["value"])) == candidate.claim
        is_cited = key in confirmed and fact["attribute"] == candidate.fact.attribute
        if is_same_claim or fold(fact["text"]) == fold(candidate.fact.fact):
            return key
        if is_cited and words & set(fold(fact["value"]).split()):
            return key
    return None


def _confirm(fact: StoredFact, candidate: Candidate) -> StoredFact:
    episodes = dict.fromkeys([*fact["confirmed_by"], candidate.message["episode"]])
    return {
        **fact,
        "confirmed_by": [episode for episode in episodes if episode != fact["episode"]],
        "confirmed_at": max(fact["confirmed_at"], candidate.message["at"]),
    }


def _supersede(key: str, candidate: Candidate, table: Facts, numbered: Sequence[str]) -> list[str]:
    """End what the fact under `key` makes untrue, or end that fact where something said later already stands."""
    new = table[key]
    cited = {numbered[number - 1] for number in candidate.fact.supersedes if 0 < number <= len(numbered)}
    ended: list[str] = []
    for other, old in list(table.items()):
        if other == key or old["superseded_by"] is not None or new["superseded_by"] is not None:
            continue
        is_about_same = old["subject"] == new["subject"]
        is_same_property = is_about_same and old["attribute"] == new["attribute"] and new["attribute"] in SINGLE_VALUED
        if not is_same_property and not (other in cited and is_about_same):
            continue
        if TRUST_ORDER[new["trust"]] < TRUST_ORDER[old["trust"]]:
            continue
        if old["confirmed_at"] <= new["confirmed_at"]:
            table[other] = _ended(old, by=key, at=new["valid_at"])
            ended.append(other)
        elif is_same_property:
            table[key] = new = _ended(new, by=other, at=old["valid_at"])
            ended.append(key)
    return ended


def _ended(fact: StoredFact, *, by: str, at: str) -> StoredFact:
    return {**fact, "superseded_by": by, "invalid_at": max(at, fact["valid_at"])}


def _current(fact: StoredFact) -> StoredFact:
    return {**fact, "superseded_by": None, "invalid_at": None}


def _stored(candidate: Candidate, names: Sequence[str], now: datetime) -> StoredFact:
    fact, message = candidate.fact, candidate.message
    text = WHITE_SPACE.sub(" ", fact.fact).strip()
    return StoredFact(
        text=text,
        category=fact.attribute,
        entities=[name for name in names if f" {fold(name)} " in f" {fold(text)} "],
        subject=candidate.subject,
        attribute=fact.attribute,
        value=fact.value.strip(),
        importance=fact.importance,
        trust=message["role"],
        valid_at=_since(fact.since, message["at"]),
        invalid_at=None,
        recorded_at=to_iso(now),
        superseded_by=None,
        confirmed_by=[],
        confirmed_at=message["at"],
        thread=message["thread"],
        episode=message["episode"],
        message_ids=[message["id"]],
        quote=fact.quote.strip(),
        extractor=VERSION,
    )


def _since(stated: str | None, said_at: str) -> str:
    """The instant a fact holds from: as stated, if that is a date, else when it was said."""
    try:
        return to_iso(from_iso(stated)) if stated else said_at
    except ValueError:
        return said_at
