"""Search shows each hit with its date, its source and why it ranked."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.cli.search import hits_table, search
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import learning_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_hybrid_memory.store import ChromaStore

DAY = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChromaStore]:
    with (
        open_store(tmp_path, embedding=WordEmbedding()) as opened,
        HybridMemory(learning_model(), store=opened) as memory,
    ):
        said = [{"role": "user", "content": "I live in Lisbon.", "id": "m1"}]
        memory.for_user("alex").record(said, thread_id="first", at=DAY)
        others = [{"role": "user", "content": f"[b]number {n}\x1b[31m", "id": f"n{n}"} for n in range(60)]
        memory.for_user("alex").record(others, thread_id="second", at=DAY)
        memory.flush()
        yield opened


def shown(store: ChromaStore, query: str, *, limit: int = 10, user: str = "alex") -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    console.print(hits_table(search(store, query, user_id=user, limit=limit)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_message_is_shown_with_date_thread_id_and_signals(store: ChromaStore) -> None:
    (line,) = [line for line in shown(store, "number 7") if "user in second n7 " in line]
    assert all(part in line for part in ("2024-05-01", "cosine ", "number 7"))


def test_a_fact_is_shown_with_its_id_and_the_message_it_rests_on(store: ChromaStore) -> None:
    lines = shown(store, "live in Lisbon")
    with HybridMemory(None, store=store) as memory:
        (fact,) = memory.for_user("alex").facts()
    assert any("fact from first m1" in line and "lives in Lisbon" in line for line in lines)
    assert any(f"id {fact.id} " in line for line in lines)


def test_only_the_limit_cuts_the_list(store: ChromaStore) -> None:
    assert len(search(store, "number", user_id="alex", limit=55)) == 55
    assert len(search(store, "number", user_id="alex", limit=3)) == 3


def test_hits_come_best_first(store: ChromaStore) -> None:
    scores = [hit.score for hit in search(store, "Where do I live?", user_id="alex", limit=10)]
    assert scores == sorted(scores, reverse=True)


def test_remembered_text_cannot_dress_up_the_terminal(store: ChromaStore) -> None:
    text = "\n".join(shown(store, "number 7"))
    assert "[b]number 7" in text
    assert "\x1b" not in text


def test_nobody_finds_another_users_memory(store: ChromaStore) -> None:
    assert search(store, "Lisbon", user_id="sam", limit=10) == []
