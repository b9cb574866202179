"""`ChromaStore`: LangGraph's long-term store over Chroma, with hybrid search."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Self

from langgraph.store.base import BaseStore, IndexConfig, Op, Result, TTLConfig

from langchain_hybrid_memory._flow import Flow, arun, blocking, gather, run
from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store._coalescing import Coalescer
from langchain_hybrid_memory.store._embedder import Embedder
from langchain_hybrid_memory.store._expiry import Sweeping
from langchain_hybrid_memory.store._handles import acquire, release
from langchain_hybrid_memory.store._plan import KEYWORD_SHARE, IndexFields

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from langchain_hybrid_memory.store._embedded import EmbeddedBackend


class ChromaStore(BaseStore):
    """Keeps memories in a directory and finds them by meaning and by word.

    A complete LangGraph `BaseStore`, synchronous and asynchronous, safe to share between threads. Search results are
    `HybridItem`s: they carry the `signals` behind their `score`.

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
        backend: EmbeddedBackend,
        *,
        path: Path,
        embedder: Embedder,
        fields: IndexFields,
        ttl: TTLConfig | None,
    ) -> None:
        """Tie a backend to a way of indexing; use `ChromaStore.open`."""
        super().__init__()
        self.ttl_config = ttl
        self._sweeping = Sweeping(ttl)
        self._backend = backend
        self._path = path
        self._embedder = embedder
        self._fields = fields
        self._coalescer = Coalescer()
        self._release = weakref.finalize(self, release, path)

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
        fields = IndexFields(
            embedded=tuple((index or {}).get("fields") or ("$",)),
            keywords=None if keywords is None else tuple(keywords),
            keyword_share=0.0 if dense_only else KEYWORD_SHARE,
        )
        where = Path(path).expanduser().resolve()
        return cls(acquire(where), path=where, embedder=Embedder(index), fields=fields, ttl=ttl)

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
        embedded = yield from gather([self._embedder.query(query) for query in plan.queries])
        queries = dict(zip(plan.queries, embedded, strict=True))
        outcome = yield from blocking(self._backend.execute, plan, {}, queries)
        vectors: dict[str, bytes] = {}
        while outcome.missing:
            vectors |= yield from self._embedder.documents(outcome.missing)
            outcome = yield from blocking(self._backend.execute, plan, vectors, queries)
        return outcome.results

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
        """Let go of the directory; closing twice is fine, using a closed store is not."""
        self._release()

    def _check_open(self) -> None:
        if not self._release.alive:
            msg = f"this store of the memory in {str(self._path)!r} is closed; open it again with ChromaStore.open"
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
        """Name the directory."""
        return f"ChromaStore({str(self._path)!r})"
