"""How an item is written down and handed back: namespaces, values, times, signals."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langgraph.store.base import InvalidNamespaceError, Item, SearchItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NESTING: Final = 900  # SQLite reads 1,000 levels; later Pythons write more
END: Final = b"\x01"
AFTER: Final = b"\x02"
ESCAPED: Final = str.maketrans({"\x00": "\x02\x03", "\x01": "\x02\x04", "\x02": "\x02\x05"})
VALUE: Final = 3
"""Which column of a row the value is."""
PLAIN: Final = str.maketrans({"\x03": "\x00", "\x04": "\x01", "\x05": "\x02"})


class Signals(NamedTuple):
    """Why a search found an item: two absolute signals that other items do not move.

    Attributes:
        cosine: Cosine of query and item in [0, 1]; the best of its fields, 0 when opposed or not embedded.
        keyword: Share of the query's terms found in the item's keyword text, in [0, 1], each term weighted by a fixed
            prior (see `_keywords`).
    """

    cosine: float
    keyword: float

    def score(self, *, keyword_share: float) -> float:
        """The fixed mix of the two; `keyword_share` is the keyword signal's part of it, in [0, 1]."""
        return round((1 - keyword_share) * self.cosine + keyword_share * self.keyword, 6)


class HybridItem(SearchItem):
    """A search hit that also says why it was found; `signals` is `None` where `score` is."""

    __slots__ = ("signals",)

    def __init__(self, item: Item | Row, *, score: float | None = None, signals: Signals | None = None) -> None:
        """Copy an item and add what the search knows about it; what lies deep in its value is not copied."""
        self.namespace, self.key, self.value = item.namespace, item.key, item.value.copy()
        self.created_at, self.updated_at = item.created_at, item.updated_at
        self.score, self.signals = score, signals


class Row(NamedTuple):
    """An item as the catalog holds it."""

    id: int
    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    def item(self) -> Item:
        """The item; its value is the row's own."""
        return Item(
            namespace=self.namespace,
            key=self.key,
            value=self.value,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


def read_rows(rows: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
    """Rows of the catalog, their values as `dump_value` wrote them.

    They are read in one go: it takes half as long, because the same keys come again and again. Values that are not text
    may be deep, and are read one by one.
    """
    every = list(rows)
    plain = iter(json.loads(f"[{','.join(row[VALUE] for row in every if isinstance(row[VALUE], str))}]"))
    for item, namespace, key, stored, created_at, updated_at in every:
        value = next(plain) if isinstance(stored, str) else json.loads(stored)
        created, updated = instant(created_at), instant(updated_at)
        yield Row(item, decode_namespace(namespace), decode(key), value, created, updated)


def encode(text: str) -> bytes:
    """Write any Python string as bytes that sort like it, lone surrogates and NUL included."""
    return text.encode("utf-8", "surrogatepass")


def decode(text: bytes) -> str:
    """Undo `encode`."""
    return text.decode("utf-8", "surrogatepass")


def encode_namespace(labels: Iterable[object]) -> bytes:
    """Write a namespace so that byte order is tuple order and a byte prefix is a prefix of whole labels.

    Every label ends with 0x01; the characters 0x00 to 0x02 are escaped inside labels.

    Raises:
        InvalidNamespaceError: If a label is not a string.
    """
    encoded = bytearray()
    for label in labels:
        if not isinstance(label, str):  # LangGraph's `batch` does not check
            msg = f"namespace label {label!r} is not a string; namespaces are tuples of strings"
            raise InvalidNamespaceError(msg)
        encoded += encode(label.translate(ESCAPED)) + END
    return bytes(encoded)


@lru_cache(maxsize=1_024)
def decode_namespace(encoded: bytes) -> tuple[str, ...]:
    """Undo `encode_namespace`."""
    labels = decode(encoded).split("\x01")[:-1]
    return tuple(map(_unescape, labels) if b"\x02" in encoded else labels)


def _unescape(label: str) -> str:
    head, *escapes = label.split("\x02")
    return head + "".join(rest[0].translate(PLAIN) + rest[1:] for rest in escapes)


def namespace_range(prefix: bytes) -> tuple[bytes, bytes]:
    """The half-open range of encoded namespaces that start with an encoded prefix."""
    return (prefix, prefix[:-1] + AFTER) if prefix else (b"", b"\xff")


def prefixes(labels: Sequence[str]) -> list[bytes]:
    """The encoded prefixes of a namespace, from its first label to the whole."""
    return [encode_namespace(labels[:depth]) for depth in range(1, len(labels) + 1)]


def dump_value(value: Mapping[str, Any]) -> str | bytes:
    """Write a value as JSON: text where SQLite reads the same JSON as Python does, bytes otherwise.

    NaN and infinity, lone surrogates, NUL and deep nesting are what SQLite's JSON functions refuse or cut; searches
    look at such values in Python instead.

    Raises:
        TypeError: If the value holds something JSON cannot express.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        return encode(json.dumps(value, ensure_ascii=False))
    may_be_deep = text.count("{") + text.count("[") > NESTING
    return encode(text) if may_be_deep or "\\u0000" in text else text


def instant(microseconds: int) -> datetime:
    """The aware UTC time of a count of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def microseconds(moment: datetime) -> int:
    """Undo `instant`."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced, because no model and no index accepts them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
