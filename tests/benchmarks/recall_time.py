"""Measures how long recall takes, beside plain Chroma's filtered search: `python -m tests.benchmarks.recall_time`.

Each system runs in a process of its own over the same random texts and vectors, so embedding costs nothing. They are
asked in turns, a few questions each, so that what else the machine does befalls them alike. Recall is the whole of
`memory.for_user(id).recall(query)`: searching, ranking, weaving and fitting the budget.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
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
from tests.benchmarks.store import CHUNK, Corpus, PlainChroma, Row, timed

USER = "user0"
FIRST_AT = datetime(2022, 1, 1, tzinfo=UTC)
THREAD_MESSAGES = 40
ROUNDS, ROUND = 20, 10

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


def times_of(work: Work, queries: Sequence[str]) -> list[float]:
    """Milliseconds that each of some questions takes."""
    return timed(lambda number: work(queries[number]), len(queries))


def serve(pipe: Connection, name: str, folder: Path, count: int) -> None:
    """Fill a system with one user's memories, then answer each word on the pipe with the times of some questions.

    The last answer, to nothing, is how many MB are resident.
    """
    corpus = Corpus()
    with SYSTEMS[name](folder, corpus, count) as works:
        for work in works.values():
            work(corpus.query())
        pipe.send(None)
        while pipe.recv():
            queries = [corpus.query() for _ in range(ROUND)]
            pipe.send({label: times_of(work, queries) for label, work in works.items()})
        pipe.send(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)


def measure(count: int) -> dict[str, Row]:
    """Ask every system in turns; a row each."""
    spawn = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    rows: dict[str, Row] = {name: {} for name in SYSTEMS}
    taken: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in SYSTEMS}
    with ExitStack() as folders:
        for name in SYSTEMS:
            folder = Path(folders.enter_context(tempfile.TemporaryDirectory()))
            pipes[name], theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(theirs, name, folder, count), daemon=True)
            folders.callback(process.join)  # before its folder goes
            process.start()
            theirs.close()
        for pipe in pipes.values():
            pipe.recv()
        for _ in range(ROUNDS):
            for name, pipe in pipes.items():
                pipe.send("next")
                for label, times in pipe.recv().items():
                    taken[name][label] += times
        for name, pipe in pipes.items():
            for label, times in taken[name].items():
                rows[name][f"{label} p50"] = statistics.median(times)
                rows[name][f"{label} p95"] = statistics.quantiles(times, n=20)[-1]
            pipe.send(None)
            rows[name]["resident MB"] = pipe.recv()
    return rows


def main(
    sizes: Annotated[str, typer.Option(help="Memories of one user, separated by commas.")] = "1000,10000",
    out: Annotated[Path | None, typer.Option(help="Where to write the figures.")] = None,
) -> None:
    """Print what recall takes at each size."""
    console, rows = Console(width=160), dict[str, dict[str, Row]]()
    for size in sizes.split(","):
        with console.status(f"{size} memories"):
            found = rows[size] = measure(int(size))
        columns = list(dict.fromkeys(column for row in found.values() for column in row))
        table = Table("system", *columns, title=f"{size} memories of one user; times in ms")
        for name, row in found.items():
            table.add_row(name, *(f"{row[column]:.1f}" if column in row else "" for column in columns))
        console.print(table)
    if out is not None:
        out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    typer.run(main)
