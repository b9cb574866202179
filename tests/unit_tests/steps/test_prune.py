"""Pruning takes out whole turns, and only what is summarized, extracted and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory.records import fingerprint
from langchain_hybrid_memory.redaction import keep_everything
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.prune import prune
from langchain_hybrid_memory.steps.record import record
from tests.doubles.builders import ALEX, NOW, ai, human, result, state, system, turns

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from langchain_hybrid_memory.state import MemoryUpdate
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver


def learn(store: WatchedStore, *, but: tuple[str, ...] = ()) -> None:
    """Empty the queue, but for the turns that begin with these messages."""
    kept = {fingerprint("t1", message_id) for message_id in but}
    for item in store.search(ALEX.pending, limit=100):
        if item.value["episode"] not in kept:
            store.delete(item.namespace, item.key)


def summarize(store: WatchedStore, through: str, position: int) -> None:
    digest = {"text": "They talked.", "through_id": through, "through_position": position, "messages": position + 1}
    store.put(ALEX.namespace("summaries"), "t1", digest, index=False)


async def pruned(drive: Driver, store: WatchedStore, *messages: AnyMessage, **channels: Any) -> list[str]:
    """Ids of what is taken out of a thread."""
    update: MemoryUpdate = await drive(
        prune(state(*messages, **channels), ALEX, store, now=NOW, redact=keep_everything)
    )
    return [str(message.id) for message in update.get("messages", [])]


@pytest.fixture
async def thread(drive: Driver, store: WatchedStore) -> list[AnyMessage]:
    """Four turns on record."""
    messages = turns(1, 4)
    await drive(record(state(*messages), ALEX, store, now=NOW))
    return messages


async def test_turns_before_the_end_of_the_summary_go(
    drive: Driver, store: WatchedStore, thread: list[AnyMessage]
) -> None:
    summarize(store, "a3", 5)
    learn(store)
    assert await pruned(drive, store, *thread) == ["h1", "a1", "h2", "a2"]


async def test_without_a_summary_all_stay(drive: Driver, store: WatchedStore, thread: list[AnyMessage]) -> None:
    learn(store)
    assert await pruned(drive, store, *thread) == []


async def test_turn_that_waits_to_be_learned_stays(
    drive: Driver, store: WatchedStore, thread: list[AnyMessage]
) -> None:
    summarize(store, "a3", 5)
    learn(store, but=("h1",))
    assert await pruned(drive, store, *thread) == ["h2", "a2"]


async def test_turn_that_is_not_on_record_stays(drive: Driver, store: WatchedStore, thread: list[AnyMessage]) -> None:
    summarize(store, "a3", 5)
    learn(store)
    store.delete(ALEX.thread_messages("t1"), "a2")
    assert await pruned(drive, store, human("silent"), *thread) == ["h1", "a1"]


async def test_turn_behind_the_summary_stays_wherever_it_stands(
    drive: Driver, store: WatchedStore, thread: list[AnyMessage]
) -> None:
    summarize(store, "a2", 3)
    learn(store)
    assert await pruned(drive, store, *thread[4:6], *thread[:4], *thread[6:]) == ["h1", "a1"]


async def test_message_that_was_edited_after_it_was_summarized_stays(
    drive: Driver, store: WatchedStore, thread: list[AnyMessage]
) -> None:
    summarize(store, "a3", 5)
    learn(store)
    edited = [human("h1", "other words"), *thread[1:]]
    assert await pruned(drive, store, *edited) == ["h2", "a2"], "the log does not have these words"
    known = {"recorded_through": "a4", "branch": {"tip": "a4", "position": 7, "digest": "of other words"}}
    await drive(record(state(*edited, **known), ALEX, store, now=NOW))  # type: ignore[arg-type]  # as a test writes it
    learn(store)
    assert await pruned(drive, store, *edited) == ["h2", "a2"], "the summary does not have them"


async def test_calls_go_with_their_results_or_not_at_all(drive: Driver, store: WatchedStore) -> None:
    loop = [human("h2"), ai("a2", "", calls=("c", "d")), result("t2", "c"), result("t3", "d"), ai("a3")]
    split = [human("h4"), ai("a4", "", calls=("e",)), human("h5"), result("t5", "e"), ai("a5")]
    messages = [*turns(1, 1), *loop, *split, *turns(6, 8)]
    await drive(record(state(*messages), ALEX, store, now=NOW))
    summarize(store, "a6", 13)
    learn(store)
    ids = [str(message.id) for message in messages]
    assert await pruned(drive, store, *messages) == ids[: ids.index("h6")]
    learn(store)
    store.delete(ALEX.thread_messages("t1"), "a5")
    assert await pruned(drive, store, *messages) == ids[: ids.index("h4")], "h4 and h5 are one, for the call's sake"


async def test_system_messages_and_those_of_a_middleware_stay(drive: Driver, store: WatchedStore) -> None:
    made = human("made", "So far.", additional_kwargs={"lc_source": "summarization"})
    messages = [system("s"), made, *turns(1, 2)]
    await drive(record(state(*messages), ALEX, store, now=NOW))
    summarize(store, "a2", 5)
    learn(store)
    assert await pruned(drive, store, *messages) == ["h1", "a1"]


async def test_queue_of_another_thread_keeps_nothing_here(
    drive: Driver, store: WatchedStore, thread: list[AnyMessage]
) -> None:
    summarize(store, "a3", 5)
    learn(store)
    other = Scope(user_id=ALEX.user_id, thread_id="t2")
    await drive(record(state(*thread), other, store, now=NOW))
    assert await pruned(drive, store, *thread) == ["h1", "a1", "h2", "a2"]


@pytest.mark.parametrize(("artifact", "kept"), [({"memory": "search_memory"}, []), (None, ["h1", "c1", "r1", "a1"])])
async def test_what_memory_told_the_model_keeps_no_turn(
    drive: Driver, store: WatchedStore, artifact: Any, kept: list[str]
) -> None:
    told = result("r1", "call").model_copy(update={"artifact": artifact})
    first = [human("h1"), ai("c1", "", calls=("call",)), told, ai("a1")]
    messages = [*first, *turns(2, 4)]
    await drive(record(state(*messages), ALEX, store, now=NOW))
    store.delete(ALEX.thread_messages("t1"), "r1")
    summarize(store, "a3", 7)
    learn(store)
    gone = await pruned(drive, store, *messages)
    assert gone == [str(message.id) for message in messages[:6] if message.id not in kept]
