"""`hybrid-memory export`, its way back, and `hybrid-memory forget`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from langchain_hybrid_memory.cli.checkpoints import FILE, open_checkpoints
from langchain_hybrid_memory.cli.importing import progress_bar
from langchain_hybrid_memory.cli.screen import Screen
from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.hybrid_memory import HybridMemory
from langchain_hybrid_memory.memories import Receipt
from langchain_hybrid_memory.store import ChromaStore
from langchain_hybrid_memory.user_memory import UserMemory


def export(user: UserMemory, file: Path, screen: Screen) -> int:
    """Write a memory to a file, with a progress bar; how many items.

    Raises:
        StorageError: If the file cannot be written.
    """
    try:
        with progress_bar(screen) as progress:
            task = progress.add_task("exporting", total=None)
            return user.export(file, lambda done: progress.update(task, completed=done))
    except OSError as error:
        msg = f"cannot write {str(file)!r}: {error.strerror}; name another file"
        raise StorageError(msg) from error


def restore(user: UserMemory, file: Path, screen: Screen) -> int:
    """Read an export back, with a progress bar; how many items."""
    with file.open("rb") as lines, progress_bar(screen) as progress:
        task = progress.add_task("restoring", total=sum(1 for _ in lines) - 1)
        return user.restore(file, lambda done: progress.update(task, completed=done))


def forget(store: ChromaStore, path: Path, user_id: str, fact_id: str | None) -> Receipt:
    """Forget a fact, or everything where none is named, in the store and in the threads of a memory's directory."""
    return asyncio.run(_forget(store, path, user_id, fact_id))


async def _forget(store: ChromaStore, path: Path, user_id: str, fact_id: str | None) -> Receipt:
    if not (path / FILE).exists():
        user = HybridMemory(None, store=store).for_user(user_id)
        return await (user.aforget_everything() if fact_id is None else user.aforget(fact_id))
    async with open_checkpoints(path) as checkpointer:
        user = HybridMemory(None, store=store, checkpointer=checkpointer).for_user(user_id)
        return await (user.aforget_everything() if fact_id is None else user.aforget(fact_id))
