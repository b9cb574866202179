"""The same conversation through each door leaves the same memory, over any store, and the messages stay the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import HybridMemory
from tests.doubles.doors import Door
from tests.doubles.life import (
    DOORS,
    INTRODUCTION,
    KNOWN,
    Life,
    configured,
    count,
    learning_model,
    middleware_agent,
    open_life,
    store_in_memory,
    talking_model,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.doubles.doors import Mode

every_door = pytest.mark.parametrize("door", DOORS)
PRIVATE = {"recorded_through", "summary", "recalled"}
BLOCK = "<memory>"


def live(mode: Mode, door: str, **options: Any) -> Life:
    """Talk through a door to an agent over LangGraph's own store."""
    memory, chat = HybridMemory(learning_model(), store=store_in_memory(), **options), talking_model()
    return Life(memory, DOORS[door](memory, chat), chat, Door(mode))


async def state_of(life: Life, thread: str = "first") -> dict[str, Any]:
    """What the checkpoint of a thread holds."""
    state: dict[str, Any] = (await life.call(life.agent, "get_state", configured("alex", thread))).values
    return state


async def log_of(life: Life, user: str = "alex") -> list[tuple[str, str]]:
    """Role and text of the messages in the log, in order."""
    found = await life.call(life.memory.store, "search", ("memory", "user", user, "messages"), limit=100)
    values = sorted((item.value for item in found), key=lambda value: (value["at"], value["position"]))
    return [(value["role"], value["text"]) for value in values]


async def talk(life: Life) -> None:
    for text in INTRODUCTION:
        await life.say(text)
    await life.flush()
    await life.say("What do you know about Sarah?", thread="second")
    await life.flush()


async def assert_remembered(life: Life) -> None:
    said = [*INTRODUCTION, "What do you know about Sarah?"]
    assert all(words in life.prompt for words in ("Google", "software engineer", "3 years"))
    assert [count(await life.facts(), words) for words in KNOWN] == [1] * len(KNOWN)
    log = await log_of(life)
    assert [text for role, text in log if role == "user"] == said
    assert [role for role, _ in log] == ["user", "assistant"] * len(said)


@every_door
async def test_each_door_remembers_the_same_in_chroma(tmp_path: Path, mode: Mode, door: str) -> None:
    async with open_life(mode, tmp_path, brain=learning_model(), door=door) as life:
        await talk(life)
        await assert_remembered(life)


@every_door
async def test_each_door_remembers_the_same_in_another_store(mode: Mode, door: str) -> None:
    life = live(mode, door, checkpointer=InMemorySaver())
    await talk(life)
    await assert_remembered(life)


@every_door
async def test_graph_without_checkpointer_and_thread_remembers(mode: Mode, door: str) -> None:
    life = live(mode, door)
    for text in INTRODUCTION:
        await life.say(text, thread=None)
    await life.flush()
    assert [count(await life.facts(), words) for words in KNOWN] == [1] * len(KNOWN)
    await life.say("Where do I live?", thread=None)
    assert "lives in Lisbon" in life.prompt
    assert [text for role, text in await log_of(life) if role == "user"] == [*INTRODUCTION, "Where do I live?"]


@every_door
async def test_messages_stay_as_they_were_said(mode: Mode, door: str) -> None:
    life = live(mode, door, checkpointer=InMemorySaver())
    await life.say("I live in Lisbon.", thread="other")
    await life.flush()
    for number in range(3):
        await life.say(f"Where do I live, {number}?")
    assert BLOCK in life.prompt
    messages: list[BaseMessage] = (await state_of(life))["messages"]
    said = [f"Where do I live, {number}?" for number in range(3)]
    assert [message.text for message in messages if isinstance(message, HumanMessage)] == said
    assert [message.type for message in messages] == ["human", "ai"] * 3


@every_door
async def test_private_channels_are_kept_and_not_given_out(mode: Mode, door: str) -> None:
    life = live(mode, door, checkpointer=InMemorySaver())
    await life.say("I live in Lisbon.", thread="other")
    asked = {"messages": [("user", "Where do I live?")]}
    given = await life.call(life.agent, "invoke", asked, configured("alex", "first"))
    assert not PRIVATE & given.keys()
    state = await state_of(life)
    assert state["recorded_through"] == state["messages"][-1].id
    assert "I live in Lisbon" in state["recalled"]["text"]


# --- tools ---


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"It rains in {city}. I live in Oslo. Tom works at Acme as a baker."


def calling(*cities: str) -> AIMessage:
    """Ask for the weather in several cities at once."""
    return AIMessage("", tool_calls=[{"name": "weather", "args": {"city": c}, "id": f"{c}-1"} for c in cities])


def with_tools(mode: Mode, **options: Any) -> Life:
    """Talk to an agent that looks up the weather: in two cities at once, then in a third, then answers."""
    script = [calling("Lisbon", "Porto"), calling("Rome"), "It rains.", "Bye."]
    memory = HybridMemory(learning_model(), store=store_in_memory(), checkpointer=InMemorySaver(), **options)
    chat = talking_model(replies=script)
    return Life(memory, middleware_agent(memory, chat, tools=[weather]), chat, Door(mode))


def asked_of(messages: Sequence[BaseMessage]) -> list[str]:
    return [message.text for message in messages if isinstance(message, HumanMessage)]


async def test_recalled_block_stays_the_same_through_a_tool_loop(mode: Mode) -> None:
    life = with_tools(mode)
    await life.call(life.memory.for_user("alex"), "record", [("user", "I live in Lisbon.")], thread_id="other")
    await life.flush()
    assert await life.say("What is the weather where I live?") == "It rains."
    calls = life.chat.calls_of("chat")
    assert len(calls) == 3
    blocks = {tuple(asked_of(call.messages)) for call in calls}
    assert len(blocks) == 1
    assert "lives in Lisbon" in blocks.pop()[0]
    assert [message.type for message in calls[-1].messages] == ["human", "ai", "tool", "tool", "ai", "tool"]
    assert [message.type for message in (await state_of(life))["messages"]] == [
        *("human", "ai", "tool", "tool", "ai", "tool", "ai")
    ]


async def test_tool_results_are_on_record_and_teach_nothing(mode: Mode) -> None:
    life = with_tools(mode)
    await life.say("I prefer tea. What is the weather?")
    await life.flush()
    log = await log_of(life)
    assert [role for role, _ in log] == ["user", "tool", "tool", "tool", "assistant"]
    assert [fact.value for fact in await life.facts()] == ["tea"]


async def test_agent_whose_tool_fails_has_its_turn_swept_up_by_the_next(mode: Mode) -> None:
    @tool
    def weather(city: str) -> str:
        """Tell the weather."""
        raise ConnectionError(city)

    memory = HybridMemory(learning_model(), store=store_in_memory(), checkpointer=InMemorySaver())
    chat = talking_model(replies=[calling("Rome"), "Sorry."])
    life = Life(memory, middleware_agent(memory, chat, tools=[weather]), chat, Door(mode))
    with pytest.raises(ConnectionError):
        await life.say("I live in Lisbon.")
    config = configured("alex", "first")
    (called,) = (await state_of(life))["messages"][-1].tool_calls
    answered = {"messages": [ToolMessage("gone", tool_call_id=called["id"])]}
    await life.call(life.agent, "update_state", config, answered, as_node="tools")
    await life.say("I prefer tea.")
    await life.flush()
    assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]
    assert [role for role, _ in await log_of(life)] == ["user", "tool", "user", "assistant"]
