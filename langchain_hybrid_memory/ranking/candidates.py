"""Reads what a store found as candidates of a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from langgraph.store.base import SearchItem

from langchain_hybrid_memory.memories import Fact, Message, fact_from, message_from
from langchain_hybrid_memory.records import from_iso


class Candidate(NamedTuple):
    """What ranking looks at in a found fact or message; few of them are worth being built."""

    key: str
    value: Mapping[str, Any]
    """As it is stored."""
    cosine: float | None
    """`None` for something not embedded yet."""
    is_fact: bool
    thread: str
    """Where it was said."""
    text: str
    before: str
    """What stands before it: the end of the previous message; for a fact the words it rests on."""
    names: str
    """The name of its speaker, or the entities of a fact."""
    speaker: str
    """Who said it, for a fact whom it is about; empty where nobody is named."""
    is_users: bool
    """Whether these are the user's words."""
    position: int | None
    """Place of a message in its thread."""
    said_at: str
    """When it was said, for a fact the last time, in ISO 8601 and UTC: the later the greater."""

    @property
    def item(self) -> Fact | Message:
        """The fact or message."""
        return fact_from(self.key, self.value) if self.is_fact else message_from(self.value)

    @property
    def is_superseded(self) -> bool:
        """Whether it is a fact that a newer one has ended."""
        return self.is_fact and self.value["superseded_by"] is not None

    @property
    def messages(self) -> list[str]:
        """Ids of the messages that a fact rests on; that of a message."""
        return list(dict.fromkeys(self.value["message_ids"])) if self.is_fact else [self.value["id"]]

    @property
    def at(self) -> datetime:
        """When it was said, for a fact since when it is true."""
        return from_iso(self.value["valid_at" if self.is_fact else "at"])


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
    return [_read_fact(item) if "quote" in item.value else _read_message(item) for item in distinct.values()]


def _read_fact(item: SearchItem) -> Candidate:
    value = item.value
    return Candidate(
        item.key,
        value,
        _cosine(item),
        True,  # noqa: FBT003 - by position, as there may be hundreds and by name takes twice as long
        value["thread"],
        value["text"],
        value["quote"] or "",
        " ".join(value["entities"]),
        value["subject"] or "",
        value["trust"] == "user",
        None,
        value["confirmed_at"],
    )


def _read_message(item: SearchItem) -> Candidate:
    value = item.value
    speaker = value.get("speaker") or ""
    return Candidate(
        item.key,
        value,
        _cosine(item),
        False,  # noqa: FBT003 - as above
        value["thread"],
        value["text"],
        value.get("context") or "",
        speaker,
        speaker,
        value["role"] == "user",
        value.get("position"),
        value["at"],
    )


def _cosine(item: SearchItem) -> float | None:
    signals = getattr(item, "signals", None)
    return signals.cosine if signals else item.score
