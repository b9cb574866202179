"""The SQLite file that holds every item: schema, connections, transactions."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE: Final = "catalog.sqlite3"
IDLE_READERS: Final = 4
BUSY_SECONDS: Final = 10.0

# `secure_delete`: what is deleted is overwritten. `synchronous=FULL`: what was acknowledged survives a power cut; one
# fsync a batch, because a batch is one transaction.
PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY", "cache_size=-8000")

# What turns each format into the next; a new directory runs them all. What is written here stays as it is: directories
# that ran it exist.
FORMATS: Final = (
    """
CREATE TABLE item (
    id INTEGER PRIMARY KEY,
    namespace BLOB NOT NULL,            -- every label ends with 0x01: see _items.encode_namespace
    key BLOB NOT NULL,                  -- UTF-8
    value TEXT NOT NULL,                -- JSON; a BLOB where SQLite's JSON differs from Python's
    spec TEXT,                          -- the put's `index` argument as JSON; NULL for the store's default
    created_at INTEGER NOT NULL,        -- microseconds since 1970
    updated_at INTEGER NOT NULL UNIQUE, -- the same; strictly increasing, so it alone is a total order
    UNIQUE (namespace, key)
);
CREATE INDEX item_newest ON item (namespace, updated_at);
CREATE TABLE vector (
    id INTEGER PRIMARY KEY,
    item INTEGER NOT NULL,
    record TEXT NOT NULL UNIQUE,        -- id of the record in Chroma
    field TEXT NOT NULL,                -- which text of the item it is
    digest BLOB NOT NULL,               -- of that text: an unchanged text is not embedded again
    embedding BLOB NOT NULL             -- float32
);
CREATE INDEX vector_item ON vector (item, record);
CREATE TABLE pending (                  -- what Chroma has not been told yet, oldest first
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    record TEXT NOT NULL UNIQUE,
    document TEXT                       -- NULL: delete the record
);
CREATE VIRTUAL TABLE keyword USING fts5 (scope, words, tokenize = 'ascii');
CREATE TABLE setting (name TEXT PRIMARY KEY, content TEXT NOT NULL);
""",
    """
ALTER TABLE item ADD COLUMN ttl REAL;           -- minutes it lives after it was last read or written
ALTER TABLE item ADD COLUMN expires_at INTEGER; -- microseconds since 1970
CREATE INDEX item_expiry ON item (expires_at) WHERE expires_at IS NOT NULL;
""",
    """
CREATE TABLE shard (                    -- the collections in Chroma
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace BLOB UNIQUE               -- whose vectors are in it; NULL: everything that has no shard of its own
);
INSERT INTO shard VALUES (0, NULL);
ALTER TABLE vector ADD COLUMN shard INTEGER NOT NULL DEFAULT 0; -- where its record is, or will be by the notes
CREATE INDEX vector_shard ON vector (shard);
ALTER TABLE pending RENAME TO pending_2;
CREATE TABLE pending (                  -- records that came, changed or went without Chroma knowing yet
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    record TEXT NOT NULL,
    shard INTEGER NOT NULL,
    UNIQUE (record, shard)
);
INSERT INTO pending (record, shard) SELECT record, 0 FROM pending_2 ORDER BY sequence;
DROP TABLE pending_2;
CREATE TABLE reindexed (                -- vectors of the next embedding model, until there is one for each
    record TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    embedding BLOB NOT NULL
);
""",
)


class Catalog:
    """One writer connection behind a lock, and as many readers as threads ask for at once.

    A reader sees one snapshot and waits for nobody.
    """

    def __init__(self, directory: Path) -> None:
        """Open the file and create what is missing."""
        self._path = directory / FILE
        self._lock = threading.RLock()
        self._readers: list[sqlite3.Connection] = []
        self.is_closed = False
        with ExitStack() as undo:
            self._writer = undo.enter_context(closing(self._connect()))
            self._prepare()
            undo.pop_all()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("CREATE VIRTUAL TABLE temp.frequency USING fts5vocab(main, keyword, row)")
        return connection

    def _prepare(self) -> None:
        version: int = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > len(FORMATS):
            msg = (
                f"the memory in {str(self._path)!r} has format {version}, newer than the {len(FORMATS)} this version "
                "of langchain-hybrid-memory knows. Upgrade the package"
            )
            raise StorageError(msg)
        for number, script in enumerate(FORMATS[version:], version + 1):
            self._writer.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
        self._last: int = self._writer.execute("SELECT coalesce(max(updated_at), 0) FROM item").fetchone()[0]

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection whose reads all see the same moment."""
        self._check_open()
        with self._lock:
            connection = self._readers.pop() if self._readers else None
        connection = connection or self._connect_reader()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.rollback()
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self.is_closed or len(self._readers) >= IDLE_READERS:
                connection.close()
            else:
                self._readers.append(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the writer for one transaction: all of it is kept, or after an exception none of it."""
        with self._lock:
            self._check_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                # after a failed COMMIT too; after a successful one there is nothing to undo
                self._writer.rollback()

    def settle(self) -> None:
        """Leave nothing in the files of what was deleted: deleted pages are blank already, words and log are not.

        Raises:
            StorageError: If somebody reads for so long that the log cannot be emptied.
        """
        with self.writing() as connection:
            connection.execute("INSERT INTO keyword (keyword) VALUES ('optimize')")
        with self._lock:
            is_busy: int = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if is_busy:
            msg = f"the memory in {str(self._path.parent)!r} is being read, so its log cannot be emptied; try again"
            raise StorageError(msg)

    def tick(self, now: int) -> int:
        """The next time of writing: `now` in microseconds, or later where the clock stands still or goes back."""
        with self._lock:
            self._last = max(self._last + 1, now)
            return self._last

    def _check_open(self) -> None:
        if self.is_closed:
            msg = f"the memory in {str(self._path.parent)!r} is closed; open it again"
            raise StorageError(msg)

    def close(self) -> None:
        """Wait for the writer, then close every connection that is not in use; those in use close when given back."""
        with self._lock:
            self.is_closed = True
            for connection in (*self._readers, self._writer):
                connection.close()
            self._readers.clear()
