"""Items that live for a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.store.base import TTLConfig

from langchain_hybrid_memory.store import _client, _embedded
from langchain_hybrid_memory.store._items import microseconds

if TYPE_CHECKING:
    from langchain_hybrid_memory.store import ChromaStore
    from tests.doubles.doors import Door
    from tests.unit_tests.store.conftest import OpenStore

pytestmark = pytest.mark.parametrize("keeper", ["directory", "server"])

HOME = ("user", "alex")
OMITTING = TTLConfig(omit_expired=True, refresh_on_read=True, default_ttl=10)


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> int:
        return microseconds(self.now)

    def pass_minutes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for backend in (_embedded, _client):
        monkeypatch.setattr(backend, "_now", clock)
    return clock


async def keys(store: ChromaStore, call: Door, **options: Any) -> list[str]:
    return sorted(item.key for item in await call(store, "search", HOME, **options))


async def test_item_expires_so_many_minutes_after_it_was_written(
    open_store: OpenStore, call: Door, clock: Clock
) -> None:
    store = open_store(ttl=OMITTING)
    await call(store, "put", HOME, "short", {"text": "tea"}, ttl=5)
    await call(store, "put", HOME, "default", {"text": "tea"})
    await call(store, "put", HOME, "forever", {"text": "tea"}, ttl=None)
    clock.pass_minutes(4.99)
    assert len(await keys(store, call, refresh_ttl=False)) == 3
    clock.pass_minutes(0.02)
    assert await keys(store, call, refresh_ttl=False) == ["default", "forever"]
    clock.pass_minutes(5)
    assert await call(store, "get", HOME, "default") is None
    assert await keys(store, call, query="tea") == ["forever"]


@pytest.mark.parametrize("read", ["get", "search", "query"])
async def test_reading_prolongs(open_store: OpenStore, call: Door, clock: Clock, read: str) -> None:
    store = open_store(ttl=OMITTING)
    await call(store, "put", HOME, "k", {"text": "tea"})
    for _ in range(3):
        clock.pass_minutes(9)
        if read == "get":
            assert await call(store, "get", HOME, "k")
        else:
            assert await keys(store, call, query="tea" if read == "query" else None) == ["k"]
    clock.pass_minutes(10)
    assert await call(store, "get", HOME, "k") is None


async def test_reading_does_not_prolong_where_it_must_not(open_store: OpenStore, call: Door, clock: Clock) -> None:
    store = open_store(ttl=TTLConfig(omit_expired=True, refresh_on_read=False, default_ttl=10))
    await call(store, "put", HOME, "k", {"text": "tea"})
    clock.pass_minutes(9)
    assert await call(store, "get", HOME, "k")
    clock.pass_minutes(1)
    assert await call(store, "get", HOME, "k") is None


async def test_only_what_a_page_shows_lives_longer(open_store: OpenStore, call: Door, clock: Clock) -> None:
    store = open_store(ttl=OMITTING)
    for key in ("a", "b"):
        await call(store, "put", HOME, key, {"text": "tea"})
    clock.pass_minutes(9)
    assert await keys(store, call, limit=1) == ["b"]
    clock.pass_minutes(9)
    assert await keys(store, call) == ["b"]


async def test_update_starts_the_time_anew_and_may_end_it(open_store: OpenStore, call: Door, clock: Clock) -> None:
    store = open_store(ttl=OMITTING)
    for key in ("a", "b"):
        await call(store, "put", HOME, key, {"text": "tea"})
    clock.pass_minutes(9)
    await call(store, "put", HOME, "a", {"text": "coffee"}, ttl=None)
    await call(store, "put", HOME, "b", {"text": "coffee"})
    clock.pass_minutes(9)
    assert await keys(store, call, refresh_ttl=False) == ["a", "b"]
    clock.pass_minutes(1.01)
    assert await keys(store, call) == ["a"]


async def test_sweep_deletes_what_has_expired_and_counts_it(open_store: OpenStore, call: Door, clock: Clock) -> None:
    store = open_store(ttl=TTLConfig(default_ttl=10))
    await call(store, "put", HOME, "a", {"text": "tea"})
    await call(store, "put", HOME, "b", {"text": "tea"}, ttl=None)
    assert await call(store, "sweep_ttl") == 0
    clock.pass_minutes(10)
    assert await keys(store, call, refresh_ttl=False) == ["a", "b"]  # expired, but nobody asked to leave it out
    assert await call(store, "sweep_ttl") == 1
    assert await keys(store, call, query="tea") == ["b"]
    assert await call(store, "sweep_ttl") == 0


async def test_expired_namespace_is_not_listed(open_store: OpenStore, call: Door, clock: Clock) -> None:
    store = open_store(ttl=OMITTING)
    await call(store, "put", HOME, "k", {"text": "tea"})
    clock.pass_minutes(10)
    assert await call(store, "list_namespaces") == []


async def test_expired_key_begins_a_new_life(open_store: OpenStore, call: Door, clock: Clock) -> None:
    store = open_store(ttl=OMITTING)
    await call(store, "put", HOME, "k", {"text": "tea"})
    clock.pass_minutes(11)
    await call(store, "put", HOME, "k", {"text": "tea"})
    assert (await call(store, "get", HOME, "k")).created_at == clock.now


async def test_time_to_live_survives_reopening(open_store: OpenStore, call: Door, clock: Clock) -> None:
    store = open_store(ttl=OMITTING)
    await call(store, "put", HOME, "k", {"text": "tea"})
    store.close()
    clock.pass_minutes(10)
    assert await call(open_store(ttl=OMITTING), "get", HOME, "k") is None


async def test_interval_sweeps_when_the_store_is_next_used(
    open_store: OpenStore, call: Door, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    uptime = [1000.0]
    monkeypatch.setattr("langchain_hybrid_memory.store._expiry.time.monotonic", lambda: uptime[0])
    store = open_store(ttl=TTLConfig(default_ttl=1, sweep_interval_minutes=5, refresh_on_read=False))
    await call(store, "put", HOME, "k", {"text": "tea"})
    clock.pass_minutes(2)
    uptime[0] += 299
    assert await call(store, "get", HOME, "k")
    uptime[0] += 1
    assert await call(store, "get", HOME, "k") is None
