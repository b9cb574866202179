"""A checkpoint holds messages and JSON values, and gives them back as they were."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware.types import AgentMiddleware
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_hybrid_memory.config import BufferConfig, RecallConfig
from langchain_hybrid_memory.state import MemoryState, MemoryUpdate
from langchain_hybrid_memory.steps.recall import recall
from langchain_hybrid_memory.steps.record import record
from tests.doubles.builders import ALEX, NOW, ai, human, keep, know, known_fact, said, state
from tests.doubles.scripted import ScriptedChatModel
from tests.doubles.stores import WatchedStore
from tests.unit_tests.steps.conftest import Driver

if TYPE_CHECKING:
    from tests.doubles.doors import Door, Mode

CONFIG: Any = {"configurable": {"thread_id": "t1"}}
STRICT = JsonPlusSerializer(allowed_msgpack_modules=None)


@pytest.fixture
async def update(mode: Mode) -> MemoryUpdate:
    """Every private channel, as the steps fill them."""
    drive, store = Driver(mode), WatchedStore()
    keep(store, said("m1", "I live in Lisbon", thread="t0"))
    know(store, f1=known_fact("The user is allergic to nuts.", is_pinned=True))
    digest = {"text": "They met.", "through_id": "a1", "through_position": 1, "messages": 2}
    store.put(ALEX.namespace("summaries"), "t1", digest, index=False)
    asked = state(human("h1"), ai("a1"), human("h2", "Where do I live?"))
    recalled = await drive(recall(asked, ALEX, store, config=RecallConfig(), buffer=BufferConfig(), now=NOW))
    recorded = await drive(record(asked, ALEX, store, now=NOW))
    return MemoryUpdate(**{**recalled, **recorded}, skipped_through="h1")


async def test_every_private_channel_is_filled_by_the_steps(update: MemoryUpdate) -> None:
    assert update.keys() == get_type_hints(MemoryState).keys() - {"messages"}
    assert all(update.values())


async def test_private_channels_hold_json_values(update: MemoryUpdate) -> None:
    assert json.loads(json.dumps(update)) == update


async def test_state_survives_a_checkpoint_with_the_strict_serializer(
    update: MemoryUpdate, call: Door, caplog: pytest.LogCaptureFixture
) -> None:
    builder = StateGraph(MemoryState, input_schema=MessagesState, output_schema=MessagesState)
    builder.add_node("fill", RunnableLambda(lambda _: {"messages": [ai("a2")], **update}))
    builder.add_edge(START, "fill")
    builder.add_edge("fill", END)
    graph = builder.compile(checkpointer=InMemorySaver(serde=STRICT))
    with caplog.at_level(logging.WARNING):
        shown = await call(graph, "invoke", {"messages": [human("h2", "Where do I live?")]}, CONFIG)
    values = (await call(graph, "get_state", CONFIG)).values
    assert shown.keys() == {"messages"}, "private channels are not part of the output"
    assert {name: value for name, value in values.items() if name != "messages"} == update
    assert [(type(message).__name__, message.id) for message in values["messages"]] == [
        ("HumanMessage", "h2"),
        ("AIMessage", "a2"),
    ]
    assert not caplog.records, "nothing in the state had to be allowed"


class FillingMiddleware(AgentMiddleware[Any, Any]):
    """Brings the private channels into an agent and fills them."""

    state_schema = MemoryState

    def __init__(self, update: MemoryUpdate) -> None:
        super().__init__()
        self._update = update

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:  # noqa: ARG002 - LangChain's signature
        return dict(self._update)


async def test_private_channels_are_absent_from_what_an_agent_takes_and_gives(update: MemoryUpdate, call: Door) -> None:
    agent = create_agent(
        ScriptedChatModel(), middleware=[FillingMiddleware(update)], checkpointer=InMemorySaver(serde=STRICT)
    )
    shown = await call(agent, "invoke", {"messages": [human("h2")], "recorded_through": "forged"}, CONFIG)
    assert shown.keys() == {"messages"}
    values = (await call(agent, "get_state", CONFIG)).values
    assert {name: values[name] for name in update} == update


async def test_no_class_of_ours_is_in_a_checkpoint(update: MemoryUpdate) -> None:
    kind, data = STRICT.dumps_typed({"messages": [human("h1")], **update})
    assert b"langchain_hybrid_memory" not in data
    back = STRICT.loads_typed((kind, data))
    assert isinstance(back["messages"][0], BaseMessage)
    assert {name: type(value) for name, value in back.items() if name != "messages"} == {
        "recorded_through": str,
        "skipped_through": str,
        "branch": dict,
        "summary": dict,
        "recalled": dict,
        "pinned": dict,
    }
