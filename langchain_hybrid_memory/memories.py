"""What is remembered: each kind in the form the store keeps and in the form a caller gets back."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypeAlias, cast

from typing_extensions import TypedDict

Role: TypeAlias = Literal["user", "assistant", "tool"]
Trust: TypeAlias = Literal["user", "assistant", "tool", "document"]

TRUST_ORDER: Mapping[Trust, int] = {"user": 3, "assistant": 2, "tool": 1, "document": 0}


class StoredMessage(TypedDict):
    """One message of a thread, verbatim after redaction; namespace `messages / thread`, key the message id."""

    id: str
    thread: str
    episode: str
    role: Role
    speaker: str | None
    text: str
    context: str
    """The text of the message before it: helps keyword search to find it, is neither embedded nor returned."""
    at: str
    position: int
    """Index of the message in its thread, counted from 0."""
    is_indexed: bool
    day_words: NotRequired[str]
    """Its day as a question would name it: helps keyword search to find it."""


class StoredFact(TypedDict):
    """One self-contained sentence; namespace `facts`, key `<episode>-<ordinal>`."""

    text: str
    category: str
    entities: list[str]
    subject: str
    attribute: str
    value: str
    importance: int
    trust: Trust
    valid_at: str
    invalid_at: str | None
    recorded_at: str
    superseded_by: str | None
    confirmed_by: list[str]
    confirmed_at: str
    thread: str
    episode: str
    message_ids: list[str]
    quote: str
    extractor: str


class StoredEntity(TypedDict):
    """A named person, place or thing; namespace `entities`, key the name folded by `entity_key`."""

    name: str
    type: str
    aliases: list[str]
    first_seen_at: str
    last_seen_at: str


class StoredSummary(TypedDict):
    """The running digest of a thread; namespace `summaries`, key the thread id."""

    text: str
    through_id: str
    through_position: int
    messages: int
    """How many messages the digest covers; each is folded in once."""


class StoredThread(TypedDict):
    """That a thread exists; namespace `threads`, key the thread id."""

    last_at: str
    length: int
    """How many messages the thread had when it was last written to."""


class Pending(TypedDict):
    """Work on an episode that is still to be done; namespace `pending / user`, key `<episode>-<last message id>`.

    Holds no text. Record only ever adds entries, so whoever works on one can never undo what was queued meanwhile.
    """

    user: str
    thread: str
    episode: str
    message_ids: list[str]
    """The episode's messages so far, in order."""
    recorded_at: str
    is_complete: bool
    """Whether the turn had ended; an open turn is indexed but not extracted."""
    learns: bool
    """Whether facts are to be drawn from it; otherwise work on it ends when it is indexed."""
    is_indexed: bool
    attempts: int
    error: str | None


@dataclass(frozen=True, kw_only=True, repr=False)
class _Returned:
    """Shared representation of what callers get back."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._line()}>"

    def _line(self) -> str:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """Show every field as a small table, in the colors of the notebook's own theme."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(f.name)}</th>"
            f"<td style='text-align:left'>{html.escape(str(getattr(self, f.name)))}</td></tr>"
            for f in fields(self)
            if getattr(self, f.name) not in (None, "", ())
        )
        return f"<table>{rows}</table>"


@dataclass(frozen=True, kw_only=True, repr=False)
class Fact(_Returned):
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

    @property
    def is_superseded(self) -> bool:
        """Whether a newer fact has ended this one."""
        return self.superseded_by is not None

    def _line(self) -> str:
        ended = f" until {self.invalid_at:%Y-%m-%d}" if self.invalid_at else ""
        return f"{self.text!r} since {self.valid_at:%Y-%m-%d}{ended}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Message(_Returned):
    """One remembered message."""

    id: str
    thread: str
    role: Role
    speaker: str | None
    text: str
    at: datetime

    def _line(self) -> str:
        return f"{self.at:%Y-%m-%d} {self.speaker or self.role}: {self.text!r}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Entity(_Returned):
    """A named person, place or thing; its profile is the current facts about it."""

    name: str
    type: str
    aliases: tuple[str, ...]
    first_seen_at: datetime
    last_seen_at: datetime
    facts: tuple[Fact, ...] = ()

    def _line(self) -> str:
        return f"{self.name!r} ({self.type}, {len(self.facts)} facts)"


@dataclass(frozen=True, kw_only=True, repr=False)
class Hit(_Returned):
    """A fact or message that a search found."""

    item: Fact | Message
    score: float
    """Weight in this search; higher is better, comparable within one search."""
    signals: Mapping[str, float] = field(default_factory=dict)
    """What speaks for it, by name, each in [0, 1]; signals that say nothing are left out."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """What each signal added to the score, which is their sum; only where an explanation was asked for."""
    outdated: tuple[str, ...] = ()
    """Quotes from a message that are no longer true, because what they told was superseded."""
    is_quoted: bool = False
    """Whether there was room to show a fact with the words it rests on."""

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


@dataclass(frozen=True, kw_only=True, repr=False)
class Receipt(_Returned):
    """What a request to forget removed, and what could not be reached."""

    removed: Mapping[str, int]
    """How many items were removed, by kind."""
    remaining: tuple[str, ...] = ()
    """Places that may still hold the words, each with the reason."""

    def _line(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.removed.items() if count) or "nothing"
        return f"removed {counts}" + (f"; remaining: {'; '.join(self.remaining)}" if self.remaining else "")


def entity_key(name: str) -> str:
    """Fold a name so that its spellings meet: case and white space do not count."""
    return " ".join(name.casefold().split())


def fingerprint(*parts: str) -> str:
    """Name a text, or several in order, by 20 hexadecimal digits; different texts get different names."""
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(framed.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def to_iso(moment: datetime) -> str:
    """Write an aware datetime as ISO 8601 in UTC."""
    return moment.astimezone(UTC).isoformat()


def from_iso(text: str) -> datetime:
    """Read an ISO 8601 time; one without a zone is taken as UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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


def entity_from(value: Mapping[str, Any], facts: tuple[Fact, ...] = ()) -> Entity:
    """Build the returned form of a stored entity with the facts about it."""
    stored = cast("StoredEntity", value)
    return Entity(
        name=stored["name"],
        type=stored["type"],
        aliases=tuple(stored["aliases"]),
        first_seen_at=from_iso(stored["first_seen_at"]),
        last_seen_at=from_iso(stored["last_seen_at"]),
        facts=facts,
    )
