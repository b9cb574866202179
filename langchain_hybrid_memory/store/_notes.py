"""Notes in the catalog of what Chroma still has to be told, and which records it is known to hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_hybrid_memory.store._items import decode, decode_namespace, namespace_range, well_formed
from langchain_hybrid_memory.store._plan import text_of
from langchain_hybrid_memory.store._vectors import Record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


UNNOTED: Final = "AND NOT EXISTS (SELECT 1 FROM pending WHERE pending.record = vector.record)"
CONFIRMED_AMONG: Final = f"SELECT record FROM vector WHERE item IN (SELECT value FROM json_each(?)) {UNNOTED}"  # noqa: S608 - values are bound
BELOW: Final = "namespace >= ? AND namespace < ?"
CONFIRMED_BELOW: Final = f"SELECT record FROM item JOIN vector ON vector.item = item.id WHERE {BELOW} {UNNOTED}"  # noqa: S608 - the same
HAS_OTHERS: Final = f"SELECT (SELECT count(*) FROM item) > (SELECT count(*) FROM item WHERE {BELOW})"  # noqa: S608 - too


class Note(NamedTuple):
    """One record to write, or to delete when `document` is `None`; the rest is then `None` as well."""

    sequence: int
    record: str
    document: str | None
    embedding: bytes
    namespace: bytes
    key: bytes
    field: str

    def as_record(self) -> Record:
        """The record as Chroma shall hold it; its metadata is for people who look into the collection."""
        metadata = {
            "namespace": json.dumps([well_formed(label) for label in decode_namespace(self.namespace)]),
            "key": well_formed(decode(self.key)),
            "field": well_formed(self.field),
        }
        return Record(self.record, self.embedding, self.document or "", metadata)


def note(connection: sqlite3.Connection, record: str, document: str | None) -> None:
    """Note that a record has to be written, or deleted when `document` is `None`; replaces an older note."""
    connection.execute("INSERT OR REPLACE INTO pending (record, document) VALUES (?, ?)", (record, document))


def notes(connection: sqlite3.Connection) -> list[Note]:
    """Everything noted, oldest first."""
    sql = (
        "SELECT sequence, pending.record, document, embedding, namespace, key, field FROM pending "
        "LEFT JOIN vector ON vector.record = pending.record LEFT JOIN item ON item.id = vector.item ORDER BY sequence"
    )
    return [Note(*row) for row in connection.execute(sql)]


def note_disagreements(connection: sqlite3.Connection, held: set[str]) -> None:
    """Note what makes Chroma hold exactly the catalog's records.

    Args:
        connection: The writer, inside a transaction.
        held: The ids Chroma holds.
    """
    wanted = {row[0] for row in connection.execute("SELECT record FROM vector")}
    for record in held - wanted:
        note(connection, record, None)
    sql = "SELECT field, value FROM vector JOIN item ON item.id = vector.item WHERE record = ?"
    for record in wanted - held:
        field, value = connection.execute(sql, (record,)).fetchone()
        note(connection, record, text_of(json.loads(value), field))


def confirmed_records(connection: sqlite3.Connection, prefix: bytes, items: Sequence[int] | None) -> list[str] | None:
    """The records of some items, or of all below a prefix, that Chroma is known to hold; `None` means every record.

    Args:
        connection: A reader.
        prefix: An encoded namespace prefix; looked at when `items` is `None`.
        items: The only items to consider.
    """
    if items is not None:
        return [row[0] for row in connection.execute(CONFIRMED_AMONG, (json.dumps(items),))]
    if not prefix or not connection.execute(HAS_OTHERS, namespace_range(prefix)).fetchone()[0]:
        return None
    return [row[0] for row in connection.execute(CONFIRMED_BELOW, namespace_range(prefix))]


def count_notes(connection: sqlite3.Connection) -> int:
    """How many records Chroma has not been told about."""
    count: int = connection.execute("SELECT count(*) FROM pending").fetchone()[0]
    return count


def noted_items(connection: sqlite3.Connection, prefix: bytes, items: Sequence[int] | None) -> list[int]:
    """The items below a prefix, or among some, with a vector that Chroma has not been told."""
    sql = (
        "SELECT DISTINCT item.id FROM pending JOIN vector ON vector.record = pending.record "
        "JOIN item ON item.id = vector.item WHERE namespace >= ? AND namespace < ?"
    )
    noted = [row[0] for row in connection.execute(sql, namespace_range(prefix))]
    return noted if items is None else list(set(noted).intersection(items))


def items_of(connection: sqlite3.Connection, records: Sequence[str]) -> list[int]:
    """The items some records belong to, each once, in the order of the records."""
    sql = "SELECT record, item FROM vector WHERE record IN (SELECT value FROM json_each(?))"
    items = dict(connection.execute(sql, (json.dumps(records),)))
    return list(dict.fromkeys(items[record] for record in records if record in items))
