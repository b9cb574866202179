"""The nodes work in anybody's graph: they bring their channels, their store, and both spellings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_hybrid_memory import HybridMemory
from tests.doubles.doors import Door
from tests.doubles.life import configured, learning_model, store_in_memory

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.store.base import BaseStore

    from tests.doubles.doors import Mode


class Diary(TypedDict):
    """A schema with channels of its own."""

    messages: Annotated[list[AnyMessage], add_messages]
    mood: str


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
