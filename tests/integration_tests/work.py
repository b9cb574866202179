"""One of several workers: `python -m tests.integration_tests.work POSTGRES_URI SEED`; says what it learned."""

from __future__ import annotations

import json
import sys

from langgraph.store.postgres import PostgresStore

from langchain_hybrid_memory import HybridMemory
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import learning_model


def main(uri: str, seed: int) -> None:
    """Say that the worker is ready, drain the queue when told to, and report."""
    embedding = WordEmbedding()
    brain = learning_model(seed=seed, token_delay_seconds=0.002)
    index = {"embed": embedding, "dims": embedding.dimensions, "fields": ["text"]}
    with PostgresStore.from_conn_string(uri, index=index) as store:  # type: ignore[arg-type]  # a TypedDict, in part
        memory = HybridMemory(brain, store=store)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        status = memory.drain()
        sys.stdout.write(json.dumps({"calls": status.calls, "error": status.last_error}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
