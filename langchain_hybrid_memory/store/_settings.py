"""What a directory remembers about itself: the embedding model its vectors are of, and work that is not finished."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.store._embedder import Fingerprint

if TYPE_CHECKING:
    import sqlite3

EMBEDDING: Final = "embedding"
NEXT_EMBEDDING: Final = "next embedding"
UNSETTLED: Final = "unsettled"
AGREED: Final = "agreed"


def setting(connection: sqlite3.Connection, name: str) -> str | None:
    """What is remembered under a name."""
    row = connection.execute("SELECT content FROM setting WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def set_setting(connection: sqlite3.Connection, name: str, content: str | None) -> None:
    """Remember something under a name; `None` forgets it."""
    connection.execute("DELETE FROM setting WHERE name = ?", (name,))
    if content is not None:
        connection.execute("INSERT INTO setting VALUES (?, ?)", (name, content))


def fingerprint(connection: sqlite3.Connection, name: str = EMBEDDING) -> Fingerprint | None:
    """The model a directory's vectors are of, or will be of."""
    content = setting(connection, name)
    if content is None:
        return None
    known = json.loads(content)
    return Fingerprint(known["name"], bytes.fromhex(known["probe"]))


def set_fingerprint(connection: sqlite3.Connection, model: Fingerprint, name: str = EMBEDDING) -> None:
    """Remember a model."""
    set_setting(connection, name, json.dumps({"name": model.name, "probe": model.probe.hex()}))
