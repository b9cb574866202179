"""Of the processes that share a store one learns for a user at a time; a dead one holds nobody up for long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.leases import LEASE_SECONDS, is_shared, release_lease, take_lease
from tests.doubles.builders import ALEX, NOW
from tests.doubles.doors import Door
from tests.doubles.life import (
    AT_ONCE,
    Life,
    SharedStore,
    learning_model,
    store_in_memory,
    talking_model,
    watch_nothing,
)
from tests.unit_tests.steps.conftest import Driver

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

    from tests.doubles.doors import Mode
    from tests.doubles.scripted import ScriptedChatModel


def shared() -> BaseStore:
    return SharedStore(store_in_memory(), watch_nothing)


def live(mode: Mode, brain: ScriptedChatModel, store: BaseStore, **options: Any) -> Life:
    """One of several processes."""
    memory = HybridMemory(brain, store=store, checkpointer=InMemorySaver(), memorize=AT_ONCE, **options)
    chat = talking_model()
    return Life(memory, memory.graph(chat), chat, Door(mode))


def test_store_in_memory_is_not_shared() -> None:
    assert not is_shared(store_in_memory())
    assert is_shared(shared())


async def test_lease_is_for_one_until_it_ends(mode: Mode) -> None:
    drive, store = Driver(mode), shared()

    async def take(owner: str, seconds: float = 0, *, is_forced: bool = False) -> bool:
        now = NOW + timedelta(seconds=seconds)
        return await drive(take_lease(ALEX, store, owner=owner, now=now, is_forced=is_forced))

    assert await take("one")
    assert await take("one"), "renewed"
    assert not await take("other")
    assert await take("other", LEASE_SECONDS + 1), "its owner is dead"
    assert not await take("one", LEASE_SECONDS + 1)
    assert await take("one", LEASE_SECONDS + 1, is_forced=True)


async def test_lease_given_back_is_free(mode: Mode) -> None:
    drive, store = Driver(mode), shared()
    await drive(take_lease(ALEX, store, owner="one", now=NOW, is_forced=False))
    await drive(release_lease(ALEX, store, owner="other", now=NOW))
    assert not await drive(take_lease(ALEX, store, owner="other", now=NOW, is_forced=False)), "it was not theirs"
    await drive(release_lease(ALEX, store, owner="one", now=NOW))
    assert not store.search(("memory",))


async def test_user_another_process_learns_for_is_left_alone(mode: Mode) -> None:
    store, brain = shared(), learning_model()
    life, worker = live(mode, brain, store, extraction="manual"), live(mode, learning_model(), store)
    await life.say("I live in Lisbon.")
    scope = worker.memory.for_user("alex")._scope
    await Driver(mode)(take_lease(scope, store, owner="a third", now=worker.memory._core.now(), is_forced=False))
    status = await worker.call(worker.memory, "drain")
    assert (status.pending, status.calls) == (1, 0)
    assert (await worker.flush()).pending == 0, "who asks for it by name gets it"
    assert [fact.value for fact in await life.facts()] == ["Lisbon"]


@pytest.mark.parametrize("change", ["pin", "edit", "forget", "rebuild"])
async def test_who_learns_elsewhere_loses_the_lease_to_what_the_user_asks_for(mode: Mode, change: str) -> None:
    store, drive = shared(), Driver(mode)
    life = live(mode, learning_model(), store)
    await life.say("I live in Lisbon.")
    await life.flush()
    (fact,) = await life.facts()
    alex, now = life.memory.for_user("alex"), life.memory._core.now()
    await drive(take_lease(alex._scope, store, owner="elsewhere", now=now, is_forced=False))
    given = {"pin": [fact.id], "edit": [fact.id, "The user lives in Porto."], "forget": [fact.id]}
    await life.call(alex, change, *given.get(change, []))
    assert await drive(take_lease(alex._scope, store, owner="a third", now=now, is_forced=False)), "it was given back"


async def test_lease_ends_with_the_work(mode: Mode) -> None:
    store = shared()
    life = live(mode, learning_model(), store)
    await life.say("I live in Lisbon.")
    await life.flush()
    assert not store.search(("memory", "lease"))


async def test_draining_takes_what_others_left_but_no_open_turn(mode: Mode) -> None:
    store = shared()
    life = live(mode, learning_model(), store, extraction="manual")
    for user in ("alex", "maria"):
        await life.say("I live in Lisbon.", user=user, thread=user)
    life.chat.failures[("chat", 2)] = TimeoutError()
    try:
        await life.say("I prefer tea.")
    except TimeoutError:
        worker = live(mode, learning_model(), store)
        status = await worker.call(worker.memory, "drain")
    assert (status.pending, status.failed, status.calls) == (1, 0, 2)
    assert [[fact.value for fact in await life.facts(user)] for user in ("alex", "maria")] == [["Lisbon"]] * 2
