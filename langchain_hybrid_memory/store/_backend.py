"""What carries out a store's planned batches: files of our own, or somebody's Chroma server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from langgraph.store.base import Result

from langchain_hybrid_memory.store._embedder import Fingerprint
from langchain_hybrid_memory.store._plan import Plan


class Outcome(NamedTuple):
    """What became of a batch: its results, or the texts that must be embedded before it can run."""

    results: list[Result]
    missing: list[str]


class Backend(Protocol):
    """Where items are kept. Its calls block; every thread may make them."""

    @property
    def generation(self) -> int:
        """What `verify` last returned, unless that has to be asked again."""

    def execute(self, plan: Plan, vectors: Mapping[str, bytes], queries: Mapping[str, bytes]) -> Outcome:
        """Run a batch: reads see the state before its writes.

        Args:
            plan: The batch.
            vectors: Embedded texts, as far as they are known.
            queries: Embedded queries, every one of the plan's.
        """

    def sweep(self) -> int:
        """Delete what has outlived its time; returns how many items."""

    def verify(self, model: Fingerprint) -> int:
        """Make sure the vectors are of a model; returns a number that changes when that has to be asked again.

        Raises:
            EmbeddingMismatchError: If they are of another.
        """
