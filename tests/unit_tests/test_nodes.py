"""The nodes work in anybody's graph: they bring their channels, their store, and both spellings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, SummarizationMiddleware
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_hybrid_memory import ConfigurationError, HybridMemory, SummaryConfig
from tests.doubles.doors import Door
from tests.doubles.life import configured, learning_model, store_in_memory, talking_model
from tests.doubles.scripted import ScriptedChatModel
from tests.doubles.strict import StrictChatModel

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.store.base import BaseStore

    from tests.doubles.doors import Mode


class Diary(TypedDict):
    """A schema with channels of its own."""

    messages: Annotated[list[AnyMessage], add_messages]
    mood: str


class Elsewhere(TypedDict):
    """A schema that keeps the conversation where memory does not look."""

    said: Annotated[list[AnyMessage], add_messages]


class Strict(BaseModel):
    """A schema that is a pydantic model."""

    messages: Annotated[list[AnyMessage], add_messages]


def own_graph(memory: HybridMemory, schema: Any = MessagesState, store: BaseStore | None = None) -> Any:
    """Put the nodes around a node that says what it was given."""

    def respond(state: Any) -> dict[str, Any]:
        messages = state.messages if isinstance(state, Strict) else state["messages"]
        return {"messages": [AIMessage(f"You said {messages[-1].text!r}")]}

    builder: Any = StateGraph(schema)
    builder.add_node("remember", memory.nodes.recall)
    builder.add_node("respond", respond)
    builder.add_node("write down", memory.nodes.record)
    builder.add_edge(START, "remember")
    builder.add_edge("remember", "respond")
    builder.add_edge("respond", "write down")
    return builder.compile(checkpointer=InMemorySaver(), store=store)


async def say(call: Door, graph: Any, text: str, thread: str = "first", **more: Any) -> dict[str, Any]:
    asked = {"messages": [("user", text)], **more}
    await call(graph, "invoke", asked, configured("alex", thread))
    state: dict[str, Any] = (await call(graph, "get_state", configured("alex", thread))).values
    return state


def is_used(path: Path) -> bool:
    return any(path.iterdir())


@pytest.mark.parametrize("schema", [MessagesState, Diary, Strict])
async def test_nodes_bring_their_channels_into_any_schema(call: Door, schema: Any) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    graph = own_graph(memory, schema)
    await say(call, graph, "I live in Lisbon.", "other")
    state = await say(call, graph, "Where do I live?")
    assert "I live in Lisbon." in state["recalled"]["text"]
    assert state["recorded_through"] == state["messages"][-1].id


async def test_channels_of_the_graph_are_left_alone(call: Door) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    state = await say(call, own_graph(memory, Diary), "I live in Lisbon.", mood="fine")
    assert state["mood"] == "fine"


async def test_store_of_the_run_is_used_where_none_was_given(
    call: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    memory, store = HybridMemory(learning_model(), extraction="inline"), store_in_memory()
    await say(call, own_graph(memory, store=store), "I live in Lisbon.")
    assert [item.value["value"] for item in store.search(("memory", "user", "alex", "facts"))] == ["Lisbon"]
    assert not is_used(tmp_path)


async def test_background_keeps_to_the_store_of_the_run(
    call: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    memory, store = HybridMemory(learning_model()), store_in_memory()
    await say(call, own_graph(memory, store=store), "I live in Lisbon.")
    await (memory.aclose() if call.mode == "async" else call(memory, "close"))
    assert [item.value["value"] for item in store.search(("memory", "user", "alex", "facts"))] == ["Lisbon"]
    assert not is_used(tmp_path)


async def test_given_store_goes_before_the_store_of_the_run(call: Door) -> None:
    mine, theirs = store_in_memory(), store_in_memory()
    memory = HybridMemory(learning_model(), store=mine)
    await say(call, own_graph(memory, store=theirs), "I live in Lisbon.")
    assert mine.search(("memory",))
    assert not theirs.search(("memory",))


async def test_nodes_twice_in_a_turn_record_once(call: Door) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    builder: Any = StateGraph(MessagesState)
    for number, node in enumerate([memory.nodes.recall, memory.nodes.recall, memory.nodes.record, memory.nodes.record]):
        builder.add_node(str(number), node)
        builder.add_edge(str(number - 1) if number else START, str(number))
    await say(call, builder.compile(checkpointer=InMemorySaver()), "I live in Lisbon.")
    assert len(memory.store.search(("memory", "user", "alex", "messages"))) == 1


async def test_recalling_without_recording_leaves_an_open_turn(mode: Mode) -> None:
    memory, call = HybridMemory(learning_model(), store=store_in_memory()), Door(mode)
    builder: Any = StateGraph(MessagesState)
    builder.add_node("recall", memory.nodes.recall)
    builder.add_edge(START, "recall")
    await say(call, builder.compile(checkpointer=InMemorySaver()), "I live in Lisbon.")
    assert (await call(memory, "status")).pending == 1
    assert (await call(memory, "flush", 30)).pending == 0
    assert [fact.value for fact in memory.for_user("alex").facts()] == ["Lisbon"]


async def test_record_node_as_it_is_brings_the_channels_for_a_wrapped_recall_node(
    call: Door, caplog: pytest.LogCaptureFixture
) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    builder: Any = StateGraph(MessagesState)
    builder.add_node("recall", memory.nodes.recall.with_config(tags=["mine"]))
    builder.add_node("record", memory.nodes.record)
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "record")
    with caplog.at_level(logging.WARNING):
        state = await say(call, builder.compile(checkpointer=InMemorySaver()), "I live in Lisbon.")
    assert {"recalled", "recorded_through"} < state.keys()
    assert not caplog.records


@pytest.mark.parametrize("how", ["input_schema", "with_config", "pipe"])
async def test_graph_that_drops_what_the_recall_node_gives_is_told_so(
    call: Door, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    options = {"input_schema": MessagesState} if how == "input_schema" else {}
    builder: Any = StateGraph(MessagesState)
    for name, node in (("recall", memory.nodes.recall), ("record", memory.nodes.record)):
        wrapped: dict[str, Any] = {
            "with_config": node.with_config(tags=["mine"]),
            "pipe": node | (lambda update: update),
        }
        builder.add_node(name, wrapped.get(how, node), **options)
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "record")
    with caplog.at_level(logging.ERROR):
        await say(call, builder.compile(checkpointer=InMemorySaver()), "I live in Lisbon.")
    assert "what the recall node gave did not reach the record node" in caplog.text
    assert (await call(memory, "flush", 30)).pending == 0
    assert [fact.value for fact in await call(memory.for_user("alex"), "facts")] == ["Lisbon"], "recorded all the same"


async def test_graph_that_only_records_is_not_told_of_a_loss(call: Door, caplog: pytest.LogCaptureFixture) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    builder: Any = StateGraph(MessagesState)
    builder.add_node("record", memory.nodes.record)
    builder.add_edge(START, "record")
    with caplog.at_level(logging.WARNING):
        await say(call, builder.compile(checkpointer=InMemorySaver()), "I live in Lisbon.")
    assert not caplog.records


# --- a compiled agent between recall and record ---


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}."


def around(memory: HybridMemory, chat: Any, **options: Any) -> Any:
    """Put an agent with a tool and a prompt of its own between the nodes."""
    agent: Any = create_agent(chat, tools=[weather], system_prompt="Be brief.", **options)
    builder: Any = StateGraph(MessagesState)
    builder.add_node("recall", memory.nodes.recall)
    builder.add_node("agent", memory.nodes.respond(agent))
    builder.add_node("record", memory.nodes.record)
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "agent")
    builder.add_edge("agent", "record")
    return builder.compile(checkpointer=InMemorySaver())


def looking() -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Lisbon"}, "id": "c1"}])


async def test_agent_between_recall_and_record_sees_memory_and_is_recorded(call: Door) -> None:
    summary = SummaryConfig(after_messages=4, keep_messages=1)
    memory = HybridMemory(learning_model(), store=store_in_memory(), summary=summary)
    chat = StrictChatModel(replies=[looking(), "It rains.", "Yes.", "Certainly.", "In Lisbon."])
    graph = around(memory, chat)
    alex = memory.for_user("alex")
    await call(alex, "record", [("user", "I live in Lisbon. I prefer tea.")], thread_id="other")
    await call(memory, "flush", 30)
    facts = {fact.value: fact for fact in await call(alex, "facts")}
    await call(alex, "pin", facts["tea"].id)
    state = await say(call, graph, "What is the weather where I live?")
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["messages"][0].text == "What is the weather where I live?"
    first, second = (made.messages for made in chat.calls)
    assert first == second[:2], "the same prompt through the tool loop"
    assert all(words in first[1].text for words in ("lives in Lisbon", "prefers tea"))
    for text in ("It rains?", "Really?", "Where do I live?"):
        await call(memory, "flush", 30)
        state = await say(call, graph, text)
    assert "Summary of the earlier part" in chat.calls[-1].messages[-1].text
    assert [message.text for message in state["messages"] if message.type != "human"] == [
        *("", "Rain in Lisbon.", "It rains.", "Yes.", "Certainly.", "In Lisbon.")
    ]
    kept = await call(memory.store, "search", ("memory", "user", "alex", "messages", "first"), limit=100)
    assert len(kept) == 9


async def test_agent_between_recall_and_record_may_be_interrupted_and_resumed(call: Door) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    approval: Any = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
    chat = StrictChatModel(replies=[looking(), "It rains."])
    graph = around(memory, chat, middleware=[approval])
    asked = {"messages": [("user", "I prefer tea. What is the weather?")]}
    assert (await call(graph, "invoke", asked, configured("alex", "first")))["__interrupt__"]
    resume: Any = Command(resume={"decisions": [{"type": "approve"}]})
    given = await call(graph, "invoke", resume, configured("alex", "first"))
    assert [message.type for message in given["messages"]] == ["human", "ai", "tool", "ai"]
    await call(memory, "flush", 30)
    assert [fact.value for fact in await call(memory.for_user("alex"), "facts")] == ["tea"]


async def test_call_that_was_never_answered_is_mended_for_an_agent_alone(call: Door) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    chat = StrictChatModel(replies=["Hello."])
    said = {"messages": [("user", "What is the weather?"), looking(), ("user", "Never mind.")]}
    given = await call(around(memory, chat), "invoke", said, configured("alex", "first"))
    assert [message.type for message in given["messages"]] == ["human", "ai", "human", "ai"]


async def test_what_an_agents_own_summary_puts_in_stays_in_there(call: Door) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    summarizer = talking_model(replies=lambda _: "I live in Rome.")
    middleware: Any = SummarizationMiddleware(summarizer, trigger=("messages", 3), keep=("messages", 1))
    graph = around(memory, StrictChatModel(replies=lambda _: "Noted."), middleware=[middleware])
    for text in ("I prefer tea.", "I live in Lisbon.", "Hello."):
        state = await say(call, graph, text)
    assert summarizer.calls
    assert [message.text for message in state["messages"]] == [
        *("I prefer tea.", "Noted.", "I live in Lisbon.", "Noted.", "Hello.", "Noted.")
    ]


def test_agent_is_given_no_second_prompt() -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    agent: Any = create_agent(talking_model())
    with pytest.raises(ConfigurationError, match="give it to `create_agent`"):
        memory.nodes.respond(agent, system_prompt="Be kind.")


async def test_conversation_in_another_channel_is_warned_of_once(call: Door, caplog: pytest.LogCaptureFixture) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    builder: Any = StateGraph(Elsewhere)
    builder.add_node("recall", memory.nodes.recall)
    builder.add_edge(START, "recall")
    graph = builder.compile()
    for _ in range(2):
        await call(graph, "invoke", {"said": [("user", "I live in Lisbon.")]}, configured("alex", "first"))
    assert [r.getMessage()[:35] for r in caplog.records] == ["the channel `messages` is empty: me"]


@pytest.mark.parametrize("model", [None, ScriptedChatModel, StateGraph(MessagesState)])
def test_what_is_no_model_is_refused_when_the_graph_is_built(model: Any) -> None:
    memory = HybridMemory(None, store=store_in_memory())
    with pytest.raises(ConfigurationError, match=f"model is of type {type(model).__name__}; give a chat model"):
        memory.nodes.respond(model)


async def test_respond_node_without_its_model_says_what_to_give(call: Door) -> None:
    builder: Any = StateGraph(MessagesState)
    builder.add_node("respond", HybridMemory(None, store=store_in_memory()).nodes.respond)
    builder.add_edge(START, "respond")
    with pytest.raises(ConfigurationError, match=r"add_node\(memory\.nodes\.respond\(model\)\)"):
        await call(builder.compile(), "invoke", {"messages": [("user", "Hello.")]}, configured("alex", "first"))
