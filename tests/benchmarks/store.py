"""Measures `ChromaStore` beside plain Chroma with a filter and LangGraph's own stores, each in a process of its own.

`python -m tests.benchmarks.store --out store.json` prints a table and draws `store.png` beside the figures. Vectors are
random and made beforehand, so embedding costs nothing; texts are drawn from 3,000 made-up words, some common and most
rare.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import chromadb
import numpy as np
import typer
from chromadb.config import Settings
from langgraph.store.base import BaseStore, PutOp
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from rich.console import Console
from rich.table import Table

from langchain_hybrid_memory import ChromaStore

DIMS = 384
SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprstv" for vowel in "aeiou"]
WORDS = [first + second for second in SYLLABLES for first in SYLLABLES][:3_000]
SHARES = 1 / np.arange(20, 20 + len(WORDS))
CHUNK = 1_000
QUERIES = 60
Row = dict[str, Any]


class Corpus:
    """Random texts, vectors and queries, the same for every system."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        self._vectors = self._random.standard_normal((20_000, DIMS)).astype(np.float32)
        self._next = 0

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self._next += len(texts)
        return [self._vectors[(self._next + n) % len(self._vectors)].tolist() for n in range(len(texts))]

    def text(self, words: int = 20) -> str:
        return " ".join(self._random.choice(WORDS, words, p=SHARES / SHARES.sum()))

    def query(self) -> str:
        return self.text(4)


class System(Protocol):
    """A way to keep memories of users and to search one user's."""

    def add(self, user: str, texts: Sequence[str], *, first: int) -> None: ...

    def search(self, user: str, query: str) -> int: ...


class AnyStore:
    """A LangGraph store, a namespace a user."""

    def __init__(self, store: BaseStore) -> None:
        self.store = store

    def add(self, user: str, texts: Sequence[str], *, first: int) -> None:
        self.store.batch([PutOp(("user", user), str(first + n), {"text": text}) for n, text in enumerate(texts)])

    def search(self, user: str, query: str) -> int:
        return len(self.store.search(("user", user), query=query, limit=10))


