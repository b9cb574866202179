"""What is forgotten stays so whatever another process is doing: it is let in between any two batches."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from langchain_core.language_models import FakeListChatModel

from langchain_hybrid_memory._flow import run
from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.config import ExtractConfig, SummaryConfig
from langchain_hybrid_memory.records import StoredSummary
from langchain_hybrid_memory.steps.consolidate import consolidate
from langchain_hybrid_memory.steps.extract import Meter
from langchain_hybrid_memory.steps.forget import forget_fact, forget_message, forget_thread
from langchain_hybrid_memory.steps.forget_everything import forget_everything
from langchain_hybrid_memory.steps.index import index
from langchain_hybrid_memory.steps.load import load
from langchain_hybrid_memory.steps.record import append, utterances
from langchain_hybrid_memory.steps.settle import Settlement
from langchain_hybrid_memory.steps.stage import begin, staged, swap
from langchain_hybrid_memory.steps.summarize import summarize
from langchain_hybrid_memory.steps.writes import fact_op, write
from tests.doubles.builders import ALEX, NOW, ai, extraction, facts_in, human, lives_in, messages_in
from tests.doubles.stores import InterruptedStore
from tests.unit_tests.steps.test_forget import everything_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.messages import BaseMessage

    from langchain_hybrid_memory._flow import Flow
    from tests.unit_tests.steps.conftest import Driver

    Step: TypeAlias = Callable[[InterruptedStore], Flow[Any]]

SAID = [human("h1", "Hi! I live in Lisbon, by the sea."), ai("a1", "Nice."), human("h2", "And you?"), ai("a2", "Me?")]


class Parrot(FakeListChatModel):
    """A model whose summary is all it was given."""

    def _call(self, messages: list[BaseMessage], *_: Any, **__: Any) -> str:
        return " ".join(message.text for message in messages)


def learning(store: InterruptedStore) -> Flow[Any]:
    """Draw from the first message what is known already."""
    message, found = messages_in(store)["h1"], extraction(lives_in("Lisbon"))
    return consolidate(ALEX, store, [message], found, neighbors=[], config=ExtractConfig(), now=NOW)


def indexing(store: InterruptedStore) -> Flow[Any]:
    queue = yield from load(ALEX, store)
    return (yield from index(ALEX, store, queue))


def summarizing(store: InterruptedStore) -> Flow[Any]:
    config = SummaryConfig(after_messages=2, keep_messages=1)
    return summarize(ALEX, store, Parrot(responses=[""]), config=config, count=approximate_tokens, meter=Meter())


def swapping(store: InterruptedStore) -> Flow[Any]:
    """Put in place what a rebuild has prepared."""
    run(begin(ALEX, store))
    facts = facts_in(store)
    run(write(store, [fact_op(staged(ALEX), key, fact) for key, fact in facts.items()]))
    told = StoredSummary(text="They live in Lisbon.", through_id="a1", through_position=1, messages=2)
    store.put(staged(ALEX).namespace("summaries"), "t1", dict(told), index=False)
    return swap(ALEX, store, [fact["episode"] for fact in facts.values()])


def forgetting_fact(store: InterruptedStore) -> Flow[Any]:
    (key,) = facts_in(store)
    return forget_fact(ALEX, store, key, now=NOW)


def forgetting_message(store: InterruptedStore) -> Flow[Any]:
    return forget_message(ALEX, store, "h1", now=NOW)


def forgetting_thread(store: InterruptedStore) -> Flow[Any]:
    return forget_thread(ALEX, store)


def forgetting_everything(store: InterruptedStore) -> Flow[Any]:
    return forget_everything(ALEX, store, None)


def lived() -> InterruptedStore:
    """A store in which the first message is on record and one fact is known from it."""
    store = InterruptedStore()
    run(append(utterances(SAID, now=NOW), ALEX, store, now=NOW))
    found = extraction(lives_in("Lisbon"))
    message = messages_in(store)["h1"]
    run(consolidate(ALEX, store, [message], found, neighbors=[], config=ExtractConfig(), now=NOW))
    return store


WHOLE = (forgetting_thread, forgetting_everything)


@pytest.mark.parametrize("is_outer", [True, False], ids=["forgotten meanwhile", "worked on meanwhile"])
@pytest.mark.parametrize("step", [learning, indexing, summarizing, swapping])
@pytest.mark.parametrize("forgetting", [forgetting_fact, forgetting_message, *WHOLE])
async def test_forgotten_words_do_not_come_back(drive: Driver, forgetting: Step, step: Step, *, is_outer: bool) -> None:
    for number in count():
        store = lived()
        outer, inner = (step, forgetting) if is_outer else (forgetting, step)
        flow, other = outer(store), inner(store)
        store.let_in(lambda: run(other), before=number)  # noqa: B023 - it is used up in this round
        outcome = await drive(flow)
        if not store.has_let_in:
            other.close()
            break
        assert "Lisbon" not in everything_of(store), f"before batch {number}"
        if isinstance(outcome, Settlement) and forgetting not in WHOLE:  # what is told of it afterwards
            assert not outcome.added, f"before batch {number}"
    assert number > 2


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("forgetting", [forgetting_fact, forgetting_message])
async def test_forgotten_words_that_a_killed_run_had_embedded_go_with_the_next(
    drive: Driver, forgetting: Step, after: int
) -> None:
    for number in count():
        store = lived()

        def forget_and_fail_soon(store: InterruptedStore = store) -> None:
            run(forgetting(store))
            store.fails_from = len(store.batches) + after

        store.let_in(forget_and_fail_soon, before=number)
        with suppress(ConnectionError):
            await drive(indexing(store))
        if not store.has_let_in:
            break
        store.fails_from = None
        await drive(indexing(store))
        assert "Lisbon" not in everything_of(store), f"before batch {number}"
    assert number > 2
