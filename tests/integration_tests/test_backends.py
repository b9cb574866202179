"""Law 12: any store, any checkpointer: a person is known after a restart, corrected, and forgotten."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.scope import Scope
from tests.doubles.doors import Door
from tests.doubles.everywhere import CHECKPOINTERS, STORES, Backends, skip_what_cannot_run
from tests.doubles.life import AT_ONCE, INTRODUCTION, KNOWN, Life, close, count, learning_model, talking_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from chromadb.api import ClientAPI

    from tests.doubles.doors import Mode


@pytest.fixture
def backends(mode: Mode, tmp_path: Path, postgres: str, chroma_client: ClientAPI) -> Backends:
    """Everything that outlives a process."""
    return Backends(mode, tmp_path, postgres, chroma_client)


@asynccontextmanager
async def life_over(backends: Backends, mode: Mode, store: str, checkpointer: str, seed: int) -> AsyncIterator[Life]:
    """Run a process over these two."""
    async with backends.store(store) as opened, backends.checkpointer(checkpointer) as saver:
        memory = HybridMemory(learning_model(seed=seed), store=opened, checkpointer=saver, memorize=AT_ONCE)
        chat = talking_model()
        yield Life(memory, memory.graph(chat), chat, Door(mode))
        await close(memory, mode)


@pytest.mark.parametrize("checkpointer", CHECKPOINTERS)
@pytest.mark.parametrize("store", STORES)
async def test_whole_conversation(backends: Backends, mode: Mode, store: str, checkpointer: str) -> None:
    skip_what_cannot_run(store)
    reopened = partial(life_over, backends, mode, store, checkpointer)
    async with reopened(seed=0) as life:
        for text in INTRODUCTION:
            await life.say(text)
        assert (await life.flush()).pending == 0
    async with reopened(seed=100) as life:
        await life.say("What do you know about Sarah?", thread="second")
        assert all(word in life.prompt for word in ("Google", "software engineer", "3 years"))
        await life.say("Actually I moved to Porto last week.")
        assert (await life.flush()).pending == 0
    async with reopened(seed=200) as life:
        await life.say("Where do I live?", thread="third")
        assert "moved to Porto" in life.prompt
        assert "The user lives in Lisbon" not in life.prompt
        facts = await life.facts(current_only=False)
        assert [count(facts, words) for words in KNOWN] == [1] * len(KNOWN)
        assert [fact.value for fact in facts if fact.is_superseded] == ["Lisbon"]
        receipt = await life.call(life.memory.for_user("alex"), "forget_everything")
        is_clean = (store in {"memory", "memory without vectors", "chroma"}, checkpointer == "sqlite")
        assert len(receipt.remaining) == is_clean.count(False)
        assert not await life.call(life.memory.store, "search", ("memory",), limit=1_000)
        await life.say("Where do I live?", thread="first")
        assert "Porto" not in life.prompt


@pytest.mark.parametrize("store", STORES)
async def test_everything_is_learned_again_over_any_store(backends: Backends, mode: Mode, store: str) -> None:
    skip_what_cannot_run(store)
    async with life_over(backends, mode, store, "sqlite", seed=0) as life:
        alex = life.memory.for_user("alex")
        for text in (*INTRODUCTION, "Actually I moved to Porto last week."):
            await life.call(alex, "record", [("user", text)], thread_id="first")
        await life.flush()
        before = [(fact.value, fact.valid_at, fact.invalid_at) for fact in await life.facts(current_only=False)]
        rebuilt = await life.call(alex, "rebuild")
        after = [(fact.value, fact.valid_at, fact.invalid_at) for fact in await life.facts(current_only=False)]
        assert Counter(after) == Counter(before)
        assert rebuilt.facts == len(before) > len(await life.facts())
        assert not await life.call(life.memory.store, "search", Scope(user_id="alex").stage)


@pytest.mark.parametrize("store", ["memory without vectors", "sqlite without vectors"])
async def test_store_without_vectors_finds_old_words_among_many(backends: Backends, mode: Mode, store: str) -> None:
    async with life_over(backends, mode, store, "sqlite", seed=0) as life:
        alex = life.memory.for_user("alex")
        await life.call(alex, "record", [("user", "The boiler man is called Ferdinand.")], thread_id="first")
        for number in range(4):
            many = [("user", f"Remark {number} {again} about nothing.") for again in range(50)]
            await life.call(alex, "record", many, thread_id=f"thread {number}")
        await life.flush()
        hits = await life.call(alex, "recall", "What is the boiler man called?")
        assert hits[0].text == "The boiler man is called Ferdinand."
