"""`ChromaStore`: LangGraph's long-term store over Chroma, with hybrid search."""

from __future__ import annotations

import weakref
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from langgraph.store.base import BaseStore, IndexConfig, NamespacePath, Op, Result, TTLConfig

from langchain_hybrid_memory._flow import Flow, arun, blocking, gather, run
from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store._client import ClientBackend
from langchain_hybrid_memory.store._client_opening import CollectionOpener
from langchain_hybrid_memory.store._coalescing import Coalescer
from langchain_hybrid_memory.store._embedded import EmbeddedBackend
from langchain_hybrid_memory.store._embedder import Embedder
from langchain_hybrid_memory.store._expiry import Sweeping
from langchain_hybrid_memory.store._handles import acquire, release
from langchain_hybrid_memory.store._items import encode_namespace
from langchain_hybrid_memory.store._plan import KEYWORD_SHARE, IndexFields
from langchain_hybrid_memory.store._reindex import OnProgress, reporting
from langchain_hybrid_memory.store._vectors import COLLECTION

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from chromadb.api import ClientAPI

    from langchain_hybrid_memory.store._backend import Backend


class ChromaStore(BaseStore):
    """Keeps memories in a directory, or with a Chroma server, and finds them by meaning and by word.

    A complete LangGraph `BaseStore`, synchronous and asynchronous, safe to share between threads. Search results are
    `HybridItem`s: they carry the `signals` behind their `score`.

    `ChromaStore.open(path)` keeps a directory for one process. `ChromaStore(client)` keeps a collection that any number
    of processes and machines share. What differs there:

    - An item is written whole or not at all, and the last to write it wins; a batch of several items is neither atomic
      nor a snapshot.
    - Keywords are looked for with a pattern, and counted exactly in what that finds: in a scope of more than 300 items
      a page may lack an item that a larger pool would have brought, and pages of one query may overlap.
    - A filter reads the items it refuses, and `list_namespaces` all below its prefix.
    - Times are each process's own; those of one store strictly increase. An item whose time is over may be prolonged by
      a process that reads it at that moment.
    - The first write of a new collection asks the embedding model for its vector size, whatever is written.

    Example:
        ```python
        with ChromaStore.open("./memory") as store:
            store.put(("user", "alex"), "pet", {"text": "Alex has a cat named Miso"})
            store.search(("user", "alex"), query="pets")
        ```
    """

    supports_ttl = True

    def __init__(
        self,
        client: ClientAPI,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        keywords: Sequence[str] | None = None,
        dense_only: bool = False,
        collection: str = COLLECTION,
        timeout_seconds: float = 30.0,
    ) -> None:
        """Keep memories with a Chroma client; nothing is asked of its server before the first use.

        Args:
            client: Any synchronous client, `chromadb.HttpClient` as a rule; it stays yours to close.
            index: What to embed, and with which model; see `open`.
            ttl: How long items live, in minutes; see `open`.
            keywords: Paths of the values whose words a search compares; see `open`.
            dense_only: Search by meaning alone; items are still indexed by word.
            collection: The collection, created at the first write; it holds nothing but this store's items.
            timeout_seconds: How long one request may take. Set on an `HttpClient` that has no limit of its own.

        Raises:
            ConfigurationError: If this is not a synchronous Chroma client.
        """
        embedder = Embedder(index)
        opener = CollectionOpener(client, collection, timeout_seconds=timeout_seconds)
        fields = _index_fields(index, keywords, dense_only=dense_only)
        self._set_up(ClientBackend(opener), embedder, fields=fields, ttl=ttl, place=opener.place, release=_keep_open)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        keywords: Sequence[str] | None = None,
        dense_only: bool = False,
    ) -> Self:
        """Open a directory, created if missing; two stores on one directory share its files within this process.

        Args:
            path: The directory.
            index: What to embed, and with which model; `embed` may be `Embeddings`, a function, or a model string. By
                default the whole value is embedded with the library's default model, loaded at first need.
            ttl: How long items live, in minutes, unless `put` says so itself. With `omit_expired` no read returns what
                has expired; with `sweep_interval_minutes` it is deleted that often, when the store is next used;
                without either `sweep_ttl` deletes it.
            keywords: Paths of the values whose words a search compares; they need not be embedded. By default the
                embedded ones.
            dense_only: Search by meaning alone; items are still indexed by word.

        Raises:
            StorageError: If the directory cannot be opened.
            StoreInUseError: If another process has it open.
        """
        where = Path(path).expanduser().resolve()
        fields = _index_fields(index, keywords, dense_only=dense_only)
        store = cls.__new__(cls)
        store._set_up(  # noqa: SLF001 - our own
            acquire(where),
            Embedder(index),
            fields=fields,
            ttl=ttl,
            place=repr(str(where)),
            release=partial(release, where),
        )
        return store

    def _set_up(
        self,
        backend: Backend,
        embedder: Embedder,
        *,
        fields: IndexFields,
        ttl: TTLConfig | None,
        place: str,
        release: Callable[[], None],
    ) -> None:
        super().__init__()
        self.ttl_config = ttl
        self._sweeping = Sweeping(ttl)
        self._verified: int | None = None
        self._backend = backend
        self._embedder = embedder
        self._fields = fields
        self._coalescer = Coalescer()
        self._place = place
        self._release = weakref.finalize(self, release)

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use it at the same time; a directory belongs to one."""
        return isinstance(self._backend, ClientBackend)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations in one go; results come in their order, and reads see the state before the writes.

        Raises:
            FilterError: If a search filter uses an unknown operator.
            StorageError: If the files cannot be read or written, or the store is closed.
        """
        return run(self._batch(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations in one go without blocking the event loop; see `batch`.

        Calls that tasks of one loop make at the same moment become one batch, so that twenty `aput` at once embed and
        commit once; their reads see the state before their writes.
        """
        return await self._coalescer.run(list(ops), lambda joint: arun(self._batch(joint)))

    def _batch(self, ops: Iterable[Op]) -> Flow[list[Result]]:
        self._check_open()
        plan = self._fields.plan(ops, sweeps=self._sweeping.is_due())
        if plan.queries:
            yield from self._verify()
        embedded = yield from gather([self._embedder.query(query) for query in plan.queries])
        queries = dict(zip(plan.queries, embedded, strict=True))
        outcome = yield from blocking(self._backend.execute, plan, {}, queries)
        vectors: dict[str, bytes] = {}
        while outcome.missing:
            yield from self._verify()
            vectors |= yield from self._embedder.documents(outcome.missing)
            outcome = yield from blocking(self._backend.execute, plan, vectors, queries)
        return outcome.results

    def _verify(self) -> Flow[None]:
        """Make sure, once, that the vectors here are of this embedding model."""
        if self._verified != self._backend.generation:
            model = yield from self._embedder.fingerprint()
            self._verified = yield from blocking(self._backend.verify, model)

    def erase(self, namespace_prefix: NamespacePath) -> int:
        """Delete every item below a namespace prefix so that no file of the directory holds its text or vectors.

        `delete` promises only that no read returns an item. Takes some seconds in a store of 100,000 items. An
        interrupted call is completed when the directory is next opened.

        Args:
            namespace_prefix: Whole labels; `()` erases everything.

        Returns:
            How many items were deleted.

        Raises:
            StorageError: If the files cannot be rewritten, or they are a server's.
        """
        return run(self._erase(namespace_prefix))

    async def aerase(self, namespace_prefix: NamespacePath) -> int:
        """Delete every item below a prefix, and every trace of it, without blocking the event loop; see `erase`."""
        return await arun(self._erase(namespace_prefix))

    def _erase(self, namespace_prefix: NamespacePath) -> Flow[int]:
        return (yield from blocking(self._directory().erase, encode_namespace(namespace_prefix)))

    def reindex(self, *, on_progress: OnProgress | None = None) -> int:
        """Embed everything anew with this store's embedding model; the one remedy after a change of models.

        Until it ends, the store keeps its old vectors. It may be interrupted: the next call goes on from there.

        Args:
            on_progress: Called with how many texts are embedded and how many there are, at least once. By default a
                bar is shown on a terminal.

        Returns:
            How many texts the store holds.

        Raises:
            StorageError: If the files cannot be written, or the store is a server's.
        """
        with reporting(on_progress) as report:
            return run(self._reindex(report))

    async def areindex(self, *, on_progress: OnProgress | None = None) -> int:
        """Embed everything anew without blocking the event loop; see `reindex`."""
        with reporting(on_progress) as report:
            return await arun(self._reindex(report))

    def _reindex(self, report: OnProgress) -> Flow[int]:
        directory = self._directory()
        model = yield from self._embedder.fingerprint()
        total = 0
        while True:
            count, waiting = yield from blocking(directory.reindexing, model)
            total = max(total, count)
            report(total - count, total)
            if waiting:
                vectors = yield from self._embedder.documents(list(dict.fromkeys(one.text for one in waiting)))
                yield from blocking(directory.reindexed, waiting, vectors)
            elif (yield from blocking(directory.swap, model)):
                return total

    def sweep_ttl(self) -> int:
        """Delete every item whose time is over; returns how many."""
        return run(self._sweep())

    async def asweep_ttl(self) -> int:
        """Delete every item whose time is over without blocking the event loop; returns how many."""
        return await arun(self._sweep())

    def _sweep(self) -> Flow[int]:
        self._check_open()
        return (yield from blocking(self._backend.sweep))

    def close(self) -> None:
        """Let go of the directory; a client stays open. Closing twice is fine, using a closed store is not."""
        self._release()

    def _directory(self) -> EmbeddedBackend:
        self._check_open()
        if isinstance(self._backend, EmbeddedBackend):
            return self._backend
        msg = (
            f"the files of {self._place} are the server's, and other processes use them; `delete` items instead of "
            "erasing them, and fill another `collection` instead of reindexing this one"
        )
        raise StorageError(msg)

    def _check_open(self) -> None:
        if not self._release.alive:
            msg = f"this store of the memory in {self._place} is closed; open or make another one"
            raise StorageError(msg)

    def __enter__(self) -> Self:
        """Use the store in a `with` block, which closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    async def __aenter__(self) -> Self:
        """Use the store in an `async with` block, which closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store without blocking the event loop."""
        await arun(self._closing())

    def _closing(self) -> Flow[None]:
        yield from blocking(self.close)

    def __repr__(self) -> str:
        """Name the directory, or the server and collection."""
        return f"ChromaStore({self._place})"


def _index_fields(index: IndexConfig | None, keywords: Sequence[str] | None, *, dense_only: bool) -> IndexFields:
    return IndexFields(
        embedded=tuple((index or {}).get("fields") or ("$",)),
        keywords=None if keywords is None else tuple(keywords),
        keyword_share=0.0 if dense_only else KEYWORD_SHARE,
    )


def _keep_open() -> None:
    """Release nothing: a client belongs to whoever made it."""
