"""One collection of a Chroma server behind the few requests the store makes of it."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar, cast

import httpx
from chromadb.errors import InternalError

from langchain_hybrid_memory.store._client_records import NEVER, Head, Stored, as_vector, cosine, read_head, read_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from chromadb import Collection
    from chromadb.api.types import Include, Metadata, Where, WhereDocument

    from langchain_hybrid_memory.store._client_records import Record

SOME: Final = 300  # ids named in one request
PAUSES: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)  # seconds

P = ParamSpec("P")
T = TypeVar("T")


def ask(request: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a request, and again after a moment where the moment is to blame.

    Chroma answers with an internal error where it knows a record of which its vector index has not heard yet: `Error
    finding id`, or `Nothing found on disk` for a new collection; that was seen to last up to 21 ms. A kept connection
    breaks when the server was started again. Every request may be repeated: it reads, or has the same effect twice.
    """
    for pause in PAUSES:
        try:
            return request(*args, **kwargs)
        except (InternalError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            time.sleep(pause)
    return request(*args, **kwargs)


class Found(NamedTuple):
    """One record that a query returned; `head` is `None` for a further text of an item."""

    id: str
    item: str
    version: str
    cosine: float
    head: Head | None


class ItemCollection:
    """Items in a collection. Each method that is one request sees one state of the server.

    Attributes:
        page: At most this many records are asked for, or written, at once.
    """

    def __init__(self, collection: Collection, *, page: int) -> None:
        """Wrap a collection."""
        self._collection = collection
        self.page = page

    def by_id(self, ids: Sequence[str]) -> dict[str, Head]:
        """Items by their ids; unknown ones are left out."""
        return {head.id: head for some in _chunks(ids, self.page) for head in self._heads(ids=some)}

    def below(self, where: Where, *, with_values: bool = True) -> Iterator[Head]:
        """The items that meet a condition, in no particular order; without their values they come a little faster."""
        for offset in count(0, self.page):
            found = self._heads(where=where, limit=self.page, offset=offset, with_values=with_values)
            yield from found
            if len(found) < self.page:
                return

    def _heads(self, *, with_values: bool = True, **selection: Any) -> list[Head]:
        include: Include = ["metadatas", "documents"] if with_values else ["metadatas"]
        answer = ask(self._collection.get, include=include, **selection)
        ids = answer["ids"]
        columns = zip(ids, answer["documents"] or [""] * len(ids), answer["metadatas"] or [], strict=True)
        return [head for record in columns if (head := read_head(*record))]

    def ids(self, where: Where, *, limit: int | None = None, containing: WhereDocument | None = None) -> list[str]:
        """Ids of the records that meet conditions."""
        return ask(self._collection.get, where=where, where_document=containing, limit=limit, include=[])["ids"]

    def query(
        self, embedding: bytes, where: Where, *, limit: int, containing: WhereDocument | None = None
    ) -> list[Found]:
        """The records nearest to a query among those that meet conditions, nearest first.

        Chroma names records that are deleted while it answers, without anything else of them: they are left out.
        """
        answer = ask(
            self._collection.query,
            query_embeddings=[as_vector(embedding)],
            where=where,
            where_document=containing,
            n_results=min(limit, self.page),
            include=["distances", "documents", "metadatas"],
        )
        columns = (cast("list[list[Any]]", answer[name])[0] for name in ("ids", "documents", "metadatas", "distances"))
        return [_found(*record) for record in zip(*columns, strict=True) if record[2] is not None]

    def measure(self, embedding: bytes, ids: Sequence[str]) -> list[Found]:
        """Some records with their cosines to a query, which are computed here: the vector index may not reach them."""
        return [found for some in _chunks(ids, SOME) for found in self._measured(embedding, ids=some)]

    def of_items(self, embedding: bytes, items: Sequence[str]) -> list[Found]:
        """Every record of some items, with its cosine to a query."""
        return [
            found for some in _chunks(items, SOME) for found in self._measured(embedding, where=_among("item", some))
        ]

    def _measured(self, embedding: bytes, **selection: Any) -> list[Found]:
        include: Include = ["metadatas", "documents", "embeddings"]
        answer = ask(self._collection.get, include=include, **selection)
        columns = (cast("list[Any]", answer[name]) for name in ("ids", "documents", "metadatas", "embeddings"))
        query = as_vector(embedding)
        return [
            _found(record, document, metadata, 1.0 - cosine(query, vector))
            for record, document, metadata, vector in zip(*columns, strict=True)
        ]

    def stored(self, items: Sequence[str], *, with_vectors: bool) -> dict[str, Stored]:
        """What there is of some items; those that are not there are left out."""
        metadatas: dict[str, dict[str, Metadata]] = {}
        vectors: dict[str, Sequence[float]] = {}
        for some in _chunks(items, SOME):
            include: Include = ["metadatas", "embeddings"] if with_vectors else ["metadatas"]
            answer = ask(self._collection.get, where=_among("item", some), include=include)
            for record, metadata in zip(answer["ids"], answer["metadatas"] or [], strict=True):
                metadatas.setdefault(str(metadata["item"]), {})[record] = metadata
            if answer["embeddings"] is not None:
                vectors |= zip(answer["ids"], cast("list[Sequence[float]]", answer["embeddings"]), strict=True)
        return {item: read_stored(records, vectors) for item, records in metadatas.items()}

    def upsert(self, items: Iterable[Sequence[Record]]) -> None:
        """Write items, each with all its records in one request, and as many together as a request may hold."""
        pending: list[Record] = []
        for records in items:
            if pending and len(pending) + len(records) > self.page:
                self._upsert(pending)
                pending = []
            pending.extend(records)
        if pending:
            self._upsert(pending)

    def _upsert(self, records: Sequence[Record]) -> None:
        ask(
            self._collection.upsert,
            ids=[record.id for record in records],
            embeddings=[record.embedding for record in records],
            documents=[record.document for record in records],
            metadatas=[record.metadata for record in records],
        )

    def discard(self, records: Sequence[str], versions: Iterable[str]) -> None:
        """Delete records as long as they are of some versions: what somebody else wrote meanwhile stays."""
        if records:
            ask(self._collection.delete, ids=[*records], where=_among("version", versions))

    def delete(self, items: Sequence[str]) -> None:
        """Delete items with all their records; unknown ones are ignored."""
        for some in _chunks(items, SOME):
            ask(self._collection.delete, where=_among("item", some))

    def delete_expired(self, now: int) -> int:
        """Delete the items whose time was over at `now`, in microseconds; returns how many."""
        expired = cast("Where", {"expires_at": {"$lte": now}})
        ids = self.ids(expired)
        for some in _chunks(ids, SOME):
            versions = {
                version for stored in self.stored(some, with_vectors=False).values() for version in stored.versions
            }
            # whoever reads or writes one of them meanwhile keeps it: its end has moved, or its version is another
            ask(self._collection.delete, ids=[*some], where=expired)
            kept = self.by_id(some)
            gone = [item for item in some if item not in kept]
            if gone:
                ask(self._collection.delete, where={"$and": [_among("item", gone), _among("version", versions)]})
        return len(ids)

    def prolong(self, lives: dict[str, int]) -> None:
        """Set when items end, in microseconds, by id; unknown ones are ignored."""
        for some in _chunks(list(lives), self.page):
            ask(
                self._collection.update,
                ids=[*some],
                metadatas=[{"expires_at": min(lives[item], NEVER)} for item in some],
            )


def _found(record: str, document: str | None, metadata: Metadata, distance: float) -> Found:
    similarity = round(min(max(1.0 - distance, 0.0), 1.0), 6)
    head = read_head(record, document, metadata)
    return Found(record, str(metadata["item"]), str(metadata["version"]), similarity, head)


def _among(name: str, values: Iterable[str]) -> Where:
    return cast("Where", {name: {"$in": [*values]}})


def _chunks(values: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(values), size):
        yield list(values[start : start + size])
