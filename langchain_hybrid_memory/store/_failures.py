"""Turns what SQLite, Chroma and the file system raise into one `StorageError` that names the place and the remedy."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
from chromadb.errors import AuthorizationError, ChromaAuthError, ChromaError, QuotaError, RateLimitError

from langchain_hybrid_memory.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SERVER_FAILURES: Final = (ChromaError, httpx.HTTPError, OSError, json.JSONDecodeError)
ANSWER_CHARACTERS: Final = 300


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


@contextmanager
def server_errors(place: str, doing: str) -> Iterator[None]:
    """Report any failure of a Chroma client, or of the server behind it, as a `StorageError`.

    Args:
        place: The server in words, with host and port.
        doing: What was tried, for the message: `reading`, `writing`.

    Raises:
        StorageError: In place of the client's own exception, which it keeps as its cause.
    """
    try:
        yield
    except Exception as error:
        # Chroma's client raises a plain `Exception` where an answer is not Chroma's: a gateway's, say
        if not isinstance(error, SERVER_FAILURES) and type(error) is not Exception:
            raise
        problem = f"{type(error).__name__}: {error!s:.{ANSWER_CHARACTERS}}"
        msg = f"{doing} the memory of {place} failed: {problem}. {_server_remedy(error)}"
        raise StorageError(msg) from error


def _server_remedy(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return (
            "It did not answer in time: see how busy it is, or raise `timeout_seconds`. A write may have happened all "
            "the same; writing it again is harmless"
        )
    if isinstance(error, httpx.HTTPError | OSError):
        return (
            "Check that it runs (`chroma run --path ...`) and that host and port are right; this store connects again "
            "by itself. A write may have happened all the same; writing it again is harmless"
        )
    if isinstance(error, ChromaAuthError | AuthorizationError):
        return "Check the client's credentials, tenant and database"
    if isinstance(error, RateLimitError | QuotaError):
        return "The server limits what it takes: try again later or with less"
    return "See the server's log; writing again is harmless"


def _remedy(problem: str) -> str:
    lowered = problem.lower()
    if "full" in lowered or "no space" in lowered:
        return "Free disk space and try again; what was acknowledged before is safe"
    if any(sign in lowered for sign in ("read-only", "readonly", "permission", "unable to open", "not permitted")):
        return "Choose a directory this process may write to"
    if any(sign in lowered for sign in ("malformed", "not a database", "corrupt")):
        return "The files are damaged: restore the whole directory from a backup, or open another one"
    return "Check that the path is a directory on a local disk that this process may write to"
