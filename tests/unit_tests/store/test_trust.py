"""What is stored is data: nothing in it is run, and nothing leaves the machine."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chromadb
import numpy as np
import pytest
from chromadb.api.types import EmbeddingFunction
from chromadb.config import Settings
from chromadb.utils.embedding_functions import known_embedding_functions

from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store import _follower, _search

if TYPE_CHECKING:
    from tests.unit_tests.store.conftest import OpenStore

ROOT = Path(__file__).parents[3]
HOME = ("user", "alex")
WATCHED = """
import sys
seen = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"):
        seen.append(event)
sys.addaudithook(watch)
import asyncio
from langchain_hybrid_memory.store import ChromaStore, _follower, _search
from tests.doubles.embedding import WordEmbedding
_follower.LAG = _search.LARGE = 0
for _ in range(2):
    index = {"embed": WordEmbedding(), "dims": 256, "fields": ["text"]}
    with ChromaStore.open(sys.argv[1], index=index) as store:
        store.put(("a",), "k", {"text": "harbor"})
        store.put(("a",), "unindexed", {"text": "plain"}, index=False)
        assert [hit.key for hit in store.search((), query="harbor")] == ["k", "unindexed"]
        store.delete(("a",), "unindexed")
if "reach" in sys.argv:
    import socket
    socket.getaddrinfo("127.0.0.1", 9)
print(seen)
"""


def watched(path: Path, *arguments: str) -> str:
    """What a process that uses a store does with the network, where Chroma's telemetry is asked for."""
    wishes = {
        "ANONYMIZED_TELEMETRY": "True",
        "CHROMA_PRODUCT_TELEMETRY_IMPL": "chromadb.telemetry.product.posthog.Posthog",
    }
    done = subprocess.run(  # noqa: S603 - our own script in our own interpreter
        [sys.executable, "-c", WATCHED, str(path), *arguments],
        env={**os.environ, **wishes, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_store_touches_no_network(tmp_path: Path) -> None:
    assert watched(tmp_path) == "[]"
    assert "getaddrinfo" in watched(tmp_path, "reach")


class Trap(EmbeddingFunction[Any]):
    """Stands for code that somebody slipped into a directory: it must never be built."""

    built: list[dict[str, Any]]

    def __init__(self) -> None:
        """Nothing to set up."""

    def __call__(self, input: Any) -> Any:  # noqa: A002 - Chroma's name
        return [np.ones(256, dtype=np.float32) for _ in input]

    @staticmethod
    def name() -> str:
        return "trap"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> Trap:
        Trap.built.append(config)
        return Trap()

    def get_config(self) -> dict[str, Any]:
        return {}


def set_trap(directory: Path) -> None:
    """Make every collection name an embedding function of its own."""
    trap = '"embedding_function":{"type":"known","name":"trap","config":{"set":"by a stranger"}}'
    with closing(sqlite3.connect(directory / "chroma.sqlite3")) as connection:
        replaced = 'replace(schema_str, \'"embedding_function":{"type":"legacy"}\', ?)'
        count = connection.execute(f"UPDATE collections SET schema_str = {replaced}", (trap,)).rowcount  # noqa: S608 - constant
        connection.commit()
    assert count


def test_embedding_function_named_in_the_files_is_never_built(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(known_embedding_functions, "trap", Trap)
    monkeypatch.setattr(Trap, "built", [], raising=False)
    monkeypatch.setattr(_follower, "LAG", 0)
    monkeypatch.setattr(_search, "LARGE", 0)
    store = open_store()
    store.put(HOME, "k", {"text": "harbor"})
    store.close()
    set_trap(tmp_path / "memory")
    with pytest.raises(StorageError, match=r"memory'.*embedding function.*catalog"):
        open_store()
    assert Trap.built == []
    client: Any = chromadb.PersistentClient(str(tmp_path / "memory"), Settings(anonymized_telemetry=False))
    client.list_collections()[0].query(query_texts=["harbor"])  # the trap does work where nobody is careful
    client.close()
    assert Trap.built
    leave_catalog_alone(tmp_path / "memory")
    assert [hit.key for hit in open_store().search(HOME, query="harbor")] == ["k"]


def leave_catalog_alone(directory: Path) -> None:
    """Do as the message says."""
    for found in directory.iterdir():
        if found.is_dir():
            shutil.rmtree(found)
        elif found.name != "catalog.sqlite3":
            found.unlink()
