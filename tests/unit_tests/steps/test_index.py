"""What was recorded becomes findable by meaning, without any model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langgraph.store.base import PutOp

from langchain_hybrid_memory.steps.index import EPISODES_A_BATCH, index
from langchain_hybrid_memory.steps.load import load
from langchain_hybrid_memory.steps.record import append, utterances
from langchain_hybrid_memory.steps.writes import write
from tests.doubles.builders import ALEX, NOW, ai, human, messages_in, queue_of, turns

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from tests.doubles.embedding import WordEmbedding
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver


async def recorded(drive: Driver, store: WatchedStore, *messages: AnyMessage, learns: bool = True) -> None:
    await drive(append(utterances(messages, now=NOW), ALEX, store, now=NOW, learns=learns))


async def indexed(drive: Driver, store: WatchedStore) -> int:
    queue = await drive(load(ALEX, store))
    return await drive(index(ALEX, store, queue))


def scored(store: WatchedStore, query: str) -> list[str]:
    return [hit.key for hit in store.search(ALEX.namespace("messages"), query=query) if hit.score and hit.score > 0.5]


async def test_recorded_message_becomes_searchable(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", "I live in Lisbon"), ai("a1", "Nice city"))
    assert scored(store, "live in Lisbon") == []
    assert await indexed(drive, store) == 2
    assert scored(store, "live in Lisbon") == ["h1"]
    assert all(message["is_indexed"] for message in messages_in(store).values())


async def test_indexed_episode_still_waits_for_extraction(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, *turns(1, 1))
    await indexed(drive, store)
    (entry,) = queue_of(store).values()
    assert (entry["is_indexed"], entry["is_complete"], entry["attempts"]) == (True, True, 0)


async def test_what_was_recorded_without_a_model_is_done_when_it_is_indexed(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, *turns(1, 3), learns=False)
    assert await indexed(drive, store) == 6
    assert queue_of(store) == {}


async def test_indexing_again_embeds_nothing(drive: Driver, store: WatchedStore, embedding: WordEmbedding) -> None:
    await recorded(drive, store, *turns(1, 2))
    await indexed(drive, store)
    before = (messages_in(store), queue_of(store), len(embedding.calls))
    assert await indexed(drive, store) == 0
    assert (messages_in(store), queue_of(store), len(embedding.calls)) == before


async def test_only_what_a_turn_added_is_embedded(drive: Driver, store: WatchedStore, embedding: WordEmbedding) -> None:
    await recorded(drive, store, human("h1"))
    await indexed(drive, store)
    await recorded(drive, store, human("h1"), ai("a1"))
    embedding.calls.clear()
    assert await indexed(drive, store) == 1
    assert embedding.calls == [("words of a1",)]


async def test_interrupted_indexing_is_finished_by_the_next(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, *turns(1, EPISODES_A_BATCH + 1))
    store.forget_calls()
    store.fails_from = 4  # the queue, the messages of the first batch, their marks, its writes
    with pytest.raises(ConnectionError):
        await indexed(drive, store)
    store.fails_from = None
    assert await indexed(drive, store) == 2
    assert all(message["is_indexed"] for message in messages_in(store).values())


async def test_equal_texts_are_each_indexed(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", "ok"), ai("a1", "ok"), human("h2", "ok"), ai("a2", "fine"))
    assert await indexed(drive, store) == 4
    assert set(scored(store, "ok")) == {"h1", "a1", "h2"}


async def test_message_that_is_gone_does_not_hold_up_the_queue(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, *turns(1, 1))
    store.delete(ALEX.thread_messages("t1"), "a1")
    assert await indexed(drive, store) == 1
    assert all(entry["is_indexed"] for entry in queue_of(store).values())


async def test_unlike_texts_are_written_in_one_batch(drive: Driver, store: WatchedStore) -> None:
    ops = [PutOp(("n",), key, {"text": key}, index=["text"]) for key in "abc"]
    await drive(write(store, [*ops, PutOp(("q",), "done", None)]))
    assert len(store.writes) == 1
    await drive(write(store, []))
    assert len(store.batches) == 1


async def test_equal_texts_take_as_few_batches_as_they_can_and_marks_come_last(
    drive: Driver, store: WatchedStore
) -> None:
    ops = [PutOp(("n",), str(n), {"text": text}, index=["text"]) for n, text in enumerate("aabacb")]
    await drive(write(store, [PutOp(("q",), "done", {"text": "a"}, index=False), *ops]))
    assert [[op.key for op in batch] for batch in store.writes] == [["0", "2", "4"], ["1", "5"], ["3", "done"]]
