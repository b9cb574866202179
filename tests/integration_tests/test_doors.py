"""The same conversation through each door leaves the same memory, over any store, and the messages stay the user's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from langchain_hybrid_memory import BufferConfig, HybridMemory, MissingUserError, SummaryConfig
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
    note,
    open_life,
    store_in_memory,
    talking_model,
)
from tests.doubles.strict import StrictChatModel

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


# --- the same from every door, `UserMemory` included ---

MIDDAY = datetime(2026, 5, 4, 12, tzinfo=UTC)
SAME = {
    "messages": ("role", "text", "context", "speaker", "position", "thread"),
    "facts": ("text", "category", "entities", "subject", "attribute", "value", "trust", "quote", "said_at", "valid_at"),
    "entities": ("name", "type", "aliases"),
    "summaries": ("text", "messages"),
    "threads": ("last_at", "length"),
}


async def kept_by(mode: Mode, door: str) -> dict[str, Any]:
    """What the store holds after a conversation, and what it is recalled as: all but ids, which differ by chance."""
    summary = SummaryConfig(after_messages=6, keep_messages=2)
    options: Any = {"checkpointer": InMemorySaver(), "now": lambda: MIDDAY, "summary": summary}
    life = live(mode, "graph" if door == "user memory" else door, extraction="manual", **options)
    alex = life.memory.for_user("alex")
    for number, text in enumerate(INTRODUCTION):
        if door == "user memory":
            turn = [("user", text), ("assistant", f"Noted, number {2 * number + 1}.")]
            await life.call(alex, "record", turn, thread_id="first")
        else:
            await life.say(text)
    await life.flush()
    found = await life.call(life.memory.store, "search", ("memory",), limit=1_000)
    values = [(kind, [item.value[name] for name in SAME[kind]]) for item in found for kind in item.namespace[3:4]]
    hits = await life.call(alex, "recall", "What do you know about Sarah?")
    block = ""
    if door != "user memory":
        await life.say("What do you know about Sarah?", thread="second")
        block = life.prompt
    return {"kept": sorted(map(str, values)), "recalled": [(hit.text, hit.score) for hit in hits], "block": block}


async def test_every_door_keeps_and_recalls_the_same(mode: Mode) -> None:
    doors = {door: await kept_by(mode, door) for door in [*DOORS, "user memory"]}
    first = doors["graph"]
    assert len(first["kept"]) > 20
    assert len(first["recalled"]) > 3
    assert [door["kept"] for door in doors.values()] == [first["kept"]] * 4
    assert [door["recalled"] for door in doors.values()] == [first["recalled"]] * 4
    assert all(text in first["block"] for text, _ in first["recalled"])
    assert [door["block"] for door in doors.values()][:3] == [first["block"]] * 3


# --- whose memory, and whether ---


@every_door
@pytest.mark.parametrize("user", [None, ""])
async def test_run_without_a_user_is_refused_at_every_door(mode: Mode, door: str, user: str | None) -> None:
    life = live(mode, door, checkpointer=InMemorySaver(), extraction="inline")
    with pytest.raises(MissingUserError):
        await life.say("I live in Lisbon.", user=user)
    assert not life.chat.calls
    assert not await life.call(life.memory.store, "search", ("memory",))
    with pytest.raises(MissingUserError):
        life.memory.for_user(user or "")


@every_door
@pytest.mark.parametrize(
    ("context", "configurable", "expected"),
    [
        ({"user_id": "context"}, {"user_id": "configured", "langgraph_user_id": "server"}, "context"),
        (None, {"user_id": "configured", "langgraph_user_id": "server"}, "configured"),
        (None, {"langgraph_user_id": "server"}, "server"),
    ],
)
async def test_user_is_named_in_the_same_order_at_every_door(
    mode: Mode, door: str, context: Any, configurable: dict[str, Any], expected: str
) -> None:
    life = live(mode, door, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "first", **configurable}}
    await life.call(life.agent, "invoke", {"messages": [("user", "I live in Lisbon.")]}, config, context=context)
    found = await life.call(life.memory.store, "search", ("memory", "user"), limit=100)
    assert {item.namespace[2] for item in found} == {expected}


@every_door
@pytest.mark.parametrize(
    ("switch", "is_recalled", "is_kept"), [("on", True, True), ("read", True, False), ("off", False, False)]
)
async def test_switch_works_at_every_door(
    mode: Mode, door: str, switch: str, *, is_recalled: bool, is_kept: bool
) -> None:
    life = live(mode, door, checkpointer=InMemorySaver())
    await life.say("I live in Lisbon.", thread="other")
    await life.flush()
    await life.say("My cat is called Tom. Where do I live?", memory=switch)
    await life.flush()
    assert ("I live in Lisbon" in life.prompt) == is_recalled
    log = [text for _, text in await log_of(life)]
    assert ("My cat is called Tom. Where do I live?" in log) == is_kept
    await life.say("Where do I live?")
    await life.flush()
    log = [text for _, text in await log_of(life)]
    assert ("My cat is called Tom. Where do I live?" in log) == is_kept, "no later turn sweeps it up"


# --- prompts that strict models take ---


def strict_graph(memory: HybridMemory, chat: Any) -> Any:
    return memory.graph(chat, system_prompt="Be kind.")


def strict_agent(memory: HybridMemory, chat: Any) -> Any:
    middleware: Any = memory.middleware()
    return create_agent(chat, system_prompt="Be kind.", middleware=[middleware], checkpointer=memory.checkpointer)


def strict_nodes(memory: HybridMemory, chat: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("recall", memory.nodes.recall)
    builder.add_node("respond", memory.nodes.respond(chat, system_prompt="Be kind."))
    builder.add_node("record", memory.nodes.record)
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "respond")
    builder.add_edge("respond", "record")
    return builder.compile(checkpointer=memory.checkpointer)


@pytest.mark.parametrize("make", [strict_graph, strict_agent, strict_nodes])
async def test_prompt_with_all_four_memories_is_taken_by_a_strict_model(mode: Mode, make: Any) -> None:
    summary, chat = SummaryConfig(after_messages=4, keep_messages=1), StrictChatModel(replies=note)
    memory = HybridMemory(learning_model(), store=store_in_memory(), checkpointer=InMemorySaver(), summary=summary)
    life = Life(memory, make(memory, chat), chat, Door(mode))
    await life.say("I live in Lisbon. I prefer tea.", thread="other")
    await life.flush()
    facts = {fact.value: fact for fact in await life.facts()}
    await life.call(memory.for_user("alex"), "pin", facts["tea"].id)
    for text in ("Hello.", "It rains.", "Where do I live?"):
        said = [SystemMessage("Today is Monday."), HumanMessage(text)]
        await life.call(life.agent, "invoke", {"messages": said}, configured("alex", "first"))
        await life.flush()
    system, *others = chat.calls[-1].messages
    assert all(
        words in system.text for words in ("Be kind.", "Today is Monday.", "prefers tea", "Summary of the earlier")
    )
    assert "lives in Lisbon" in others[-1].text


# --- pruning ---


async def prompts_of(life: Life, turns: int) -> list[str]:
    for number in range(turns):
        await life.say(f"I prefer drink {number}. Where do I live?")
        await life.flush()
    return [call.prompt for call in life.chat.calls]


@every_door
async def test_pruning_shortens_the_thread_and_changes_no_prompt(mode: Mode, door: str) -> None:
    summary = SummaryConfig(after_messages=6, keep_messages=2)
    prompts, lengths, logs = [], [], []
    for is_pruned in (False, True):
        options: Any = {"buffer": BufferConfig(is_pruned=is_pruned), "summary": summary}
        life = live(mode, door, checkpointer=InMemorySaver(), now=lambda: MIDDAY, **options)
        prompts.append(await prompts_of(life, 12))
        lengths.append(len((await state_of(life))["messages"]))
        logs.append(await log_of(life))
    assert prompts[0] == prompts[1]
    assert logs[0] == logs[1]
    assert lengths[0] == 24
    assert lengths[1] <= 10


async def test_removals_are_no_tokens_of_the_stream(mode: Mode) -> None:
    summary = SummaryConfig(after_messages=4, keep_messages=1)
    options: Any = {"buffer": BufferConfig(is_pruned=True), "summary": summary}
    life = live(mode, "agent", checkpointer=InMemorySaver(), **options)
    streamed = []
    for number in range(5):
        asked = {"messages": [("user", f"I prefer drink {number}.")]}
        config = configured("alex", "first")
        chunks = await life.call.collect(life.agent, "stream", asked, config, stream_mode="messages")
        streamed += [type(chunk).__name__ for chunk, _ in chunks]
        await life.flush()
    assert len((await state_of(life))["messages"]) < 10
    assert set(streamed) == {"AIMessageChunk"}
