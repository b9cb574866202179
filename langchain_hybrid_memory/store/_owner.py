"""Makes sure that one process at a time owns a store's directory."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.errors import StoreInUseError

if TYPE_CHECKING:
    from pathlib import Path

LOCK: Final = "owner.lock"
HOLDER: Final = "owner.pid"
WAIT_SECONDS: Final = 0.3


class Ownership:
    """A lock the operating system drops when the process dies, however it dies.

    It is SQLite's own file lock, so it works wherever SQLite does. Chroma itself lets two processes write one directory
    and then answers from a stale index; hence the lock.
    """

    def __init__(self, directory: Path) -> None:
        """Take the directory.

        Raises:
            StoreInUseError: If another process has it; the message names that process.
        """
        self._holder = directory / HOLDER
        self._connection = sqlite3.connect(
            directory / LOCK, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        with ExitStack() as undo:
            undo.callback(self._connection.close)
            self._lock(directory)
            self._holder.write_text(str(os.getpid()), encoding="ascii")
            undo.pop_all()

    def _lock(self, directory: Path) -> None:
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise StoreInUseError(self._message(directory)) from error

    def _message(self, directory: Path) -> str:
        pid = "unknown"
        with suppress(OSError):
            pid = self._holder.read_text(encoding="ascii").strip() or pid
        return (
            f"the memory in {str(directory)!r} is in use by process {pid}; a directory belongs to one process at a "
            "time. Close it there or use another directory. For several processes run a server, `chroma run --path "
            "<a directory of its own>`, and give each process ChromaStore(chromadb.HttpClient(...)); the server cannot "
            "read this directory"
        )

    def release(self) -> None:
        """Give the directory back."""
        with suppress(OSError):
            self._holder.unlink(missing_ok=True)
        self._connection.close()
