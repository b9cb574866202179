"""Embeds a directory anew with another model: aside, so that it can be interrupted, then all at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from langchain_hybrid_memory.store._settings import NEXT_EMBEDDING, fingerprint, set_fingerprint, set_setting
from langchain_hybrid_memory.store._texts import text_of

if TYPE_CHECKING:
    import sqlite3

    from langchain_hybrid_memory.store._embedder import Fingerprint

PORTION: Final = 256
COUNT: Final = """
    SELECT count(*) FROM vector LEFT JOIN reindexed ON reindexed.record = vector.record
    AND reindexed.digest = vector.digest WHERE reindexed.record IS NULL
"""
NEXT: Final = """
    SELECT vector.record, vector.digest, field, value FROM vector JOIN item ON item.id = vector.item
    LEFT JOIN reindexed ON reindexed.record = vector.record AND reindexed.digest = vector.digest
    WHERE reindexed.record IS NULL LIMIT ?
"""
SWAP: Final = """
    UPDATE vector SET shard = ?,
    embedding = (SELECT embedding FROM reindexed WHERE reindexed.record = vector.record)
"""

OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


@contextmanager
def reporting(on_progress: OnProgress | None) -> Iterator[OnProgress]:
    """The caller's way of being told, or a bar on standard error where that is a terminal."""
    if on_progress is not None:
        yield on_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("embedding anew"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reindex", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class Waiting(NamedTuple):
    """One text the new model has not embedded."""

    record: str
    digest: bytes
    text: str


def begin(connection: sqlite3.Connection, model: Fingerprint) -> None:
    """Start with a model, or go on where the same one was interrupted."""
    known = fingerprint(connection, NEXT_EMBEDDING)
    if known is None or not known.is_same(model):
        connection.execute("DELETE FROM reindexed")
        set_fingerprint(connection, model, NEXT_EMBEDDING)


def waiting(connection: sqlite3.Connection) -> list[Waiting]:
    """A portion of what the new model has not embedded as it stands now."""
    rows = connection.execute(NEXT, (PORTION,))
    return [Waiting(record, digest, text_of(json.loads(value), field)) for record, digest, field, value in rows]


def count_waiting(connection: sqlite3.Connection) -> int:
    """How many texts the new model has not embedded."""
    count: int = connection.execute(COUNT).fetchone()[0]
    return count


def keep(connection: sqlite3.Connection, done: Iterable[Waiting], vectors: Mapping[str, bytes]) -> None:
    """Put new vectors aside."""
    rows = [(one.record, one.digest, vectors[one.text]) for one in done]
    connection.executemany("INSERT OR REPLACE INTO reindexed VALUES (?, ?, ?)", rows)


def swap(connection: sqlite3.Connection, model: Fingerprint) -> bool:
    """Make the new vectors the store's, in a new shard, unless somebody wrote meanwhile; says whether it did."""
    if count_waiting(connection):
        return False
    connection.execute("DELETE FROM shard")
    shard = connection.execute("INSERT INTO shard (namespace) VALUES (NULL) RETURNING id").fetchone()[0]
    connection.execute(SWAP, (shard,))
    connection.execute("DELETE FROM reindexed")
    connection.execute("DELETE FROM pending")
    connection.execute("INSERT INTO pending (record, shard) SELECT record, shard FROM vector")
    set_fingerprint(connection, model)
    set_setting(connection, NEXT_EMBEDDING, None)
    set_setting(connection, "dims", str(model.dims))
    return True
