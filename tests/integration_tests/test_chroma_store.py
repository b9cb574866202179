"""One store, several processes: killed, refused, reopened; and what it costs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.base import PutOp

from langchain_hybrid_memory.errors import StoreInUseError
from langchain_hybrid_memory.store import ChromaStore, _embedded, _search

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    monkeypatch.setattr(_search, "EXACT_ITEMS", 0)
    for attempt in range(5):
        writer = start_writer(tmp_path, attempt * 10_000)
        time.sleep(0.15 + 0.07 * attempt)
        acknowledged = [int(line) for line in kill(writer)]
        last = acknowledged[-1] if acknowledged else attempt * 10_000 - 1
        with ChromaStore.open(tmp_path, index=INDEX) as store:
            facts = {item.key for item in store.search(HOME, filter={"twin": {"$gte": 0}}, limit=10_000)}
            logs = {item.key for item in store.search((*HOME, "log"), limit=10_000)}
            if acknowledged:
                assert str(last) in facts
            backend = store._backend
            assert facts - logs <= {str(last - 2), str(last - 1), str(last)}  # the two deletes are two batches
            assert logs >= facts
            ranked = [hit for hit in store.search(HOME, query="fact", limit=1_000) if hit.score is not None]
            assert {hit.key for hit in ranked} == facts
            assert len(backend._vectors) == len(facts)


def test_second_process_is_refused_within_a_second_and_served_once_the_first_is_dead(tmp_path: Path) -> None:
    writer = start_writer(tmp_path)
    began = time.monotonic()
    with pytest.raises(StoreInUseError, match=rf"process {writer.pid}.*another directory"):
        ChromaStore.open(tmp_path, index=INDEX)
    assert time.monotonic() - began < 1
    kill(writer)
    ChromaStore.open(tmp_path, index=INDEX).close()


def test_threads_write_delete_and_search_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_search, "EXACT_ITEMS", 0)
    monkeypatch.setattr(_search, "POOLS", (5, 20))
    monkeypatch.setattr(_embedded, "LAG", 3)
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
        assert len(store._backend._vectors) == 8 * 20


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


def fill(store: ChromaStore, items: int) -> None:
    words = np.random.default_rng(0).choice([f"word{n}" for n in range(3_000)], (items, 30))
    for start in range(0, items, 1_000):
        rows = enumerate(words[start : start + 1_000].tolist(), start)
        store.batch([PutOp(HOME, str(n), {"text": " ".join(row), "kind": "ab"[n % 2], "n": n}) for n, row in rows])


def median_ms(work: Callable[[], object], times: int = 25) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return round(1_000 * sorted(taken)[times // 2], 2)


@pytest.mark.parametrize("items", [1_000, 10_000])
def test_what_it_costs(tmp_path: Path, items: int, capsys: pytest.CaptureFixture[str]) -> None:
    vectors = np.random.default_rng(1).normal(size=(items + 2_000, 384)).astype("float32")
    rows = count()
    embed = lambda texts: [vectors[next(rows) % len(vectors)] for _ in texts]  # noqa: E731 - a stub
    with ChromaStore.open(tmp_path, index={"embed": embed, "dims": 384, "fields": ["text"]}) as store:
        fill(store, items)
        numbers = count()
        two = lambda: store.batch(  # noqa: E731 - timed below
            [PutOp((*HOME, "q"), str(next(numbers)), {"text": "queued " * 30}, index=False) for _ in range(2)]
        )
        query = "word3 word50 word700 word1500"
        costs = {
            "put of 2, not indexed": median_ms(two),
            "put of 1, indexed": median_ms(lambda: store.put(HOME, "new", {"text": f"words {next(numbers)}"})),
            "put of 20, indexed": median_ms(
                lambda: store.batch([PutOp(HOME, f"n{n}", {"text": f"words {next(numbers)}"}) for n in range(20)]), 9
            ),
            "search with query": median_ms(lambda: store.search(HOME, query=query)),
            "search with query and filter": median_ms(lambda: store.search(HOME, query=query, filter={"kind": "a"})),
            "newest 50": median_ms(lambda: store.search(HOME, limit=50)),
            "newest 50, filtered": median_ms(lambda: store.search(HOME, limit=50, filter={"kind": "a"})),
            "get": median_ms(lambda: store.get(HOME, "7")),
        }
    with capsys.disabled():
        print(f"\n{items} items, 384 numbers a vector, medians in ms: {costs}")  # noqa: T201 - for the reader
    assert len(costs) == 8
