"""Reads what a store found as candidates of a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from langgraph.store.base import SearchItem

from langchain_hybrid_memory.memories import Fact, Message, fact_from, message_from
from langchain_hybrid_memory.records import from_iso


class Candidate(NamedTuple):
    """A found fact or message, as it is stored: few of them are worth being built."""

    key: str
    value: Mapping[str, Any]
    cosine: float | None
    """`None` for something not embedded yet."""
    is_fact: bool

    @property
    def item(self) -> Fact | Message:
        """The fact or message."""
        return fact_from(self.key, self.value) if self.is_fact else message_from(self.value)

    @property
    def is_superseded(self) -> bool:
        """Whether it is a fact that a newer one has ended."""
        return self.is_fact and self.value["superseded_by"] is not None

    @property
    def text(self) -> str:
        """Its words."""
        text: str = self.value["text"]
        return text

    @property
    def thread(self) -> str:
        """Where it was said."""
        thread: str = self.value["thread"]
        return thread

    @property
    def messages(self) -> list[str]:
        """Ids of the messages that a fact rests on; that of a message."""
        return list(dict.fromkeys(self.value["message_ids"])) if self.is_fact else [self.value["id"]]

    @property
    def position(self) -> int | None:
        """Place of a message in its thread."""
        return None if self.is_fact else self.value.get("position")

    @property
    def before(self) -> str:
        """What stands before it: the end of the previous message; for a fact the words it rests on."""
        return str(self.value.get("quote" if self.is_fact else "context") or "")

    @property
    def names(self) -> str:
        """The name of its speaker, or the entities of a fact."""
        return " ".join(self.value["entities"]) if self.is_fact else str(self.value.get("speaker") or "")

    @property
    def is_users(self) -> bool:
        """Whether these are the user's words."""
        role: str = self.value["trust" if self.is_fact else "role"]
        return role == "user"

    @property
    def speaker(self) -> str:
        """Who said it, for a fact whom it is about; empty where nobody is named."""
        return self.value["subject" if self.is_fact else "speaker"] or ""

    @property
    def at(self) -> datetime:
        """When it was said, for a fact since when it is true."""
        return from_iso(self.value["valid_at" if self.is_fact else "at"])

    @property
    def said_at(self) -> str:
        """When it was said, for a fact the last time, in ISO 8601 and UTC: the later the greater."""
        said_at: str = self.value["confirmed_at" if self.is_fact else "at"]
        return said_at


def read_candidates(*, found: Iterable[SearchItem], fresh: Iterable[SearchItem]) -> list[Candidate]:
    """Read search results, each item once.

    Args:
        found: What the store found; what it could not score, because it has no vectors, counts by its words.
        fresh: Messages that are not embedded yet.
    """
    distinct: dict[tuple[tuple[str, ...], str], SearchItem] = {}
    for item in (*fresh, *found):
        place = (tuple(item.namespace), item.key)
        if item.score is not None or place not in distinct:
            distinct[place] = item
    return [Candidate(item.key, item.value, _cosine(item), "quote" in item.value) for item in distinct.values()]


def _cosine(item: SearchItem) -> float | None:
    signals = getattr(item, "signals", None)
    return signals.cosine if signals else item.score
