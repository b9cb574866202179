"""Whatever a message, a user or a model is made to be: what is asked, stored and shown stays within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import ExtractConfig, HybridMemory, RecallConfig, RecordConfig
from langchain_hybrid_memory._flow import run
from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.prompts.extraction import ExtractedEntity, Extraction
from langchain_hybrid_memory.steps.consolidate import consolidate
from langchain_hybrid_memory.steps.ground import ground, within_limits
from langchain_hybrid_memory.steps.recall import shortened
from tests.doubles.builders import ALEX, NOW, facts_in, know, known_fact, lives_in, open_threads, said
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import SECONDS, configured, learning_model, store_in_memory, talking_model
from tests.doubles.stores import WatchedStore

if TYPE_CHECKING:
    from tests.doubles.doors import Door

MEGABYTE = 1_000_000
HOSTILE = {
    "one word": "a",
    "words": "lorem ipsum ",
    "questions": "why? ",
    "dates": "on 27 April 2024 ",
    "brackets": "([{<",
    "wide": "\u6211",
}
RECALL, EXTRACT = RecallConfig(), ExtractConfig()
ROOM = 1_500
"""Tokens an extraction prompt takes beside its messages, see `Report.largest_prompt`."""


def entity(name: str, *aliases: str) -> ExtractedEntity:
    return ExtractedEntity(name=name, type="person", aliases=list(aliases))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_megabyte_of_text_costs_no_more_than_its_share(call: Door, text: str) -> None:
    store, brain, chat = store_in_memory(), learning_model(), talking_model(replies=lambda _: "Yes.")
    memory = HybridMemory(brain, store=store, checkpointer=InMemorySaver(), extraction="manual")
    huge = (text * MEGABYTE)[:MEGABYTE]
    for each, thread in ((huge, "first"), (f"{huge[:5_000]}?", "second")):
        await call(memory.graph(chat), "invoke", {"messages": [("user", each)]}, configured("alex", thread))
        await call(memory, "flush", SECONDS)
    kept = store.search(("memory", "user", "alex", "messages"), limit=10)
    assert max(len(item.value["text"]) for item in kept) == RecordConfig().max_characters
    assert all(
        approximate_tokens(made.prompt) <= ROOM + EXTRACT.batch_tokens + 200 for made in brain.calls_of("structured")
    )
    shown = approximate_tokens(chat.calls[-1].prompt) - approximate_tokens(f"{huge[:5_000]}?")
    assert shown <= RECALL.budget_tokens + 10
    assert memory.status().last_error is None


@pytest.mark.timeout(120)
def test_hundred_thousand_entities_and_facts_of_a_model_are_dropped_and_counted() -> None:
    store = WatchedStore(WordEmbedding())
    names = " ".join(f"N{number}" for number in range(1_000))
    message = said("m1", f"I live in Lisbon. {names}")
    answer = Extraction(
        facts=[lives_in("Lisbon")] * 100_000,
        entities=[entity(f"N{number}", *(f"alias {n}" for n in range(50))) for number in range(1_000)] * 100,
    )
    open_threads(store, message)
    settled = run(consolidate(ALEX, store, [message], answer, neighbors=[], config=EXTRACT, now=NOW))
    assert settled.rejected["too many"] == 2 * 100_000 - EXTRACT.max_facts - EXTRACT.max_entities
    kept = store.search(ALEX.namespace("entities"), limit=1_000)
    assert len(kept) == EXTRACT.max_entities
    assert max(len(item.value["aliases"]) for item in kept) == EXTRACT.max_aliases
    assert len(facts_in(store)) == 1
    assert sum(len(ops) for ops in store.writes) < 100


def test_what_is_too_long_is_dropped_and_counted() -> None:
    long = "x" * (EXTRACT.max_characters + 1)
    answer = Extraction(facts=[], entities=[entity(long), entity("Sarah", long, "Sal")])
    kept, rejected = within_limits(answer, EXTRACT)
    assert ([each.aliases for each in kept.entities], dict(rejected)) == ([["Sal"]], {"too long": 1})
    for field in ("fact", "value", "subject"):
        claim = lives_in("Lisbon", **{field: long})
        assert ground([claim], [said("m1", "I live in Lisbon")], aliases={}, config=EXTRACT) == ([], {"too long": 1})


def test_long_question_is_searched_for_by_its_ends() -> None:
    config = RecallConfig(question_characters=10)
    assert shortened("0123456789", config) == "0123456789"
    assert shortened("0123456789a", config) == "01234\n6789a"


def test_ten_thousand_facts_fill_a_prompt_no_further_than_its_budget() -> None:
    store, chat = store_in_memory(), talking_model(replies=lambda _: "Yes.")
    texts = [f"The user has been to town {number} with friend {number % 97}." for number in range(10_000)]
    facts = {f"f{n}": known_fact(text, attribute="event", value=f"town {n}") for n, text in enumerate(texts)}
    know(store, ALEX, **facts)
    memory = HybridMemory(None, store=store, extraction="manual", recall=RecallConfig(deadline_seconds=60))
    question = "Which town have I been to with friend 7?"
    graph: Any = memory.graph(chat)
    graph.invoke({"messages": [("user", question)]}, configured(ALEX.user_id, "t1"))
    shown = chat.calls[0].prompt
    assert 0 < shown.count("\n- [") <= RECALL.limit
    assert approximate_tokens(shown) - approximate_tokens(question) <= RECALL.budget_tokens + 10
