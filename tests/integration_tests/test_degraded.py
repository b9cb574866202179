"""A turn whose store or embedding is away, slow or read-only answers all the same, says so, and is made up for."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory import RecallConfig, SummaryConfig
from tests.doubles.backends import embedded
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import SECONDS, WatchedStore, configured, learning_model, open_life

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from langgraph.store.base import Op, Result

    from tests.doubles.doors import Mode
    from tests.doubles.life import Life

DEADLINE = RecallConfig(deadline_seconds=0.5)
EARLY = ("I live in Lisbon.", "I prefer tea.", "My friend Sarah works at Google.")
MISSED = "I prefer milk."
LATER = "I'm planning a trip to Japan in March."
LATE = "no answer within 0.5 seconds"


class TroubledStore(WatchedStore):
    """A store in front of which something may stand: an error, or a gate that is shut."""

    error: Exception | None = None
    gate: threading.Event

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        if self.error is not None:
            raise self.error
        assert self.gate.wait(SECONDS)
        return super().batch(ops)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        if self.error is not None:
            raise self.error
        while not self.gate.is_set():  # noqa: ASYNC110 - threads and event loops share the gate
            await asyncio.sleep(0.005)
        return await super().abatch(ops)


class TroubledEmbedding(WordEmbedding):
    """An embedding that may be kept from answering."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        assert self.gate.wait(SECONDS)
        return super().embed_documents(texts)

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        return (await self.aembed_documents([text]))[0]


class Trouble:
    """One way in which memory is out of reach, to be begun and ended."""

    def __init__(self, kind: str, embedding: TroubledEmbedding) -> None:
        self.kind = kind
        self.embedding = embedding

    def begin(self, life: Life) -> None:
        store: Any = life.memory.store
        if self.kind == "store down":
            store.error = ConnectionError("secret words")
        elif self.kind == "store read-only":
            self._take_writes(life, takes=False)
        elif self.kind == "store slow":
            store.gate.clear()
        elif self.kind == "embedding down":
            self.embedding.error = ConnectionError("secret words")
        else:
            self.embedding.gate.clear()

    def end(self, life: Life) -> None:
        store: Any = life.memory.store
        store.error = self.embedding.error = None
        store.gate.set()
        self.embedding.gate.set()
        self._take_writes(life, takes=True)

    def _take_writes(self, life: Life, *, takes: bool) -> None:
        """Let the store's files be written or not, as SQLite sees it."""
        store: Any = life.memory.store
        embedded(store.store)._catalog._writer.execute(f"PRAGMA query_only={int(not takes)}")


WHY = {
    "store down": "ConnectionError",
    "store slow": LATE,
    "embedding down": "ConnectionError",
    "embedding slow": LATE,
    "store read-only": None,
}
"""What a turn says of its recall; a store that is only read-only can be asked."""


def troubled(path: Path, mode: Mode, embedding: TroubledEmbedding, **options: Any) -> Any:
    """Open a life whose store and embedding may be troubled."""
    TroubledStore.gate = threading.Event()
    TroubledStore.gate.set()
    options = {"summary": SummaryConfig(after_messages=4, keep_messages=1), "recall": DEADLINE, **options}
    return open_life(mode, path, brain=learning_model(), embedding=embedding, shell=TroubledStore, **options)


async def events_of(life: Life, text: str, **config: Any) -> list[Any]:
    """Say something and return the custom events of the turn."""
    asked = {"messages": [("user", text)]}
    config = configured("alex", "first", **config)
    return await life.call.collect(life.agent, "stream", asked, config, stream_mode="custom")


async def channels(life: Life) -> dict[str, Any]:
    """What the thread's checkpoint holds."""
    state = await life.call(life.agent, "get_state", configured("alex", "first"))
    values: dict[str, Any] = state.values
    return values


@pytest.mark.parametrize("kind", WHY)
async def test_turn_answers_from_summary_and_window_and_is_made_up_for_without_a_restart(
    tmp_path: Path, mode: Mode, kind: str
) -> None:
    embedding = TroubledEmbedding()
    trouble = Trouble(kind, embedding)
    async with troubled(tmp_path, mode, embedding) as life:
        for text in EARLY:
            await life.say(text)
            await life.flush()
        await life.say("Hello again.")
        trouble.begin(life)
        events = await events_of(life, MISSED)
        values = await channels(life)
        trouble.end(life)
        assert values["messages"][-1].text.startswith("Noted")
        assert EARLY[0] in life.prompt, "from the summary"
        assert "Hello again." in life.prompt
        assert "secret" not in str(values) + str(events)
        events = [event for event in events if event["type"] == "memory.degraded"]
        assert events
        reason = WHY[kind]
        if reason:
            assert life.chat.calls_of("chat")[-1].messages[-1].text == MISSED, "nothing is put beside it"
        assert (values["recalled"] or {}).get("degraded") == reason
        assert [event["why"] for event in events if event["step"] == "recall"] == ([reason] if reason else [])
        await life.say(LATER)
        assert (await life.flush()).pending == 0
        found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=100)
        said = [item.value["text"] for item in found if item.value["role"] == "user"]
        assert sorted(said) == sorted([*EARLY, "Hello again.", MISSED, LATER])
        assert {"Lisbon", "milk"} <= {fact.value for fact in await life.facts()}
        assert "degraded" not in ((await channels(life))["recalled"] or {})


@pytest.mark.parametrize("door", ["agent", "nodes"])
async def test_every_door_answers_and_says_why(tmp_path: Path, mode: Mode, door: str) -> None:
    embedding = TroubledEmbedding()
    trouble = Trouble("store down", embedding)
    async with troubled(tmp_path, mode, embedding, door=door) as life:
        await life.say(EARLY[0])
        trouble.begin(life)
        events = await events_of(life, MISSED)
        trouble.end(life)
        assert [(event["step"], event["why"]) for event in events] == [
            ("recall", "ConnectionError"),
            ("record", "ConnectionError"),
        ]
        assert (await channels(life))["messages"][-1].text.startswith("Noted")


async def test_store_that_takes_no_writes_is_still_asked(tmp_path: Path, mode: Mode) -> None:
    embedding = TroubledEmbedding()
    trouble = Trouble("store read-only", embedding)
    async with troubled(tmp_path, mode, embedding) as life:
        await life.say("I live in Lisbon.")
        await life.flush()
        trouble.begin(life)
        await life.say("Where do I live, in Lisbon?", thread="second")
        trouble.end(life)
        assert '("I live in Lisbon")' in life.prompt


async def test_turn_that_cannot_recall_shows_nobody_elses_pins_or_summary(tmp_path: Path, mode: Mode) -> None:
    embedding = TroubledEmbedding()
    trouble = Trouble("store down", embedding)
    async with troubled(tmp_path, mode, embedding) as life:
        await life.say("I live in Lisbon.", thread="alone")
        await life.flush()
        (fact,) = await life.facts()
        await life.call(life.memory.for_user("alex"), "pin", fact.id)
        for text in ("One.", "Two.", "Three."):
            await life.say(text)
            await life.flush()
        await life.say("Four.")
        assert "What this user wants kept in mind" in life.prompt
        assert "Summary of the earlier part" in life.prompt
        trouble.begin(life)
        await life.say("Five.")
        assert "Lisbon" in life.prompt, "it is still this user's"
        await life.say("I am somebody else.", user="sam")
        trouble.end(life)
        assert "Lisbon" not in life.prompt
        assert "Summary of the earlier part" not in life.prompt
