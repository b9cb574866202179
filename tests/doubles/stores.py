"""Stores that tell what was asked of them, answer with what is not theirs, or break."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, cast

from langgraph.store.base import GetOp, Op, PutOp, Result, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore

from tests.doubles.embedding import WordEmbedding

LONG_AGO: Final = datetime(2024, 1, 1, tzinfo=UTC)


class WatchedStore(InMemoryStore):
    """An in-memory store that embeds `text`, keeps each batch it ran, and fails from batch `fails_from` on."""

    def __init__(self, embedding: WordEmbedding | None = None) -> None:
        embedding = embedding or WordEmbedding()
        super().__init__(index={"dims": embedding.dimensions, "embed": embedding, "fields": ["text"]})
        self.batches: list[list[Op]] = []
        self.fails_from: int | None = None

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return self._answer(ops := self._note(ops), super().batch(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        ops = self._note(ops)
        return self._answer(ops, await super().abatch(ops))

    @property
    def writes(self) -> list[list[PutOp]]:
        """The writes of each batch that had some."""
        return [puts for ops in self.batches if (puts := [op for op in ops if isinstance(op, PutOp)])]

    def forget_calls(self) -> None:
        """Watch from here on."""
        self.batches.clear()

    def _note(self, ops: Iterable[Op]) -> list[Op]:
        listed = list(ops)
        if self.fails_from is not None and len(self.batches) >= self.fails_from:
            msg = "the store is gone"
            raise ConnectionError(msg)
        self.batches.append(listed)
        return listed

    def _answer(self, ops: list[Op], results: list[Result]) -> list[Result]:  # noqa: ARG002 - for `LyingStore`
        return results


class InterruptedStore(WatchedStore):
    """A store that lets somebody else work on it before one of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self._other: Callable[[], object] | None = None
        self._left = 0

    def let_in(self, other: Callable[[], object], *, before: int) -> None:
        """Have somebody else work once so many more batches have run."""
        self._other, self._left = other, before

    @property
    def has_let_in(self) -> bool:
        """Whether the other one has worked."""
        return self._other is None

    def _note(self, ops: Iterable[Op]) -> list[Op]:
        self._left -= 1
        if self._other is not None and self._left < 0:
            other, self._other = self._other, None
            other()
        return super()._note(ops)


class LyingStore(WatchedStore):
    """A store whose searches find somebody else's items too."""

    def __init__(self, *foreign: tuple[tuple[str, ...], str, dict[str, Any]]) -> None:
        super().__init__()
        self.foreign = foreign

    def _answer(self, ops: list[Op], results: list[Result]) -> list[Result]:
        return [self._with_foreign(op, result) for op, result in zip(ops, results, strict=True)]

    def _with_foreign(self, op: Op, result: Result) -> Result:
        if isinstance(op, SearchOp) and isinstance(result, list):
            found = cast("list[SearchItem]", result)
            return [*found, *(item for item in self._items() if op.namespace_prefix[-1] in item.namespace)]
        if isinstance(op, GetOp) and result is None:
            return next((item for item in self._items() if item.key == op.key), None)
        return result

    def _items(self) -> list[SearchItem]:
        return [
            SearchItem(namespace, key, value, created_at=LONG_AGO, updated_at=LONG_AGO, score=1.0)
            for namespace, key, value in self.foreign
        ]
