"""`hybrid-memory worker`: learns for all users from what other processes left in a shared store's queue."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import httpx
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore

from langchain_hybrid_memory.cli.learning import describe_report
from langchain_hybrid_memory.cli.screen import Screen, counted
from langchain_hybrid_memory.errors import ConfigurationError, StorageError
from langchain_hybrid_memory.hybrid_memory import KEYWORD_FIELDS, HybridMemory
from langchain_hybrid_memory.reports import Report
from langchain_hybrid_memory.status import Status
from langchain_hybrid_memory.store import ChromaStore

POSTGRES = ("postgresql://", "postgres://")
CHROMA = ("http://", "https://")
ACCEPTED = "--store http://host:8000 (see `chroma run`) or --store postgresql://user@host/database"
CANNOT_SHARE = 2
"""The exit code where the store belongs to one process."""


def why_not_shared(location: str) -> str | None:
    """Why a worker cannot work on a store, with the remedy; `None` where it can."""
    if location.startswith(POSTGRES + CHROMA):
        return None
    if "://" in location:
        return f"a worker cannot open {location.partition('://')[0]!r} stores; give {ACCEPTED}"
    return (
        f"the directory {str(Path(location))!r} belongs to one process at a time, and that one learns by itself; "
        f"to have workers, share memories through a server: {ACCEPTED}"
    )


def open_shared(location: str, embedding: Embeddings) -> AbstractContextManager[BaseStore]:
    """Open a store that other processes use too, and set it up where it is new.

    Raises:
        ConfigurationError: If the package for it is not installed.
        StorageError: If it cannot be reached, or fails while it is open.
    """
    return _open_postgres(location, embedding) if location.startswith(POSTGRES) else _open_chroma(location, embedding)


@contextlib.contextmanager
def _open_chroma(location: str, embedding: Embeddings) -> Iterator[BaseStore]:
    url = urlsplit(location)
    is_secure = url.scheme == "https"
    try:
        client = chromadb.HttpClient(url.hostname or "", url.port or (443 if is_secure else 80), ssl=is_secure)
    except (ValueError, httpx.HTTPError) as error:
        msg = f"the Chroma server {location!r} cannot be used: {error}"
        raise StorageError(msg) from error
    with ChromaStore(client, index={"embed": embedding, "fields": ["text"]}, keywords=KEYWORD_FIELDS) as store:
        yield store


@contextlib.contextmanager
def _open_postgres(location: str, embedding: Embeddings) -> Iterator[BaseStore]:
    try:
        import psycopg
        from langgraph.store.postgres import PostgresStore
    except ImportError as error:
        msg = "a store in Postgres needs: pip install 'langchain-hybrid-memory[postgres]'"
        raise ConfigurationError(msg) from error
    dimensions = len(embedding.embed_query("how many numbers?"))
    index: Any = {"embed": embedding, "dims": dimensions, "fields": ["text"]}
    try:
        with PostgresStore.from_conn_string(location, index=index) as store:
            store.setup()
            yield store
    except psycopg.Error as error:
        msg = f"the Postgres store cannot be used: {error}"
        raise StorageError(msg) from error


def work(memory: HybridMemory, *, every_seconds: float, is_once: bool, screen: Screen) -> Status:
    """Drain the queue, again and again or once; returns the status when there is nothing more to do now."""
    while True:
        status = memory.drain()
        if is_once:
            return status
        screen.tell(describe_status(status))
        time.sleep(every_seconds)


def report_to(screen: Screen, user_id: str, report: Report) -> None:
    """Say in a line what was learned, and for whom."""
    if described := describe_report(report):
        screen.say(f"{user_id}: {described}")


def describe_status(status: Status) -> str:
    """Say in a line what waits and what it cost so far."""
    waiting = counted(status.pending, "turn") + " waiting"
    failed = f", {status.failed} of them failed ({status.last_error})" if status.failed else ""
    capped = f", {status.capped} until tomorrow (daily cap)" if status.capped else ""
    tokens = status.prompt_tokens + status.completion_tokens
    return f"{waiting}{failed}{capped}; {counted(status.calls, 'model call')}, {counted(tokens, 'token')} so far"
