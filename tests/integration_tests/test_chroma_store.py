"""One store, several processes: killed, refused, reopened; and what it costs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from langchain_hybrid_memory.errors import StoreInUseError
from langchain_hybrid_memory.store import ChromaStore, _follower, _search
from tests.doubles.backends import embedded

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 5
HOME = ("user", "alex")
INDEX: Any = {"embed": DeterministicFakeEmbedding(size=64), "dims": 64, "fields": ["text"]}
WRITER = """
import sys
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.base import PutOp
from langchain_hybrid_memory.store import ChromaStore
index = {"embed": DeterministicFakeEmbedding(size=64), "dims": 64, "fields": ["text"]}
store = ChromaStore.open(sys.argv[1], index=index)
start = int(sys.argv[2])
print("ready", flush=True)
for number in range(start, start + 10_000):
    store.batch([
        PutOp(("user", "alex"), f"{number}", {"text": f"fact number {number}", "twin": number}),
        PutOp(("user", "alex", "log"), f"{number}", {"text": f"log {number}"}, index=False),
    ])
    if number > start + 2:
        store.delete(("user", "alex"), f"{number - 3}")
        store.delete(("user", "alex", "log"), f"{number - 3}")
    print(number, flush=True)
"""


def start_writer(path: Path, start: int = 0) -> subprocess.Popen[str]:
    writer = subprocess.Popen(  # noqa: S603 - our own script in our own interpreter
        [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def kill(writer: subprocess.Popen[str]) -> list[str]:
    writer.send_signal(signal.SIGKILL)
    printed, _ = writer.communicate()
    return printed.split("\n")[:-1]


def test_killed_writer_loses_no_acknowledged_write_and_leaves_none_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_search, "LARGE", 0)
    for attempt in range(KILLS):
        writer = start_writer(tmp_path, attempt * 10_000)
        time.sleep(0.15 + 0.07 * (attempt % 8))
        acknowledged = [int(line) for line in kill(writer)]
        last = acknowledged[-1] if acknowledged else attempt * 10_000 - 1
        with ChromaStore.open(tmp_path, index=INDEX) as store:
            facts = {item.key for item in store.search(HOME, filter={"twin": {"$gte": 0}}, limit=10_000)}
            logs = {item.key for item in store.search((*HOME, "log"), limit=10_000)}
            if acknowledged:
                assert str(last) in facts
            backend = embedded(store)
            assert facts - logs <= {str(last - 2), str(last - 1), str(last)}  # the two deletes are two batches
            assert logs >= facts
            ranked = [hit for hit in store.search(HOME, query="fact", limit=1_000) if hit.score is not None]
            assert {hit.key for hit in ranked} == facts
            assert backend._follower._vectors.count(0) == len(facts)


def test_second_process_is_refused_within_a_second_and_served_once_the_first_is_dead(tmp_path: Path) -> None:
    writer = start_writer(tmp_path)
    began = time.monotonic()
    with pytest.raises(StoreInUseError, match=rf"process {writer.pid}.*another directory.*`chroma run .*HttpClient"):
        ChromaStore.open(tmp_path, index=INDEX)
    assert time.monotonic() - began < 1
    kill(writer)
    ChromaStore.open(tmp_path, index=INDEX).close()


def test_threads_write_delete_and_search_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_search, "LARGE", 0)
    monkeypatch.setattr(_search, "POOL", 5)
    monkeypatch.setattr(_follower, "LAG", 3)
    with ChromaStore.open(tmp_path, index=INDEX) as store:

        def work(worker: int) -> None:
            for number in range(30):
                store.put((*HOME, str(worker % 2)), f"{worker} {number}", {"text": f"fact {worker} {number}"})
                hits = store.search((*HOME, str(number % 2)), query=f"fact {number}", limit=3)
                assert all(hit.namespace == (*HOME, str(number % 2)) for hit in hits)
                if number % 3 == 0:
                    store.delete((*HOME, str(worker % 2)), f"{worker} {number}")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert len(store.search(HOME, limit=1_000)) == 8 * 20
    with ChromaStore.open(tmp_path, index=INDEX) as store:
        assert embedded(store)._follower._vectors.count(0) == 8 * 20


def test_process_that_never_closes_exits_cleanly(tmp_path: Path) -> None:
    script = WRITER.replace("10_000", "70")
    done = subprocess.run(  # noqa: S603 - our own script in our own interpreter
        [sys.executable, "-W", "error", "-c", script, str(tmp_path), "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
