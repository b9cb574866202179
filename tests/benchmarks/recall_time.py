"""Measures how long recall takes, beside plain Chroma's filtered search: `python -m tests.benchmarks.recall_time`.

Each system runs in a process of its own over the same random texts and vectors, so embedding costs nothing. Recall is
the whole of `memory.for_user(id).recall(query)`: searching, ranking, weaving and fitting the budget.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, PutOp
from rich.console import Console
from rich.table import Table

from langchain_hybrid_memory import HybridMemory, RecallConfig
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.records import StoredMessage, to_iso
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.recall import search_ops
from tests.benchmarks.store import CHUNK, Corpus, PlainChroma, Row, in_process, timed

USER = "user0"
FIRST_AT = datetime(2022, 1, 1, tzinfo=UTC)
THREAD_MESSAGES = 40
QUERIES = 100

Work: TypeAlias = Callable[[str], object]
"""Answers a query."""


class RandomVectors(Embeddings):
    """A corpus' vectors, one after the other."""

    def __init__(self, corpus: Corpus) -> None:
        """Embed with the vectors of a corpus."""
        self._corpus = corpus

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text."""
        return self._corpus.embed(texts)

    def embed_query(self, text: str) -> list[float]:
        """Some vector."""
        return self._corpus.embed([text])[0]


def message(number: int, text: str, before: str) -> StoredMessage:
    """A message on record, in a thread with its neighbors, an hour after the last."""
    return StoredMessage(
        id=f"m{number}",
        thread=f"t{number // THREAD_MESSAGES}",
        episode=f"e{number // 2}",
        role="user" if number % 2 == 0 else "assistant",
        speaker=None,
        text=text,
        context=before,
        at=to_iso(FIRST_AT + timedelta(hours=number)),
        position=number % THREAD_MESSAGES,
        after=None,
        is_fork=False,
        is_abandoned=False,
        is_indexed=True,
    )


def keep(store: BaseStore, corpus: Corpus, count: int) -> None:
    """Put a user's messages into the store as `record` and `index` leave them."""
    scope, before = Scope(user_id=USER), ""
    for first in range(0, count, CHUNK):
        ops: list[PutOp] = []
        for number in range(first, min(first + CHUNK, count)):
            said = message(number, corpus.text(), before)
            ops.append(PutOp(scope.thread_messages(said["thread"]), said["id"], dict(said)))
            before = said["text"]
        store.batch(ops)


@contextmanager
def ours(folder: Path, corpus: Corpus, count: int) -> Iterator[dict[str, Work]]:
    """Recall, and what of it is the store's."""
    with open_store(folder, embedding=RandomVectors(corpus)) as store:
        keep(store, corpus, count)
        config = RecallConfig()
        with HybridMemory(None, store=store, recall=config) as memory:
            user, scope = memory.for_user(USER), Scope(user_id=USER)
            yield {"recall": user.recall, "of it store": lambda query: store.batch(search_ops(scope, query, config))}


@contextmanager
def plain(folder: Path, corpus: Corpus, count: int) -> Iterator[dict[str, Work]]:
    """Chroma's ten nearest of a user."""
    chroma = PlainChroma(folder, corpus)
    for first in range(0, count, CHUNK):
        chroma.add(USER, [corpus.text() for _ in range(min(CHUNK, count - first))], first=first)
    yield {"recall": lambda query: chroma.search(USER, query)}


SYSTEMS = {"hybrid-memory": ours, "Chroma with a filter": plain}


def measure(name: str, folder: Path, count: int) -> Row:
    """Fill a system with one user's memories and ask it."""
    corpus, row = Corpus(), Row()
    began = time.perf_counter()
    with SYSTEMS[name](folder, corpus, count) as works:
        row["fill s"] = time.perf_counter() - began
        queries = [corpus.query() for _ in range(QUERIES)]
        for label, work in works.items():
            work(queries[0])
            taken = timed(lambda n, ask=work: ask(queries[n]), QUERIES)  # type: ignore[misc]  # no type for a default
            row[f"{label} p50"], row[f"{label} p95"] = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
        row["resident MB"] = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return row


def main(
    sizes: Annotated[str, typer.Option(help="Memories of one user, separated by commas.")] = "1000,10000",
    out: Annotated[Path | None, typer.Option(help="Where to write the figures.")] = None,
) -> None:
    """Print what recall takes at each size."""
    console, rows = Console(width=160), dict[str, dict[str, Row]]()
    for size in sizes.split(","):
        found = rows[size] = {}
        for name in SYSTEMS:
            with tempfile.TemporaryDirectory() as folder, console.status(f"{name}, {size}"):
                row = in_process(measure, name, Path(folder), int(size))
            if isinstance(row, dict):
                found[name] = row
            else:
                console.print(f"{name} left out: {row}")
        columns = list(dict.fromkeys(column for row in found.values() for column in row))
        table = Table("system", *columns, title=f"{size} memories of one user; times in ms")
        for name, row in found.items():
            table.add_row(name, *(f"{row[column]:.1f}" if column in row else "" for column in columns))
        console.print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    typer.run(main)
