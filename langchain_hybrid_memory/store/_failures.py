"""Turns what SQLite, Chroma and the file system raise into one `StorageError` that names the path and the remedy."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chromadb.errors import ChromaError

from langchain_hybrid_memory.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def storage_errors(path: Path, doing: str) -> Iterator[None]:
    """Report any failure of the storage below as a `StorageError`.

    Args:
        path: The directory of the store.
        doing: What was tried, for the message: `opening`, `reading`, `writing`.

    Raises:
        StorageError: In place of the library's own exception, which it keeps as its cause.
    """
    try:
        yield
    except (sqlite3.Error, ChromaError, OSError) as error:
        msg = f"{doing} the memory in {str(path)!r} failed: {error}. {_remedy(str(error))}"
        raise StorageError(msg) from error


def _remedy(problem: str) -> str:
    lowered = problem.lower()
    if "full" in lowered or "no space" in lowered:
        return "Free disk space and try again; what was acknowledged before is safe"
    if any(sign in lowered for sign in ("read-only", "readonly", "permission", "unable to open", "not permitted")):
        return "Choose a directory this process may write to"
    if any(sign in lowered for sign in ("malformed", "not a database", "corrupt")):
        return "The files are damaged: restore the whole directory from a backup, or open another one"
    return "Check that the path is a directory on a local disk that this process may write to"
