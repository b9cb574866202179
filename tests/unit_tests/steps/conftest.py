"""A store to watch and a driver for flows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pytest

from langchain_hybrid_memory._flow import arun, run
from tests.doubles.stores import WatchedStore

if TYPE_CHECKING:
    from langchain_hybrid_memory._flow import Flow
    from tests.doubles.doors import Mode
    from tests.doubles.embedding import WordEmbedding

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Driver:
    """`await drive(flow)` runs a flow in this test's spelling."""

    mode: Mode

    async def __call__(self, flow: Flow[T]) -> T:
        return await arun(flow) if self.mode == "async" else await asyncio.to_thread(run, flow)


@pytest.fixture
def drive(mode: Mode) -> Driver:
    """Run flows in either spelling."""
    return Driver(mode)


@pytest.fixture
def store(embedding: WordEmbedding) -> WatchedStore:
    """An in-memory store that embeds `text` and keeps what it was asked."""
    return WatchedStore(embedding)
