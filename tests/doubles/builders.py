"""Builds what the steps pass to each other: messages, stored forms, extracted facts, a scope."""

from __future__ import annotations

import datetime as dt
from typing import Any, Unpack, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langgraph.store.base import BaseStore
from typing_extensions import TypedDict

from langchain_hybrid_memory.prompts.extraction import ExtractedEntity, ExtractedFact, Extraction
from langchain_hybrid_memory.records import Pending, StoredFact, StoredMessage, StoredThread, to_iso
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.state import Branch, MemoryState, Recalled, ThreadSummary
from langchain_hybrid_memory.steps.ground import claim_of
from langchain_hybrid_memory.steps.load import Episode

NOW = dt.datetime(2024, 5, 20, 12, tzinfo=dt.UTC)
ALEX = Scope(user_id="alex@example.com", thread_id="t1")


def day(number: float) -> dt.datetime:
    """The instant so many days after `NOW`."""
    return NOW + dt.timedelta(days=number)


def iso(number: float) -> str:
    """`day`, as the store keeps it."""
    return to_iso(day(number))


def human(message_id: str, text: str = "", **more: Any) -> AnyMessage:
    return HumanMessage(text or f"words of {message_id}", id=message_id, **more)


def ai(message_id: str, text: str | None = None, *, calls: tuple[str, ...] = ()) -> AnyMessage:
    """An answer; `calls` are the ids of the tool calls it makes."""
    tool_calls = [ToolCall(name="look", args={"at": each}, id=each) for each in calls]
    return AIMessage(f"words of {message_id}" if text is None else text, id=message_id, tool_calls=tool_calls)


def result(message_id: str, call_id: str, text: str = "") -> AnyMessage:
    return ToolMessage(text or f"words of {message_id}", id=message_id, tool_call_id=call_id)


def system(message_id: str, text: str = "") -> AnyMessage:
    return SystemMessage(text or f"words of {message_id}", id=message_id)


def turns(first: int, last: int) -> list[AnyMessage]:
    """Plain turns `h<n>`, `a<n>`."""
    return [message for n in range(first, last + 1) for message in (human(f"h{n}"), ai(f"a{n}"))]


class Channels(TypedDict, total=False):
    """The private channels of a state."""

    recorded_through: str
    skipped_through: str
    branch: Branch
    summary: ThreadSummary | None
    recalled: Recalled | None


def state(*messages: AnyMessage, **channels: Unpack[Channels]) -> MemoryState:
    return cast("MemoryState", {"messages": list(messages), **channels})


def said(message_id: str, text: str, **more: Any) -> StoredMessage:
    """A message on record, from the user, in its own episode unless `more` says otherwise."""
    value = {
        "id": message_id,
        "thread": "t1",
        "episode": f"e-{message_id}",
        "role": "user",
        "speaker": None,
        "text": text,
        "context": "",
        "at": iso(0),
        "position": 0,
        "after": None,
        "is_fork": False,
        "is_abandoned": False,
        "is_indexed": True,
    }
    return cast("StoredMessage", value | more)


def extracted(quote: str, **more: Any) -> ExtractedFact:
    """What a model draws from `quote`; by default where the user lives."""
    value = {
        "message": 1,
        "quote": quote,
        "subject": "user",
        "attribute": "residence",
        "value": "Lisbon",
        "fact": "The user lives in Lisbon.",
        "since": None,
        "importance": 2,
        "confirms": [],
        "supersedes": [],
    }
    return ExtractedFact.model_validate(value | more)


def lives_in(city: str, quote: str = "", **more: Any) -> ExtractedFact:
    return extracted(quote or f"I live in {city}", **{"value": city, "fact": f"The user lives in {city}."} | more)


def named(name: str, *aliases: str) -> ExtractedEntity:
    return ExtractedEntity(name=name, type="person", aliases=list(aliases))


def extraction(*facts: ExtractedFact, entities: tuple[ExtractedEntity, ...] = ()) -> Extraction:
    return Extraction(facts=list(facts), entities=list(entities))


def known_fact(text: str, **more: Any) -> StoredFact:
    """A fact in the store; by default a current one about where the user lives, said at `NOW`."""
    value: dict[str, Any] = {
        "text": text,
        "category": "residence",
        "entities": [],
        "subject": "user",
        "attribute": "residence",
        "value": text.rstrip(".").split()[-1],
        "importance": 2,
        "trust": "user",
        "valid_at": iso(0),
        "invalid_at": None,
        "stated_end": None,
        "recorded_at": iso(0),
        "superseded_by": None,
        "confirms": None,
        "said_at": more.get("confirmed_at", iso(0)),
        "confirmed_at": iso(0),
        "is_pinned": False,
        "thread": "t1",
        "episode": "e-m0",
        "message_ids": ["m0"],
        "quote": text,
        "prompt": "test",
        "extractor": "test",
    } | more
    value.setdefault("claim", claim_of(value["subject"], value["attribute"], value["value"]))
    return cast("StoredFact", value)


def entry(episode: str, *message_ids: str, **more: Any) -> Pending:
    """An entry of the queue: a turn that has ended and waits for everything."""
    value = {
        "user": ALEX.user_id,
        "thread": "t1",
        "episode": episode,
        "message_ids": list(message_ids),
        "recorded_at": iso(0),
        "is_complete": True,
        "learns": True,
        "is_indexed": False,
        "attempts": 0,
        "retry_at": None,
        "error": None,
    }
    return cast("Pending", value | more)


def queued(key: str, **more: Any) -> Episode:
    """An episode as `load` puts it together."""
    value = {
        "thread": "t1",
        "key": key,
        "message_ids": [key],
        "recorded_at": iso(0),
        "is_complete": True,
        "learns": True,
        "attempts": 0,
        "retry_at": "",
        "entries": {},
    }
    return cast("Episode", value | more)


def open_threads(store: BaseStore, *messages: StoredMessage, scope: Scope = ALEX) -> None:
    """Have the threads of messages on the list, as recording puts them there."""
    for thread in {message["thread"] for message in messages}:
        store.put(scope.namespace("threads"), thread, dict(StoredThread(last_at=iso(0), length=1)), index=False)


def keep(store: BaseStore, *messages: StoredMessage, scope: Scope = ALEX) -> None:
    """Put messages on record."""
    open_threads(store, *messages, scope=scope)
    for message in messages:
        index = ["text"] if message["is_indexed"] else False
        place = scope.thread_messages(message["thread"])
        store.put(place, message["id"], dict(message), index=cast("Any", index))


def know(store: BaseStore, scope: Scope = ALEX, /, **facts: StoredFact) -> None:
    """Put facts into the store, each under its own name."""
    for key, fact in facts.items():
        store.put(scope.namespace("facts"), key, dict(fact), index=["text"])


def facts_in(store: BaseStore, scope: Scope = ALEX) -> dict[str, StoredFact]:
    """Every fact of a user, by key."""
    items = store.search(scope.namespace("facts"), limit=10_000)
    return {item.key: cast("StoredFact", item.value) for item in items}


def messages_in(store: BaseStore, scope: Scope = ALEX) -> dict[str, StoredMessage]:
    """Every message of a user on record, by id."""
    items = store.search(scope.namespace("messages"), limit=10_000)
    return {item.key: cast("StoredMessage", item.value) for item in items}


def queue_of(store: BaseStore, scope: Scope = ALEX) -> dict[str, Pending]:
    """A user's entries in the queue, by key."""
    return {item.key: cast("Pending", item.value) for item in store.search(scope.pending, limit=10_000)}
