"""What waits, and what of it may be worked on now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.records import Pending
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.load import (
    LONGEST_RETRY_SECONDS,
    Episode,
    failed,
    load,
    load_messages,
    ready,
    seconds_to_retry,
)
from tests.doubles.builders import ALEX, NOW, entry, iso, keep, queued, said

if TYPE_CHECKING:
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver

SAM = Scope(user_id="sam", thread_id="t1")


def enqueue(store: WatchedStore, *entries: Pending, scope: Scope = ALEX) -> None:
    for each in entries:
        store.put(scope.pending, f"{each['episode']}-{each['message_ids'][-1]}", dict(each), index=False)


def chosen(*queue: Episode, tried: tuple[str, ...] = (), is_forced: bool = False, **config: Any) -> list[str]:
    found = ready(queue, tried=tried, config=ExtractConfig(**config), now=NOW, is_forced=is_forced)
    return [episode["key"] for episode in found]


async def test_empty_queue_has_no_episodes(drive: Driver, store: WatchedStore) -> None:
    assert await drive(load(ALEX, store)) == []


async def test_oldest_episode_comes_first(drive: Driver, store: WatchedStore) -> None:
    enqueue(
        store,
        entry("b", "m2", recorded_at=iso(1)),
        entry("c", "m3", recorded_at=iso(-1)),
        entry("a", "m1", recorded_at=iso(1)),
    )
    assert [episode["key"] for episode in await drive(load(ALEX, store))] == ["c", "a", "b"]


async def test_entries_of_one_turn_become_one_episode(drive: Driver, store: WatchedStore) -> None:
    asked = entry("e", "h1", is_complete=False, is_indexed=True, attempts=2)
    enqueue(store, entry("e", "h1", "a1", recorded_at=iso(1)), asked)
    (episode,) = await drive(load(ALEX, store))
    assert episode["message_ids"] == ["h1", "a1"]
    assert (episode["is_complete"], episode["attempts"], episode["recorded_at"]) == (True, 2, iso(0))
    assert set(episode["entries"]) == {"e-h1", "e-a1"}


async def test_answers_of_two_branches_are_both_worked_on(drive: Driver, store: WatchedStore) -> None:
    enqueue(store, entry("e", "h1", "a1"), entry("e", "h1", "again", recorded_at=iso(1)))
    (episode,) = await drive(load(ALEX, store))
    assert episode["message_ids"] == ["h1", "a1", "again"]


async def test_queue_of_another_user_is_not_read(drive: Driver, store: WatchedStore) -> None:
    enqueue(store, entry("e", "h1", user=SAM.user_id), scope=SAM)
    enqueue(store, entry("f", "h2", user=SAM.user_id))
    assert await drive(load(ALEX, store)) == []


async def test_messages_come_in_the_order_of_episodes_and_thread(drive: Driver, store: WatchedStore) -> None:
    keep(store, *(said(key, key) for key in ("a2", "h1", "h2", "a1")))
    keep(store, said("h1", "sam's"), scope=SAM)
    episodes = [queued("2", message_ids=["h2", "a2"]), queued("1", message_ids=["h1", "gone", "a1", "h1"])]
    found = await drive(load_messages(ALEX, store, episodes))
    assert [message["text"] for message in found] == ["h2", "a2", "h1", "a1"]


def test_untroubled_episodes_are_ready_oldest_first() -> None:
    assert chosen(queued("a"), queued("b"), queued("failed", attempts=1)) == ["a", "b"]
    assert chosen() == []


def test_failed_episodes_come_last_and_alone() -> None:
    failed = [queued("a", attempts=2), queued("b", attempts=1)]
    assert chosen(*failed) == ["a"]
    assert chosen(*failed, tried=("a",)) == ["b"]
    assert chosen(*failed, tried=("a", "b")) == []


def test_failed_episode_waits_for_its_next_attempt() -> None:
    troubled = queued("a", attempts=1, retry_at=iso(1 / 86_400))
    assert chosen(troubled) == []
    assert chosen(troubled, is_forced=True) == ["a"]
    assert chosen(troubled, is_forced=True, tried=("a",)) == [], "not twice in one run"
    assert chosen(queued("a", attempts=1, retry_at=iso(0))) == ["a"]


def test_each_failure_doubles_the_wait_up_to_a_day() -> None:
    waits = []
    entry_ = entry("e", "h1")
    for _ in range(100):
        entry_ = failed(entry_, error="TimeoutError", retry_seconds=30, now=NOW)
        waits.append(seconds_to_retry(queued("e", retry_at=entry_["retry_at"]), now=NOW))
    assert waits[:4] == [30, 60, 120, 240]
    assert waits[-1] == LONGEST_RETRY_SECONDS
    assert (entry_["attempts"], entry_["error"]) == (100, "TimeoutError")


@pytest.mark.parametrize(("seconds_ago", "is_ready"), [(0, False), (599, False), (601, True)])
def test_open_turn_waits(seconds_ago: int, *, is_ready: bool) -> None:
    turn = queued("open", is_complete=False, recorded_at=iso(-seconds_ago / 86_400))
    assert chosen(turn) == ["open"] * is_ready
    assert chosen(turn, is_forced=True) == ["open"]


def test_wait_for_an_open_turn_can_be_set() -> None:
    turn = queued("open", is_complete=False, recorded_at=iso(-2 / 86_400))
    assert chosen(turn, open_turn_seconds=1) == ["open"]