class PlainChroma:
    """One Chroma collection, users told apart by a filter: dense search only."""

    def __init__(self, path: Path, corpus: Corpus) -> None:
        client = chromadb.PersistentClient(str(path), Settings(anonymized_telemetry=False))
        self._collection = client.get_or_create_collection(
            "memories", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        self._corpus = corpus

    def add(self, user: str, texts: Sequence[str], *, first: int) -> None:
        self._collection.upsert(
            ids=[f"{user}/{first + n}" for n in range(len(texts))],
            embeddings=np.asarray(self._corpus.embed(texts), dtype=np.float32),
            documents=list(texts),
            metadatas=[{"user": user}] * len(texts),
        )

    def search(self, user: str, query: str) -> int:
        found = self._collection.query(
            query_embeddings=np.asarray(self._corpus.embed([query]), dtype=np.float32),
            where={"user": user},
            n_results=10,
        )
        return len(found["ids"][0])


def create(name: str, path: Path, corpus: Corpus) -> System:
    """One of the systems.

    Raises:
        sqlite3.Error, AttributeError: If this Python's SQLite cannot load what `SqliteStore` needs.
    """
    index: Any = {"embed": corpus.embed, "dims": DIMS, "fields": ["text"]}
    if name == "ChromaStore":
        return AnyStore(ChromaStore.open(path, index=index))
    if name == "InMemoryStore":
        return AnyStore(InMemoryStore(index=index))
    if name == "SqliteStore":
        connection = sqlite3.connect(path / "store.sqlite3", check_same_thread=False, isolation_level=None)
        store = SqliteStore(connection, index=index)
        store.setup()
        return AnyStore(store)
    return PlainChroma(path, corpus)


SYSTEMS = ("ChromaStore", "Chroma with a filter", "InMemoryStore", "SqliteStore")


def timed(work: Callable[[int], object], times: int) -> list[float]:
    """Milliseconds of each of some calls."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        taken.append(1_000 * (time.perf_counter() - began))
    return taken


def fill(system: System, corpus: Corpus, *, users: int, each: int) -> None:
    """Give every user so many memories, in batches."""
    for number in range(users):
        for first in range(0, each, CHUNK):
            system.add(f"user{number}", [corpus.text() for _ in range(min(CHUNK, each - first))], first=first)


def measure(name: str, path: Path, users: int, each: int) -> Row:
    """Fill a system, then search and add; with one user, a hundred others are there too."""
    corpus = Corpus()
    system = create(name, path, corpus)
    began = time.perf_counter()
    fill(system, corpus, users=users, each=each)
    if users == 1:
        for number in range(100):
            system.add(f"other{number}", [corpus.text()], first=0)
    filled = time.perf_counter() - began
    asked = [(f"user{number % users}", corpus.query()) for number in range(QUERIES)]
    system.search(*asked[0])
    searches = timed(lambda n: system.search(*asked[n]), QUERIES)
    single = timed(lambda n: system.add("user0", [corpus.text()], first=each + n), 40)
    twenty = timed(lambda n: system.add("user0", [corpus.text() for _ in range(20)], first=each + 100 + 20 * n), 20)
    return {
        "search p50": statistics.median(searches),
        "search p95": statistics.quantiles(searches, n=20)[-1],
        "add 1 p50": statistics.median(single),
        "add 20 p50": statistics.median(twenty),
        "fill s": filled,
        "open files": float(len(list(Path("/proc/self/fd").iterdir()))),
        "resident MB": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "disk MB": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6,
    }


def reopen(path: Path) -> Row:
    """Open a directory that was filled before, and search it once."""
    corpus = Corpus()
    began = time.perf_counter()
    system = create("ChromaStore", path, corpus)
    opened = time.perf_counter()
    system.search("user0", corpus.query())
    return {"open s": opened - began, "first search s": time.perf_counter() - opened}


def in_process(work: Callable[..., Row], *arguments: Any) -> Row | str:
    """Run in a fresh process; an error comes back as its words."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            return pool.apply(work, arguments)
        except (sqlite3.Error, AttributeError, OSError) as error:
            return f"{type(error).__name__}: {error}"


def draw(rows: dict[str, dict[str, Row]], path: Path) -> None:
    """Search time over the number of memories, a line a system."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name in SYSTEMS:
        points = [
            (int(label), row[name]["search p50"]) for label, row in rows.items() if label.isdigit() and name in row
        ]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="memories of one user", ylabel="search, ms (p50, without embedding)")
    axes.set_title("Searching one user's memories")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


def main(
    sizes: Annotated[str, typer.Option(help="Memories of one user, separated by commas.")] = "1000,10000",
    users: Annotated[int, typer.Option(help="Users with 10 memories each; 0 leaves that out.")] = 1_000,
    systems: Annotated[str, typer.Option(help="Which systems, separated by commas.")] = ",".join(SYSTEMS),
    out: Annotated[Path | None, typer.Option(help="Where to write the figures; a plot is drawn beside them.")] = None,
) -> None:
    """Print what each system costs."""
    console, rows = Console(width=160), dict[str, dict[str, Row]]()
    scenes = [(size, 1, int(size)) for size in sizes.split(",")] + ([(f"10 x {users}", users, 10)] if users else [])
    for label, count, each in scenes:
        rows[label] = {}
        for name in systems.split(","):
            with tempfile.TemporaryDirectory() as folder, console.status(f"{name}, {label}"):
                row = in_process(measure, name, Path(folder), count, each)
                if isinstance(row, dict) and name == "ChromaStore":
                    again = in_process(reopen, Path(folder))
                    row |= again if isinstance(again, dict) else {}
            if isinstance(row, dict):
                rows[label][name] = row
            else:
                console.print(f"{name} left out: {row}")
        table = Table("system", *next(iter(rows[label].values())), title=f"{label} memories; times in ms")
        for name, row in rows[label].items():
            table.add_row(name, *(f"{value:.2f}" for value in row.values()))
        console.print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2))
        draw(rows, out.with_suffix(".png"))


if __name__ == "__main__":
    typer.run(main)
