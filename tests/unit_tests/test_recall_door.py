"""Recall from outside a graph: within its limits, explained, in context, and never brought down by a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory import ConfigurationError, Hit, HybridMemory, RankingWeights, RecallConfig
from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.steps.compose import render
from tests.doubles.life import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.doubles.doors import Door
    from tests.doubles.embedding import WordEmbedding

HISTORY = [
    ("user", "My sister Sarah works as a nurse in Porto."),
    ("assistant", "How long has she lived in Porto?"),
    ("user", "Seven years. I visit her every spring."),
    ("user", "I always take the night train."),
    ("user", "The garden needs new roses."),
]
HOSTILE = [
    "",
    " \n\t",
    "the of and",
    '" OR 1=1 -- NEAR( * AND NOT ^ {a b} : words:',
    "(a+)+$ [[[ \\ .* (?P<x>",
    "a" * 100_000,
    "garden " * 15_000,
    "gar\x00den \x01\ufffe",
    "\ud800 lone",
    "🙂🙂 👩‍👩‍👧‍👦",
    "on 99 May 0000, 31 February, 2024-99-99, 999 years ago",
]


@pytest.fixture(params=["chroma", "dense only"])
def memory(request: pytest.FixtureRequest, tmp_path: Path, embedding: WordEmbedding) -> Iterator[HybridMemory]:
    """A memory with a short history, over our own store and over one that only searches by meaning."""
    in_memory: Any = {"dims": len(embedding.embed_query("x")), "embed": embedding, "fields": ["text"]}
    store = open_store(tmp_path, embedding=embedding) if request.param == "chroma" else InMemoryStore(index=in_memory)
    with HybridMemory(None, store=store) as made:
        made.for_user("alex").record(HISTORY, thread_id="t1")
        made.flush(SECONDS)
        yield made


async def recall(call: Door, memory: HybridMemory, query: str, **options: Any) -> list[Hit]:
    return [*await call(memory.for_user("alex"), "recall", query, **options)]


async def test_limit_and_budget_can_be_set_for_one_question(call: Door, memory: HybridMemory) -> None:
    assert len(await recall(call, memory, "When do I visit Sarah in Porto?", limit=1)) == 1
    hits = await recall(call, memory, "When do I visit Sarah in Porto?", budget_tokens=70)
    assert hits
    assert approximate_tokens(render(hits, item_tokens=160, count=approximate_tokens)) <= 70


async def test_long_message_takes_the_room_of_others_only_where_some_is_left(call: Door, memory: HybridMemory) -> None:
    lead = "We had rain again and again. " * 20
    history = [("user", f"{lead}Then Sarah rang me on day {day} about the garden.") for day in range(6)]
    memory.for_user("alex").record(history, thread_id="t2")
    memory.flush(SECONDS)

    async def told(tokens: int) -> list[str]:
        hits = await recall(call, memory, "What did Sarah say about the garden?", budget_tokens=tokens)
        return render(hits, item_tokens=160, count=approximate_tokens).splitlines()[2:-1]

    tight, roomy = await told(300), await told(2_000)
    assert len(tight) >= 5
    assert all("Sarah" in line or "garden" in line for line in tight)
    assert max(map(len, tight)) < max(map(len, roomy))


async def test_what_the_budget_leaves_goes_to_more_of_a_long_message(call: Door, memory: HybridMemory) -> None:
    long = "We walked up the volcano. " + "It rained again and again. " * 16 + "At last the sun came."
    memory.for_user("alex").record([("user", long)], thread_id="t2")
    memory.flush(SECONDS)
    hits = await recall(call, memory, "How was the walk up the volcano?", limit=1, budget_tokens=180)
    assert long in render(hits, item_tokens=160, count=approximate_tokens)


@pytest.mark.parametrize("options", [{"limit": 0}, {"budget_tokens": -1}])
async def test_limit_that_is_not_positive_is_refused(call: Door, memory: HybridMemory, options: Any) -> None:
    with pytest.raises(ConfigurationError):
        await recall(call, memory, "Where is Sarah?", **options)


async def test_explanation_says_what_each_signal_added(call: Door, memory: HybridMemory) -> None:
    (best, *_) = await recall(call, memory, "Where does Sarah work?", explain=True)
    assert sum(best.shares.values()) == pytest.approx(best.score)
    assert {"dense", "keyword", "coverage"} <= best.shares.keys()
    assert all(not hit.shares for hit in await recall(call, memory, "Where does Sarah work?"))


async def test_what_was_said_before_helps_a_question_that_leans_on_it(call: Door, memory: HybridMemory) -> None:
    before = ["Tell me about Sarah, my sister.", "Gladly."]
    hits = await recall(call, memory, "And her job?", context=before, limit=1)
    assert [hit.text for hit in hits] == [HISTORY[0][1]]


async def test_nothing_relevant_is_nothing(call: Door, memory: HybridMemory) -> None:
    assert await recall(call, memory, "Which luthier restrung the harpsichord?") == []


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
async def test_no_question_brings_recall_down(call: Door, memory: HybridMemory, query: str) -> None:
    assert len(await recall(call, memory, query, context=[query])) <= RecallConfig.limit


def test_signal_switched_off_adds_nothing(tmp_path: Path, embedding: WordEmbedding) -> None:
    config = RecallConfig(weights=RankingWeights(keyword=0))
    with open_store(tmp_path, embedding=embedding) as store, HybridMemory(None, store=store, recall=config) as made:
        made.for_user("alex").record(HISTORY, thread_id="t1")
        made.flush(SECONDS)
        hits = made.for_user("alex").recall("Where does Sarah work?", explain=True)
        assert hits
        assert all("keyword" not in hit.shares for hit in hits)
