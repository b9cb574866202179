"""Notes in the catalog of what Chroma still has to be told, and which records it is known to hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_hybrid_memory.store._items import decode, decode_namespace, namespace_range, well_formed
from langchain_hybrid_memory.store._texts import text_of
from langchain_hybrid_memory.store._vectors import Record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

UNNOTED: Final = (
    "NOT EXISTS (SELECT 1 FROM pending WHERE pending.record = vector.record AND pending.shard = vector.shard)"
)
CONFIRMED_AMONG: Final = (
    f"SELECT record FROM vector WHERE shard = ? AND item IN (SELECT value FROM json_each(?)) AND {UNNOTED}"  # noqa: S608 - values are bound
)
NOTES: Final = """
    SELECT sequence, pending.record, pending.shard, embedding, namespace, key, field, value FROM pending
    LEFT JOIN vector ON vector.record = pending.record AND vector.shard = pending.shard
    LEFT JOIN item ON item.id = vector.item WHERE sequence > ? ORDER BY sequence LIMIT ?
"""

# CROSS JOIN keeps SQLite from starting with the items, which are many, instead of the notes, which are few
NOTED_ITEMS: Final = """
    SELECT DISTINCT item.id FROM pending CROSS JOIN vector ON vector.record = pending.record
    AND vector.shard = pending.shard CROSS JOIN item ON item.id = vector.item WHERE namespace >= ? AND namespace < ?
"""


class Note(NamedTuple):
    """One record that Chroma shall hold as it is now, or not at all when `embedding` and the rest are `None`."""

    sequence: int
    record: str
    shard: int
    embedding: bytes | None
    namespace: bytes
    key: bytes
    field: str
    value: str | bytes

    def as_record(self) -> Record:
        """The record as Chroma shall hold it; text and metadata are for people who look into the collection."""
        metadata = {
            "namespace": json.dumps([well_formed(label) for label in decode_namespace(self.namespace)]),
            "key": well_formed(decode(self.key)),
            "field": well_formed(self.field),
        }
        return Record(self.record, self.embedding or b"", text_of(json.loads(self.value), self.field), metadata)


def note(connection: sqlite3.Connection, record: str, shard: int) -> None:
    """Note that a record of a shard came, changed or went; takes the place of an older note."""
    connection.execute("INSERT OR REPLACE INTO pending (record, shard) VALUES (?, ?)", (record, shard))


def notes(connection: sqlite3.Connection, *, after: int, limit: int) -> list[Note]:
    """What is noted, oldest first, from behind a sequence number."""
    return [Note(*row) for row in connection.execute(NOTES, (after, limit))]


def drop_notes(connection: sqlite3.Connection, told: Sequence[Note]) -> None:
    """Remove notes that have been carried out; one that was renewed meanwhile has another number and stays."""
    sequences = [note.sequence for note in told]
    connection.execute(
        "DELETE FROM pending WHERE sequence IN (SELECT value FROM json_each(?))", (json.dumps(sequences),)
    )


def note_disagreements(connection: sqlite3.Connection, shard: int, held: Iterable[str]) -> None:
    """Note what makes a shard in Chroma hold exactly the catalog's records.

    Args:
        connection: The writer, inside a transaction.
        shard: The shard.
        held: The ids Chroma holds in it.
    """
    wanted = {row[0] for row in connection.execute("SELECT record FROM vector WHERE shard = ?", (shard,))}
    for record in wanted.symmetric_difference(held):
        note(connection, record, shard)


def confirmed_among(connection: sqlite3.Connection, shard: int, items: Sequence[int]) -> list[str]:
    """The records of some items that Chroma is known to hold in a shard."""
    return [row[0] for row in connection.execute(CONFIRMED_AMONG, (shard, json.dumps(items)))]


def count_notes(connection: sqlite3.Connection) -> int:
    """How many records Chroma has not been told about."""
    count: int = connection.execute("SELECT count(*) FROM pending").fetchone()[0]
    return count


def noted_items(connection: sqlite3.Connection, prefix: bytes, items: Sequence[int] | None) -> list[int]:
    """The items below a prefix, or among some, with a vector that Chroma has not been told."""
    noted = [row[0] for row in connection.execute(NOTED_ITEMS, namespace_range(prefix))]
    return noted if items is None else list(set(noted).intersection(items))


def noted_namespaces(connection: sqlite3.Connection) -> list[bytes]:
    """The namespaces of the items that Chroma has not been told about."""
    sql = (
        "SELECT DISTINCT namespace FROM pending CROSS JOIN vector ON vector.record = pending.record "
        "CROSS JOIN item ON item.id = vector.item"
    )
    return [row[0] for row in connection.execute(sql)]


def items_of(connection: sqlite3.Connection, records: Sequence[str]) -> list[int]:
    """The items some records belong to, each once, in the order of the records."""
    sql = "SELECT record, item FROM vector WHERE record IN (SELECT value FROM json_each(?))"
    items = dict(connection.execute(sql, (json.dumps(records),)))
    return list(dict.fromkeys(items[record] for record in records if record in items))
