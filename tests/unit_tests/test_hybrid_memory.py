"""`HybridMemory` checks its settings when it is built, opens nothing too early, and closes what it opened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory import (
    BufferConfig,
    ChromaStore,
    ConfigurationError,
    HybridMemory,
    MissingUserError,
    StorageError,
)
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import SECONDS, learning_model, store_in_memory, talking_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.doubles.doors import Door


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_default(**options: Any) -> HybridMemory:
    """A memory to which no store was given."""
    return HybridMemory(None, embedding=WordEmbedding(), **options)


def test_unknown_extraction_mode_is_refused() -> None:
    mode: Any = "later"
    with pytest.raises(ConfigurationError, match="extraction is 'later'"):
        HybridMemory(None, store=InMemoryStore(), extraction=mode)


@pytest.mark.parametrize("model", ["gpt-imaginary", "nobody:nothing", "openai:gpt-5-mini"])
def test_model_that_cannot_be_set_up_is_refused_when_built(model: str) -> None:
    """The last one lacks its key."""
    with pytest.raises(ConfigurationError, match=f"cannot use the chat model '{model}': "):
        HybridMemory(model, store=InMemoryStore())


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"model": ""}, "the chat model has no name"),
        ({"model": learning_model().with_retry()}, "model is of type RunnableRetry; pass a chat model itself"),
        ({"store": object()}, "store is of type object; pass a directory, or a store"),
        ({"embedding": 3}, "embedding is of type int"),
        ({"recall": {"limit": 3}}, r"recall is of type dict; pass RecallConfig\(...\)"),
        ({"recall": BufferConfig()}, r"recall is of type BufferConfig; pass RecallConfig\(...\)"),
    ],
)
def test_what_would_fail_later_is_refused_when_built(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        HybridMemory(**setting)


def test_repr_names_model_and_store() -> None:
    assert "ScriptedChatModel" in repr(HybridMemory(learning_model(), store=store_in_memory()))
    assert "a store opened when needed" in repr(HybridMemory(None))


def test_nothing_is_opened_before_it_is_needed(home: Path) -> None:
    memory = by_default()
    memory.for_user("alex")
    memory.graph(talking_model())
    memory.middleware()
    memory.memorize_graph()
    memory.close()
    assert not list(home.iterdir())


async def test_store_is_opened_by_default_and_says_where(
    call: Door, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = by_default()
    assert (await call(memory, "status")).pending == 0
    assert await call(memory.for_user("alex"), "recall", "anything") == []
    assert str(home / ".hybrid-memory") in caplog.text
    assert caplog.text.count("no store was given") == 1
    await close(call, memory)


async def test_default_store_is_kept_closed_and_found_again(call: Door, home: Path) -> None:
    for text in ("I live in Lisbon.", "I prefer tea."):
        memory = by_default()
        await call(memory.for_user("alex"), "record", [("user", text)], thread_id="first")
        await call(memory, "flush", SECONDS)
        store = memory.store
        await close(call, memory)
        with pytest.raises(StorageError, match="is closed"):
            await call(store, "get", ("memory",), "anything")
    with ChromaStore.open(home / ".hybrid-memory", index={"embed": WordEmbedding(), "fields": ["text"]}) as store:
        found = store.search(("memory", "user", "alex", "messages"))
    assert {item.value["text"] for item in found} == {"I live in Lisbon.", "I prefer tea."}


async def test_memory_may_be_used_again_after_closing(call: Door, home: Path) -> None:
    memory = by_default()
    for number in range(2):
        new = await call(memory.for_user("alex"), "record", [("user", f"I am {number}.")], thread_id="first")
        assert new == 1
        await close(call, memory)
        await close(call, memory)
    assert (home / ".hybrid-memory").is_dir()


async def test_store_may_be_named_by_its_directory(
    call: Door, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = HybridMemory(None, store=tmp_path / "mine", embedding=WordEmbedding())
    await call(memory.for_user("alex"), "record", [("user", "I live in Lisbon.")], thread_id="first")
    store = memory.store
    assert repr(store) == f"ChromaStore({str(tmp_path / 'mine')!r})"
    await close(call, memory)
    with pytest.raises(StorageError, match="is closed"):
        await call(store, "get", ("memory",), "anything")
    assert not caplog.text


async def test_given_store_stays_open(call: Door, tmp_path: Path) -> None:
    with ChromaStore.open(tmp_path, index={"embed": WordEmbedding(), "fields": ["text"]}) as store:
        memory = HybridMemory(None, store=store)
        await call(memory, "status")
        await close(call, memory)
        assert store.search(("memory",)) == []


@pytest.mark.usefixtures("home")
async def test_two_memories_of_one_directory_share_it() -> None:
    """As when a cell of a notebook is run again."""
    first, second = by_default(), by_default()
    first.for_user("alex").record([("user", "I live in Lisbon.")], thread_id="first")
    assert first.flush(SECONDS).pending == 0
    assert [hit.text for hit in second.for_user("alex").recall("Lisbon")] == ["I live in Lisbon."]
    first.close()
    assert second.status().pending == 0
    second.close()


@pytest.mark.usefixtures("home")
async def test_memory_without_a_store_may_be_asked_inside_a_chain(call: Door) -> None:
    memory = by_default()

    async def aask(_: str) -> int:
        return (await memory.astatus()).pending

    chain: RunnableLambda[str, int] = RunnableLambda(lambda _: memory.status().pending, aask)
    assert await call(chain, "invoke", "how much waits?") == 0
    await close(call, memory)


def test_model_for_internal_calls_does_not_stream_and_the_given_one_still_does() -> None:
    model = learning_model()
    memory = HybridMemory(model, store=store_in_memory())
    assert memory._core.model is not None
    assert memory._core.model.disable_streaming is True
    assert model.disable_streaming is False


@pytest.mark.parametrize("user", ["", None, 7])
def test_nobody_has_no_memory(user: Any) -> None:
    with pytest.raises(MissingUserError, match="user_id is"):
        HybridMemory(None, store=InMemoryStore()).for_user(user)


async def test_roots_are_kept_apart(call: Door) -> None:
    store = store_in_memory()
    mine, theirs = (HybridMemory(None, store=store, root=root) for root in ("mine", "theirs"))
    await call(mine.for_user("alex"), "record", [("user", "I live in Lisbon.")], thread_id="first")
    await call(mine, "flush", SECONDS)
    assert await call(theirs.for_user("alex"), "recall", "Lisbon") == []
    assert {item.namespace[0] for item in store.search(())} == {"mine"}


async def test_secret_is_taken_out_before_anything_is_remembered(call: Door) -> None:
    store, brain = store_in_memory(), learning_model()
    memory = HybridMemory(brain, store=store, redact=lambda text: text.replace("hunter2", "[secret]"))
    said = [("user", "My password is hunter2."), ("assistant", "hunter2 it is."), ("user", "I live in Lisbon.")]
    await call(memory.for_user("alex"), "record", said, thread_id="first")
    await call(memory, "flush", SECONDS)
    assert "hunter2" not in repr([item.value for item in store.search((), limit=100)])
    assert "hunter2" not in brain.calls[0].prompt
    assert "[secret]" in brain.calls[0].prompt


async def close(call: Door, memory: HybridMemory) -> None:
    await (memory.aclose() if call.mode == "async" else asyncio.to_thread(memory.close))
