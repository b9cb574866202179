"""What memory did in a run can be watched, by ids and counts alone, at every door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import HybridMemory, SummaryConfig
from langchain_hybrid_memory._flow import arun, run
from langchain_hybrid_memory.events import tell
from tests.doubles.life import (
    DOORS,
    SECONDS,
    configured,
    learning_model,
    middleware_agent,
    store_in_memory,
    talking_model,
)

if TYPE_CHECKING:
    from tests.doubles.doors import Door, Mode

every_door = pytest.mark.parametrize("door", DOORS)
SAID = "I live in Lisbon."
KEYS = {"type", "thread_id", "ids", "counts"}


def opened(**options: Any) -> HybridMemory:
    return HybridMemory(learning_model(), store=store_in_memory(), checkpointer=InMemorySaver(), **options)


def asked(text: str = SAID) -> dict[str, Any]:
    return {"messages": [("user", text)]}


async def watched(call: Door, agent: Any, text: str = SAID, **config: Any) -> dict[str, dict[str, Any]]:
    """The events of one turn, by type."""
    config = configured("alex", "first", **config)
    events = await call.collect(agent, "stream", asked(text), config, stream_mode="custom")
    assert len({event["type"] for event in events}) == len(events)
    assert all(event.keys() == KEYS for event in events)
    return {event["type"]: event for event in events}


@every_door
async def test_turn_tells_what_it_recalled_and_recorded(call: Door, door: str) -> None:
    memory, chat = opened(), talking_model()
    await call(memory.for_user("alex"), "record", [("user", SAID)], thread_id="other")
    await call(memory, "flush", SECONDS)
    (fact,) = await call(memory.for_user("alex"), "facts")
    await call(memory.for_user("alex"), "pin", fact.id)
    agent = DOORS[door](memory, chat)
    events = await watched(call, agent, "Where do I live in Lisbon?")
    assert list(events) == ["memory.recalled", "memory.recorded"]
    recalled, recorded = events.values()
    state = (await call(agent, "get_state", configured("alex", "first"))).values
    assert recalled["ids"] == [fact.id, *(state["recalled"]["keys"] if state["recalled"] else [])]
    assert recalled["counts"] == {"recalled": len(recalled["ids"]) - 1, "pinned": 1, "summaries": 0}
    assert recorded["ids"] == [message.id for message in state["messages"]]
    assert recorded["counts"] == {"messages": 2}
    assert {event["thread_id"] for event in events.values()} == {"first"}


@every_door
async def test_inline_turn_tells_what_it_learned_and_summarized(call: Door, door: str) -> None:
    summary = SummaryConfig(after_messages=2, keep_messages=1)
    memory = opened(extraction="inline", summary=summary)
    agent = DOORS[door](memory, talking_model())
    await call(agent, "invoke", asked("I prefer tea."), configured("alex", "first"))
    events = await watched(call, agent)
    known = {fact.text: fact.id for fact in await call(memory.for_user("alex"), "facts")}
    (home,) = [key for text, key in known.items() if "Lisbon" in text]
    assert events["memory.learned"]["ids"] == [home]
    assert events["memory.learned"]["counts"] == {"learned": 1, "confirmed": 0, "superseded": 0}
    assert events["memory.summarized"]["ids"] == ["first"]
    assert events["memory.summarized"]["counts"]["messages"] > 0


@every_door
async def test_background_learning_is_told_to_the_listener_and_not_to_the_stream(call: Door, door: str) -> None:
    reports: list[Any] = []
    memory = opened(on_memorized=lambda user, report: reports.append((user, report)))
    events = await watched(call, DOORS[door](memory, talking_model()))
    assert list(events) == ["memory.recalled", "memory.recorded"]
    await call(memory, "flush", SECONDS)
    (fact,) = await call(memory.for_user("alex"), "facts")
    assert [key for _, report in reports for key in report.get("facts", [])] == [fact.id]
    assert {user for user, _ in reports} == {"alex"}


@every_door
async def test_events_hold_no_word_of_what_is_remembered(call: Door, door: str) -> None:
    summary = SummaryConfig(after_messages=2, keep_messages=1)
    memory = opened(extraction="inline", summary=summary)
    agent = DOORS[door](memory, talking_model(replies=lambda _: "Noted zebra."))
    for _ in range(2):
        events = await watched(call, agent)
        assert not any(word in repr(events).casefold() for word in ("lisbon", "zebra", "live"))


async def test_tools_tell_what_they_found_and_saved(call: Door) -> None:
    memory = opened()
    saving = {"fact": "The user is tall.", "quote": "I'm tall"}
    script = [AIMessage("", tool_calls=[{"name": "save_memory", "args": saving, "id": "1"}])]
    script += [AIMessage("", tool_calls=[{"name": "search_memory", "args": {"query": "Is the user tall?"}, "id": "2"}])]
    agent = middleware_agent(memory, talking_model(replies=[*script, "Done."]), tools=memory.tools())
    config = configured("alex", "first")
    events = await call.collect(agent, "stream", asked("I'm tall."), config, stream_mode="custom")
    (fact,) = await call(memory.for_user("alex"), "facts")
    assert [event["type"] for event in events] == [
        "memory.recalled",
        "memory.learned",
        "memory.recalled",
        "memory.recorded",
    ]
    assert events[1]["ids"] == [fact.id]
    assert events[1]["counts"] == {"learned": 1, "confirmed": 0, "superseded": 0}
    assert fact.id in events[2]["ids"]


class Hearing(BaseCallbackHandler):
    """Notes the custom events it is told of."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.heard.append((name, data["type"]))


class HearingLater(AsyncCallbackHandler, Hearing):
    """The same, asynchronously."""

    async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:  # type: ignore[override]
        self.heard.append((name, data["type"]))


@every_door
@pytest.mark.parametrize("handler", [Hearing, HearingLater])
async def test_callbacks_hear_the_same_events(call: Door, door: str, handler: type[Hearing]) -> None:
    hearing = handler()
    config = {**configured("alex", "first"), "callbacks": [hearing]}
    await call(DOORS[door](opened(extraction="inline"), talking_model()), "invoke", asked(), config)
    names = ["memory.recalled", "memory.recorded", "memory.learned"]
    assert hearing.heard == [(name, name) for name in names]


@every_door
@pytest.mark.parametrize("version", ["v2"])
async def test_event_streams_show_custom_events(door: str, version: Any) -> None:
    agent = DOORS[door](opened(extraction="inline"), talking_model())
    stream = agent.astream_events(asked(), configured("alex", "first"), version=version)
    events = [event async for event in stream if event["event"] == "on_custom_event"]
    assert [event["name"] for event in events] == ["memory.recalled", "memory.recorded", "memory.learned"]
    assert all(event["data"].keys() == KEYS for event in events)


@every_door
async def test_memory_switched_off_tells_nothing_and_read_only_no_record(call: Door, door: str) -> None:
    agent = DOORS[door](opened(extraction="inline"), talking_model())
    assert await watched(call, agent, memory="off") == {}
    assert list(await watched(call, agent, memory="read")) == ["memory.recalled"]


async def test_where_nobody_runs_nothing_is_told_and_nothing_fails(mode: Mode) -> None:
    telling = tell("memory.recorded", "first", ids=["m1"], messages=1)
    await arun(telling) if mode == "async" else run(telling)
