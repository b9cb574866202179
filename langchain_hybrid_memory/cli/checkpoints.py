"""Keeps threads in SQLite, of each only the latest checkpoint."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langchain_hybrid_memory.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

FILE = "checkpoints.sqlite3"

# The saver's own idea of the latest: the greatest id of the thread and the (sub)graph. Writes still pending belong to
# the latest checkpoint and stay; those of a checkpoint that is gone have been applied to its successor.
DROP_OLDER = """
DELETE FROM checkpoints WHERE thread_id = ?1 AND checkpoint_id < (
    SELECT max(other.checkpoint_id) FROM checkpoints AS other
    WHERE other.thread_id = ?1 AND other.checkpoint_ns = checkpoints.checkpoint_ns
)
"""
DROP_APPLIED = """
DELETE FROM writes WHERE thread_id = ?1 AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS kept
    WHERE kept.thread_id = ?1 AND kept.checkpoint_ns = writes.checkpoint_ns
    AND kept.checkpoint_id = writes.checkpoint_id
)
"""


@asynccontextmanager
async def open_checkpoints(folder: Path) -> AsyncIterator[AsyncSqliteSaver]:
    """Open the checkpointer of a memory's directory; what is deleted from it leaves no text in the file.

    Raises:
        ConfigurationError: If the package that keeps checkpoints is not installed.
        StorageError: If the file cannot be opened.
    """
    try:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    except ImportError as error:
        msg = 'keeping threads needs an extra package: pip install "langchain-hybrid-memory[sqlite]"'
        raise ConfigurationError(msg) from error
    path = folder / FILE
    try:
        async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
            saver.serde = JsonPlusSerializer(allowed_msgpack_modules=None)  # builds nothing that a thread does not hold
            await saver.conn.execute("PRAGMA secure_delete=ON")
            await saver.setup()
            yield saver
    except sqlite3.Error as error:
        msg = f"cannot use {str(path)!r}: {error}; move the file away to start with empty threads, memories stay"
        raise StorageError(msg) from error


async def keep_latest(saver: AsyncSqliteSaver, thread_id: str) -> None:
    """Delete all checkpoints of a thread but the latest; call it between turns.

    Without this a thread's checkpoints grow with the square of its turns, since each holds all messages.
    """
    async with saver.lock:
        await saver.conn.execute(DROP_OLDER, (thread_id,))
        await saver.conn.execute(DROP_APPLIED, (thread_id,))
        await saver.conn.commit()


async def leave_no_trace(saver: AsyncSqliteSaver) -> None:
    """Empty the write-ahead log, which still holds what was deleted."""
    async with saver.lock:
        await saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
