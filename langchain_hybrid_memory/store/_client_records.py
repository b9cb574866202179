"""How an item lies in a collection of a Chroma server: one record with all of it, one more for each further text.

The first record of an item, its *head*, has the item's hash as id, the item's keyword terms and below them its value as
document, and the first embedded text's vector, or zeros. A further embedded text has a record of its own, with nothing
but its vector. All are written in one call and carry the same `version`: a record of another version than its head's is
left over from an earlier write and counts for nothing.
"""

from __future__ import annotations

import json
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np
from langgraph.store.base import Item

from langchain_hybrid_memory.store._items import decode, decode_namespace, instant, prefixes
from langchain_hybrid_memory.store._plan import scope_term

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chromadb.api.types import Metadata
    from numpy.typing import NDArray

    from langchain_hybrid_memory.store._plan import Put, Target

NEVER: Final = 2**53 - 1
MINUTE: Final = 60_000_000
TOLERANCE: Final = 1e-4


Vector: TypeAlias = "NDArray[np.int32 | np.float32]"  # as Chroma types them; ours are float32


class Record(NamedTuple):
    """One record as Chroma takes it."""

    id: str
    embedding: Vector
    document: str
    metadata: dict[str, Any]


class Head(NamedTuple):
    """An item as its first record holds it; times in microseconds since 1970, `ttl` in minutes."""

    id: str
    version: str
    namespace: tuple[str, ...]
    key: str
    value: str
    words: frozenset[str]
    created_at: int
    updated_at: int
    ttl: float | None
    texts: int

    def item(self) -> Item:
        """The item, built anew on every call, so a caller may change what it gets."""
        return Item(
            namespace=self.namespace,
            key=self.key,
            value=json.loads(self.value),
            created_at=instant(self.created_at),
            updated_at=instant(self.updated_at),
        )

    @property
    def order(self) -> tuple[int, tuple[str, ...], str]:
        """Sorts the last written first, then by namespace and key."""
        return -self.updated_at, self.namespace, self.key


class Stored(NamedTuple):
    """What a collection holds of one item before it is written again."""

    created_at: int | None
    versions: frozenset[str]
    records: frozenset[str]
    vectors: Mapping[str, Vector]


NOTHING: Final = Stored(None, frozenset(), frozenset(), {})


def item_id(target: Target) -> str:
    """The id of an item's first record; an encoded namespace holds no NUL, so two items never share one."""
    return blake2b(target.namespace + b"\x00" + target.key, digest_size=16).hexdigest()


def as_vector(embedding: bytes) -> Vector:
    """A vector from its float32 bytes."""
    return np.frombuffer(embedding, dtype=np.float32)


def below(prefix: bytes) -> str:
    """The term that every item below a namespace prefix carries."""
    return f"n{scope_term(prefix)}"


def findable(prefix: bytes) -> str:
    """The term of every record below a prefix that a query may find: those with a vector or with words."""
    return f"q{scope_term(prefix)}"


def read_head(record: str, document: str | None, metadata: Mapping[str, Any]) -> Head | None:
    """A head from what Chroma returns, or `None` for another record."""
    if "key" not in metadata:
        return None
    words, _, value = (document or "").partition("\n")
    return Head(
        id=record,
        version=metadata["version"],
        namespace=tuple(json.loads(metadata["namespace"])),
        key=json.loads(metadata["key"]),
        value=value,
        words=frozenset(words.split()),
        created_at=metadata["created_at"],
        updated_at=metadata["updated_at"],
        ttl=metadata.get("ttl"),
        texts=metadata["texts"],
    )


def read_stored(metadatas: Mapping[str, Metadata], vectors: Mapping[str, Sequence[float]]) -> Stored:
    """What is known of one item from its records' metadata and, where asked for, their vectors.

    Chroma may answer with the metadata of one write and the vector of another while both are under way: such a vector
    is left out.
    """
    kept: dict[str, Vector] = {}
    created_at: int | None = None
    for record, metadata in metadatas.items():
        values: Mapping[str, Any] = metadata
        created_at = values.get("created_at", created_at)
        if "digest" in values and record in vectors:
            vector = np.asarray(vectors[record], dtype=np.float32)
            if abs(_check(vector) - values["check"]) <= TOLERANCE:
                kept[values["digest"]] = vector
    versions = frozenset(str(metadata["version"]) for metadata in metadatas.values())
    return Stored(created_at, versions, frozenset(metadatas), kept)


def records(put: Put, stored: Stored, *, vectors: Mapping[str, bytes], dimensions: int, at: int) -> list[Record]:
    """The records of one item to write.

    Args:
        put: The item.
        stored: What is there of it.
        vectors: Embedded texts; holds those whose vectors `stored` does not have.
        dimensions: The size of the collection's vectors.
        at: Time of writing in microseconds.
    """
    item, version = item_id(put.target), secrets.token_hex(8)
    scopes = [b"", *prefixes(decode_namespace(put.target.namespace))]
    queried = [findable(scope) for scope in scopes]
    shared = {"item": item, "version": version}
    texts: list[tuple[Vector, dict[str, Any]]] = []
    for text in put.texts:
        digest = text.digest.hex()
        kept = stored.vectors.get(digest)
        vector = kept if kept is not None else as_vector(vectors[text.text])
        texts.append((vector, {"digest": digest, "check": _check(vector)}))
    head, *others = texts or [(np.zeros(dimensions, dtype=np.float32), {"digest": None, "check": None})]
    details = {
        "scopes": [below(scope) for scope in scopes] + (queried if put.texts or put.words else []),
        "namespace": _dump(decode_namespace(put.target.namespace)),
        "key": _dump(decode(put.target.key)),
        "created_at": at if stored.created_at is None else stored.created_at,
        "updated_at": at,
        "expires_at": NEVER if put.ttl is None else at + int(put.ttl * MINUTE),
        "ttl": put.ttl,
        "texts": len(put.texts),
    }
    return [
        Record(item, head[0], _document(put), {**shared, **details, **head[1]}),
        *(
            Record(f"{item}.{number}", vector, "", {**shared, "scopes": queried, **marks})
            for number, (vector, marks) in enumerate(others, 1)
        ),
    ]


def cosine(one: Vector, other: Vector | Sequence[float]) -> float:
    """The cosine of two vectors; 0 where one of them is all zeros."""
    left, right = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / lengths if lengths else 0.0


def _check(vector: Vector) -> float:
    """A number that tells two vectors apart, however Chroma rounded them: the cosine with a fixed vector."""
    return cosine(vector, np.sin(np.arange(1, len(vector) + 1)).astype(np.float32))


def _document(put: Put) -> str:
    words = " ".join(dict.fromkeys(put.words.split()))
    value = put.value if isinstance(put.value, str) else json.dumps(json.loads(put.value or b"null"))
    return f" {words} \n{value}"


def _dump(value: object) -> str:
    """JSON in plain characters where that is possible: a lone surrogate stays escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or text.encode("utf-8", "replace").decode() == text else json.dumps(value)
