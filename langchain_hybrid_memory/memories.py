"""What callers get back: frozen, each built from the records of a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast

from langchain_hybrid_memory.cards import Card, Returned, period
from langchain_hybrid_memory.records import Role, StoredEntity, StoredFact, StoredMessage, Trust, from_iso

LEAST = 0.005
"""A smaller share of a score is not shown."""

MomentLabel: TypeAlias = Literal["began", "superseded", "ended", "corrected"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Fact(Returned):
    """One self-contained sentence worth keeping, and what it rests on."""

    id: str
    text: str
    category: str
    entities: tuple[str, ...]
    subject: str
    attribute: str
    value: str
    importance: int
    """From 1 (a detail) to 3 (defines the person)."""
    trust: Trust
    valid_at: datetime
    invalid_at: datetime | None
    said_at: datetime
    """When it was last said; `recorded_at` is when that was written down."""
    recorded_at: datetime
    superseded_by: str | None
    thread: str
    message_ids: tuple[str, ...]
    quote: str
    is_pinned: bool = False
    """Whether it stands in every prompt."""
    prompt: str = ""
    """Version of the prompt that drew it; empty for a correction by the user."""
    extractor: str = ""
    """Version of the code that checked it."""

    @property
    def is_superseded(self) -> bool:
        """Whether a newer fact has ended this one."""
        return self.superseded_by is not None

    def _line(self) -> str:
        ended = f" until {self.invalid_at:%Y-%m-%d}" if self.invalid_at else ""
        return f"{self.text!r} since {self.valid_at:%Y-%m-%d}{ended}"

    def _card(self) -> Card:
        rows = {
            "true": period(self.valid_at, self.invalid_at),
            "about": f"{self.subject}: {self.attribute}" + (" (pinned)" if self.is_pinned else ""),
            "because of": f"“{self.quote}” in thread {self.thread}",
        }
        return Card(title=self.text, is_past=self.is_superseded, rows=rows)


@dataclass(frozen=True, kw_only=True, repr=False)
class Provenance(Returned):
    """Why a fact is known: the words it rests on, who said them when, and its place in the history."""

    fact: Fact
    quote: str
    message_ids: tuple[str, ...]
    messages: tuple[Message, ...]
    """The messages it was drawn from, as they are on record; empty for a correction by the user."""
    thread: str
    said_at: datetime
    """When it was first said."""
    confirmed_by: tuple[Fact, ...] = ()
    """The same claim, drawn from other messages, oldest first; each with its own quote."""
    supersedes: tuple[Fact, ...] = ()
    """The facts it ended."""
    superseded_by: Fact | None = None
    """The fact that ended it."""

    def _line(self) -> str:
        return f"{self.fact.text!r} because of {self.quote!r} in thread {self.thread!r} on {self.said_at:%Y-%m-%d}"

    def _card(self) -> Card:
        rows = {
            "because of": f"“{self.quote}”",
            "said": f"{self.said_at:%Y-%m-%d} in thread {self.thread}",
            "messages": self.messages,
            "confirmed by": tuple(fact.quote for fact in self.confirmed_by),
            "supersedes": self.supersedes,
            "superseded by": self.superseded_by,
        }
        return Card(title=self.fact.text, is_past=self.superseded_by is not None, rows=rows)


@dataclass(frozen=True, kw_only=True, repr=False)
class Moment(Returned):
    """One line of a timeline."""

    at: datetime
    label: MomentLabel
    """`began`: true since then and still; `superseded`: until a newer fact; `corrected`: until the user's correction;
    `ended`: until the end it was told with."""
    until: datetime | None
    fact: Fact

    def _line(self) -> str:
        until = f" to {self.until:%Y-%m-%d}" if self.until else ""
        return f"{self.at:%Y-%m-%d}{until} {self.label}: {self.fact.text!r}"

    def _card(self) -> Card:
        rows = {self.label: period(self.at, self.until), "because of": f"“{self.fact.quote}”"}
        return Card(title=self.fact.text, is_past=self.label != "began", rows=rows)


@dataclass(frozen=True, kw_only=True, repr=False)
class Message(Returned):
    """One remembered message."""

    id: str
    thread: str
    role: Role
    speaker: str | None
    text: str
    at: datetime

    def _line(self) -> str:
        return f"{self.at:%Y-%m-%d} {self.speaker or self.role}: {self.text!r}"

    def _card(self) -> Card:
        return Card(title=self.text, rows={"said by": self.speaker or self.role, "on": self.at, "thread": self.thread})


@dataclass(frozen=True, kw_only=True, repr=False)
class Entity(Returned):
    """A named person, place or thing; its profile is the current facts about it."""

    name: str
    type: str
    aliases: tuple[str, ...]
    first_seen_at: datetime
    last_seen_at: datetime
    facts: tuple[Fact, ...] = ()
    history: tuple[Fact, ...] = ()
    """Facts about it that no longer hold, oldest first, where they were asked for."""

    def _line(self) -> str:
        return f"{self.name!r} ({self.type}, {len(self.facts)} facts)"

    def _card(self) -> Card:
        rows = {
            "also called": ", ".join(self.aliases),
            "mentioned": period(self.first_seen_at, self.last_seen_at),
            "now": self.facts,
            "before": self.history,
        }
        return Card(title=f"{self.name} ({self.type})", rows=rows)


@dataclass(frozen=True, kw_only=True, repr=False)
class Hit(Returned):
    """A fact or message that a search found."""

    item: Fact | Message
    score: float
    """Weight in this search; higher is better, comparable within one search."""
    signals: Mapping[str, float] = field(default_factory=dict)
    """What speaks for it, by name, each in [0, 1]; signals that say nothing are left out."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """What each signal added to the score, which is their sum; only where an explanation was asked for."""
    outdated: tuple[str, ...] = ()
    """Quotes from a message, or from those a fact rests on, that are no longer true: what they told was superseded."""
    is_quoted: bool = False
    """Whether there was room to show a fact with the words it rests on."""
    sought: Mapping[str, float] = field(default_factory=dict)
    """The terms of the question with their weights: what is shown of a long text is chosen by them."""
    tokens: int | None = None
    """The room its text was given, in tokens; `None` where that was not settled."""

    @property
    def text(self) -> str:
        """The words found."""
        return self.item.text

    @property
    def at(self) -> datetime:
        """When it was said, for a fact: the last time."""
        return self.item.said_at if isinstance(self.item, Fact) else self.item.at

    def _line(self) -> str:
        return f"{self.score:.2f} {self.item!r}"

    def _card(self) -> Card:
        fact = self.item if isinstance(self.item, Fact) else None
        speaking = self.shares or self.signals
        rows = {
            "found": f"a {'fact' if fact else 'message'} of {self.at:%Y-%m-%d} in thread {self.item.thread}",
            "score": f"{self.score:.2f}",
            "of which" if self.shares else "signals": {
                name: share for name, share in speaking.items() if abs(share) >= LEAST
            },
            "no longer true": self.outdated,
        }
        return Card(title=self.text, is_past=fact is not None and fact.is_superseded, rows=rows)


@dataclass(frozen=True, kw_only=True, repr=False)
class Receipt(Returned):
    """What a request to forget removed, and what could not be reached."""

    removed: Mapping[str, int]
    """How many items were removed, by kind."""
    remaining: tuple[str, ...] = ()
    """Places that may still hold the words, each with the reason."""
    deleted_threads: tuple[str, ...] = ()
    """Threads whose checkpoints went whole: they were in the middle of a turn, or other graphs are nested in theirs."""

    def _line(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.removed.items() if count) or "nothing"
        deleted = f"; deleted threads: {', '.join(self.deleted_threads)}" if self.deleted_threads else ""
        return f"removed {counts}{deleted}" + (f"; remaining: {'; '.join(self.remaining)}" if self.remaining else "")

    def _card(self) -> Card:
        return Card(title="forgotten", rows={"removed": self.removed, "remaining": self.remaining})


def fact_from(key: str, value: Mapping[str, Any]) -> Fact:
    """Build the returned form of a stored fact."""
    stored = cast("StoredFact", value)
    return Fact(
        id=key,
        text=stored["text"],
        category=stored["category"],
        entities=tuple(stored["entities"]),
        subject=stored["subject"],
        attribute=stored["attribute"],
        value=stored["value"],
        importance=stored["importance"],
        trust=stored["trust"],
        valid_at=from_iso(stored["valid_at"]),
        invalid_at=from_iso(stored["invalid_at"]) if stored["invalid_at"] else None,
        said_at=from_iso(stored["confirmed_at"]),
        recorded_at=from_iso(stored["recorded_at"]),
        superseded_by=stored["superseded_by"],
        thread=stored["thread"],
        message_ids=tuple(stored["message_ids"]),
        quote=stored["quote"],
        is_pinned=stored["is_pinned"],
        prompt=stored["prompt"],
        extractor=stored["extractor"],
    )


def message_from(value: Mapping[str, Any]) -> Message:
    """Build the returned form of a stored message."""
    stored = cast("StoredMessage", value)
    return Message(
        id=stored["id"],
        thread=stored["thread"],
        role=stored["role"],
        speaker=stored["speaker"],
        text=stored["text"],
        at=from_iso(stored["at"]),
    )


def entity_from(value: Mapping[str, Any], facts: tuple[Fact, ...] = (), history: tuple[Fact, ...] = ()) -> Entity:
    """Build the returned form of a stored entity with the facts about it."""
    stored = cast("StoredEntity", value)
    return Entity(
        name=stored["name"],
        type=stored["type"],
        aliases=tuple(stored["aliases"]),
        first_seen_at=from_iso(stored["first_seen_at"]),
        last_seen_at=from_iso(stored["last_seen_at"]),
        facts=facts,
        history=history,
    )
