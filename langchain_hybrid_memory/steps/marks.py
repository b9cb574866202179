"""Keeps what was forgotten from being remembered again, by marks that hold none of its words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

from langgraph.store.base import BaseStore

from langchain_hybrid_memory._flow import Flow, listing
from langchain_hybrid_memory.prompts.extraction import SINGLE_VALUED
from langchain_hybrid_memory.records import StoredFact, StoredMark, fingerprint
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.ground import WORD, Candidate, fold

Marks: TypeAlias = Mapping[str, StoredMark]
"""Marks by the key of the message they are about."""

BLANK = "[forgotten]"
"""Stands where a forgotten quote stood."""
WHOLE = "*"
"""Stands among the quotes of a message that was forgotten whole."""


def mark_key(thread: str, message_id: str) -> str:
    """The key of a message's mark."""
    return fingerprint(thread, message_id)


def load_marks(scope: Scope, store: BaseStore) -> Flow[dict[str, StoredMark]]:
    """All marks of a user."""
    items = yield from listing(store, scope.namespace("forgotten"))
    return {item.key: cast("StoredMark", item.value) for item in items if scope.owns(item.namespace)}


def marked(marks: Marks, facts: Iterable[StoredFact], *, at: str) -> dict[str, StoredMark]:
    """The marks that forgetting these facts leaves, old ones of the same messages included."""
    changed: dict[str, StoredMark] = {}
    for fact in facts:
        for key in (mark_key(fact["thread"], message_id) for message_id in fact["message_ids"]):
            old = changed.get(key) or marks.get(key) or _nothing(at)
            changed[key] = StoredMark(
                quotes=_with(old["quotes"], _quote_mark(fact["quote"])),
                claims=_with(old["claims"], fact["claim"]),
                properties=_with(old["properties"], _property_of(fact["subject"], fact["attribute"])),
                forgotten_at=at,
            )
    return changed


def marked_whole(marks: Marks, thread: str, message_id: str, *, at: str) -> dict[str, StoredMark]:
    """The mark that forgetting a message whole leaves."""
    key = mark_key(thread, message_id)
    old = marks.get(key) or _nothing(at)
    return {key: StoredMark(**{**old, "quotes": _with(old["quotes"], WHOLE), "forgotten_at": at})}


def blanked(text: str, mark: StoredMark | None) -> str:
    """A message's text without the words that were forgotten in it, in whatever case and punctuation they come."""
    quotes = mark["quotes"] if mark else []
    if WHOLE in quotes:
        return BLANK
    for quote in quotes:
        count, _, wanted = quote.partition(":")
        text = _without(text, int(count), wanted)
    return text


def is_forgotten(claim: str, subject: str, attribute: str, *, said_at: str, key: str, marks: Marks) -> bool:
    """Whether the user had a claim forgotten after it was said: there, or in the words of another message.

    Of a property with one value at a time, whatever value its own message gives is forgotten.
    """
    if any(claim in mark["claims"] and said_at <= mark["forgotten_at"] for mark in marks.values()):
        return True
    own = marks.get(key)
    return own is not None and _property_of(subject, attribute) in own["properties"]


def is_claim_forgotten(candidate: Candidate, marks: Marks) -> bool:
    """Whether the user had forgotten what a candidate claims; see `is_forgotten`."""
    message, attribute = candidate.message, candidate.fact.attribute
    key = mark_key(message["thread"], message["id"])
    return is_forgotten(candidate.claim, candidate.subject, attribute, said_at=message["at"], key=key, marks=marks)


def _nothing(at: str) -> StoredMark:
    return StoredMark(quotes=[], claims=[], properties=[], forgotten_at=at)


def _with(old: list[str], new: str) -> list[str]:
    return list(dict.fromkeys([*old, new])) if new else old


def _quote_mark(quote: str) -> str:
    words = fold(quote)
    return f"{len(words.split())}:{fingerprint(words)}" if words else ""


def _property_of(subject: str, attribute: str) -> str:
    return fingerprint(subject, attribute) if attribute in SINGLE_VALUED else ""


def _without(text: str, count: int, wanted: str) -> str:
    spans = [match.span() for match in WORD.finditer(text)]
    for first in range(len(spans) - count, -1, -1):  # from the end, so that the places before stay where they are
        start, end = spans[first][0], spans[first + count - 1][1]
        if fingerprint(fold(text[start:end])) == wanted:
            text = text[:start] + BLANK + text[end:]
    return text
