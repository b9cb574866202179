"""A process that forgets somebody and is killed on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_hybrid_memory.steps import threads
from langchain_hybrid_memory.store import ChromaStore
from langchain_hybrid_memory.store._vectors import VectorIndex
from tests.integration_tests.test_forgetting import opened

POINTS: dict[str, tuple[Any, str, int]] = {
    "checkpoint": (SqliteSaver, "delete_thread", 2),
    "store": (ChromaStore, "batch", 8),
    "files": (threads, "_scrub", 1),
    "erase": (VectorIndex, "upsert", 1),
}
"""What is not done any more, and at which call of it."""


def die_at(target: Any, name: str, call: int) -> None:
    real, calls = getattr(target, name), 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(target, name, counted)


async def forget(path: Path, point: str) -> None:
    async with opened("sync", path) as (memory, _):
        die_at(*POINTS[point])
        await asyncio.to_thread(memory.for_user("alex").forget_everything)


if __name__ == "__main__":
    asyncio.run(forget(Path(sys.argv[1]), sys.argv[2]))
