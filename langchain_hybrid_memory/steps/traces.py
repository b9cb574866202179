"""Leaves in the files of a store and a checkpointer no trace of what was deleted from them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory._flow import Call, Flow
from langchain_hybrid_memory.steps.threads import scrub


@runtime_checkable
class Erasable(Protocol):
    """A store that can leave no trace of what it deletes in its files."""

    @property
    def is_shared(self) -> bool:
        """Whether the files are somebody else's."""
        ...

    def erase(self, namespace_prefix: tuple[str, ...]) -> int:
        """Delete what lies below a prefix, and every trace of that and of what was deleted before."""
        ...

    async def aerase(self, namespace_prefix: tuple[str, ...]) -> int:
        """Asynchronous `erase`."""
        ...


def leave_no_trace(
    namespace: tuple[str, ...], store: BaseStore, checkpointer: BaseCheckpointSaver[Any] | None
) -> Flow[list[str]]:
    """Clean the files of what was deleted and overwritten, and where that can be done delete what a namespace holds.

    Returns:
        What is out of reach.
    """
    remaining = (yield from scrub(checkpointer)) if checkpointer is not None else []
    if isinstance(store, Erasable) and not store.is_shared:
        yield from Call(lambda: store.erase(namespace), lambda: store.aerase(namespace))
    elif not isinstance(store, InMemoryStore):
        name = type(store).__name__
        remaining.append(f"files behind {name}: pages, logs and backups keep what was deleted until they are reused")
    return remaining
