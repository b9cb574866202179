"""Writes items, their vectors and their keywords within one catalog transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.errors import ConfigurationError
from langchain_hybrid_memory.store._items import namespace_range
from langchain_hybrid_memory.store._notes import note
from langchain_hybrid_memory.store._shards import shard_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_hybrid_memory.store._plan import Put, Text

FLOAT_BYTES: Final = 4
UPSERT_ITEM: Final = (
    "INSERT INTO item (namespace, key, value, spec, ttl, created_at, updated_at, expires_at) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6 + CAST(?5 * 60000000 AS INTEGER)) "
    "ON CONFLICT DO UPDATE SET value = excluded.value, spec = excluded.spec, ttl = excluded.ttl, "
    "updated_at = excluded.updated_at, expires_at = excluded.expires_at RETURNING id"
)
UPSERT_VECTOR: Final = (
    "INSERT INTO vector (item, record, field, digest, embedding, shard) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (record) "
    "DO UPDATE SET item = excluded.item, digest = excluded.digest, embedding = excluded.embedding"
)


def missing_texts(connection: sqlite3.Connection, puts: Iterable[Put], vectors: Mapping[str, bytes]) -> list[str]:
    """The distinct texts of some puts that have to be embedded first: new or changed, and no vector at hand."""
    missing: dict[str, None] = {}
    for put in puts:
        for text in put.texts:
            if text.text not in vectors and not _is_embedded(connection, text):
                missing[text.text] = None
    return list(missing)


def check_size(connection: sqlite3.Connection, vectors: Sequence[bytes]) -> None:
    """Refuse vectors of another size than the store's, which the first vector ever written decides.

    Raises:
        ConfigurationError: If one has another size.
    """
    sizes = {len(vector) // FLOAT_BYTES for vector in vectors}
    row = connection.execute("SELECT content FROM setting WHERE name = 'dims'").fetchone()
    known = {int(row[0])} if row else set()
    if len(sizes | known) > 1:
        msg = (
            f"the embedding returned vectors of {sorted(sizes)} numbers, this store holds {sorted(known) or 'none'}; "
            "use the embedding model the store was filled with, or another directory"
        )
        raise ConfigurationError(msg)


def write(connection: sqlite3.Connection, put: Put, *, vectors: Mapping[str, bytes], at: int) -> int:
    """Insert, update or delete one item.

    Args:
        connection: The writer, inside a transaction.
        put: What to write.
        vectors: Embedded texts; holds every text of `put` that `missing_texts` named.
        at: Time of writing in microseconds.

    Returns:
        How many notes this leaves for Chroma.
    """
    known = connection.execute("SELECT id FROM item WHERE namespace = ? AND key = ?", put.target).fetchone()
    if put.value is None:
        return delete(connection, known[0]) if known else 0
    row = (*put.target, put.value, put.spec, put.ttl, at)
    item: int = connection.execute(UPSERT_ITEM, row).fetchone()[0]
    if known:
        connection.execute("DELETE FROM keyword WHERE rowid = ?", known)
    if put.words:
        words = (item, put.scope, put.words)
        connection.execute("INSERT INTO keyword (rowid, scope, words) VALUES (?, ?, ?)", words)
    if not known and not put.texts:
        return 0
    return _write_vectors(
        connection, item, put.texts, vectors=vectors, shard=shard_of(connection, put.target.namespace)
    )


def delete(connection: sqlite3.Connection, item: int) -> int:
    """Delete an item with its keywords and vectors; returns how many notes this leaves for Chroma."""
    connection.execute("DELETE FROM keyword WHERE rowid = ?", (item,))
    connection.execute("DELETE FROM item WHERE id = ?", (item,))
    return _write_vectors(connection, item, vectors={})


def delete_below(connection: sqlite3.Connection, prefix: bytes) -> int:
    """Delete every item below a namespace prefix; returns how many."""
    sql = "SELECT id FROM item WHERE namespace >= ? AND namespace < ?"
    items = [row[0] for row in connection.execute(sql, namespace_range(prefix))]
    for item in items:
        delete(connection, item)
    return len(items)


def _is_embedded(connection: sqlite3.Connection, text: Text) -> bool:
    row = connection.execute("SELECT digest FROM vector WHERE record = ?", (text.record,)).fetchone()
    return bool(row) and row[0] == text.digest


def _write_vectors(
    connection: sqlite3.Connection,
    item: int,
    texts: Iterable[Text] = (),
    *,
    vectors: Mapping[str, bytes],
    shard: int = 0,
) -> int:
    known = {
        record: (digest, place)
        for record, digest, place in connection.execute(
            "SELECT record, digest, shard FROM vector WHERE item = ?", (item,)
        )
    }
    wanted = {text.record: text for text in texts}
    changed = [text for record, text in wanted.items() if known.get(record, (b"",))[0] != text.digest]
    removed = known.keys() - wanted.keys()
    for record in removed:
        connection.execute("DELETE FROM vector WHERE record = ?", (record,))
        note(connection, record, known[record][1])
    for text in changed:
        row = (item, text.record, text.field, text.digest, vectors[text.text], shard)
        connection.execute(UPSERT_VECTOR, row)
        note(connection, text.record, shard)
    if changed:
        size = len(vectors[changed[0].text]) // FLOAT_BYTES
        connection.execute("INSERT OR IGNORE INTO setting VALUES ('dims', ?)", (str(size),))
    return len(removed) + len(changed)
