"""Opening, sharing and refusing a directory."""

from __future__ import annotations

import gc
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.store import ChromaStore
from langchain_hybrid_memory.store._handles import _OPEN
from tests.doubles.backends import embedded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.doubles.embedding import WordEmbedding
    from tests.unit_tests.store.conftest import OpenStore

HOME = ("user", "alex")


def test_same_directory_is_shared_within_a_process(open_store: OpenStore, tmp_path: Path) -> None:
    first, second = open_store(), ChromaStore.open(tmp_path / "x" / ".." / "memory")
    first.put(HOME, "k", {"text": "apple"})
    first.close()
    assert second.get(HOME, "k") is not None
    second.close()


def test_store_that_is_forgotten_lets_go(tmp_path: Path) -> None:
    ChromaStore.open(tmp_path / "memory")
    gc.collect()
    assert not any(path == tmp_path / "memory" for _, path in _OPEN)


def test_sixteen_threads_may_open_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        stores = list(threads.map(lambda _: ChromaStore.open(tmp_path / "memory"), range(16)))
        list(threads.map(lambda n: stores[n].put(HOME, str(n), {"n": n}, index=False), range(16)))
    assert len({id(store._backend) for store in stores}) == 1
    assert len(stores[0].search(HOME, limit=20)) == 16
    for store in stores:
        store.close()


def test_sixteen_threads_may_open_directories_of_their_own_at_once(tmp_path: Path, embedding: WordEmbedding) -> None:
    index: Any = {"embed": embedding, "dims": embedding.dimensions, "fields": ["text"]}

    def live(number: int) -> list[str]:
        with ChromaStore.open(tmp_path / str(number), index=index) as store:
            store.put(HOME, str(number), {"text": f"harbor {number}"})
            return [hit.key for hit in store.search((), query="harbor")]

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(live, range(16))) == [[str(number)] for number in range(16)]
    assert not any(path.parent == tmp_path for _, path in _OPEN)


def test_threads_that_open_and_close_one_directory_do_not_disturb_each_other(tmp_path: Path) -> None:
    def live(number: int) -> None:
        for turn in range(5):
            with ChromaStore.open(tmp_path / "memory") as store:
                store.put(HOME, f"{number} {turn}", {"n": number}, index=False)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(live, range(8)))
    with ChromaStore.open(tmp_path / "memory") as store:
        assert len(store.search(HOME, limit=100)) == 40


def test_file_as_path_is_refused_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"file'.*directory"):
        ChromaStore.open(tmp_path / "file")
    with pytest.raises(StorageError, match=r"below"):
        ChromaStore.open(tmp_path / "file" / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_directory_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir(mode=0o500)
    with pytest.raises(StorageError, match=r"may write"):
        ChromaStore.open(tmp_path / "memory")


@pytest.mark.parametrize("name", ["catalog.sqlite3", "chroma.sqlite3"])
def test_damaged_file_is_refused_and_opens_again_once_restored(
    open_store: OpenStore, tmp_path: Path, name: str
) -> None:
    store = open_store()
    store.put(HOME, "k", {"text": "apple"})
    store.close()
    file = tmp_path / "memory" / name
    kept = file.read_bytes()
    file.write_bytes(b"not a database" * 1_000)
    for _ in range(2):
        with pytest.raises(StorageError, match=r"memory.*backup"):
            open_store()
    file.write_bytes(kept)
    assert [hit.key for hit in open_store().search(HOME, query="apple")] == ["k"]


def test_newer_format_is_refused(open_store: OpenStore, tmp_path: Path) -> None:
    open_store().close()
    connection = sqlite3.connect(tmp_path / "memory" / "catalog.sqlite3")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageError, match=r"format 99.*Upgrade"):
        open_store()


def test_full_disk_is_reported_and_leaves_no_half_batch(open_store: OpenStore) -> None:
    store = open_store()
    store.put(HOME, "k", {"text": "apple"}, index=False)
    writer = embedded(store)._catalog._writer
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(StorageError, match=r"full.*Free disk space"):
        store.put(HOME, "big", {"text": "x" * 1_000_000}, index=False)
    writer.execute("PRAGMA max_page_count = 1000000")
    store.put(HOME, "small", {"text": "y"}, index=False)
    assert [item.key for item in store.search(HOME)] == ["small", "k"]


def test_catalog_overwrites_what_it_deletes(open_store: OpenStore) -> None:
    connection = embedded(open_store())._catalog._writer
    assert connection.execute("PRAGMA secure_delete").fetchone()[0] == 1
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_store_used_after_a_fork_is_refused(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store()
    monkeypatch.setattr(store._backend, "_pid", -1)
    with pytest.raises(StorageError, match="forked"):
        store.get(HOME, "k")


def test_repr_names_the_directory(open_store: OpenStore, tmp_path: Path) -> None:
    assert repr(open_store()) == f"ChromaStore({str(tmp_path / 'memory')!r})"
