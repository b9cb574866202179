"""Code written for LangGraph's own stores works with `ChromaStore` as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langmem import (
    create_manage_memory_tool,
    create_search_memory_tool,
)

from langchain_hybrid_memory.store import ChromaStore
from tests.doubles.scripted import ScriptedChatModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_core.tools import BaseTool

    from tests.doubles.doors import Door
    from tests.doubles.embedding import WordEmbedding

NAMESPACE = ("memories", "alex")


@pytest.fixture
def store(tmp_path: Path, embedding: WordEmbedding) -> Iterator[ChromaStore]:
    index: Any = {"embed": embedding, "dims": embedding.dimensions}
    with ChromaStore.open(tmp_path / "memory", index=index) as store:
        yield store


@pytest.fixture
def langmem(store: ChromaStore) -> dict[str, BaseTool]:
    """LangMem's tools by name, over our store."""
    space = ("memories", "{langgraph_user_id}")
    tools = create_manage_memory_tool(space, store=store), create_search_memory_tool(space, store=store)
    return {tool.name: tool for tool in tools}


async def test_langmem_manages_and_finds_memories(langmem: dict[str, BaseTool], store: ChromaStore, call: Door) -> None:
    alex: Any = {"configurable": {"langgraph_user_id": "alex"}}
    manage, search = langmem["manage_memory"], langmem["search_memory"]
    for content in ("Alex has a cat named Miso", "Alex lives in Lisbon"):
        assert "create" in await call(manage, "invoke", {"content": content, "action": "create"}, alex)
    assert "Miso" in await call(search, "invoke", {"query": "cat", "limit": 1}, alex)
    assert await call(search, "invoke", {"query": "cat"}, {"configurable": {"langgraph_user_id": "sam"}}) == "[]"
    (home,) = await call(store, "search", NAMESPACE, query="Lisbon", limit=1)
    moved = {"id": home.key, "content": "Alex lives in Porto", "action": "update"}
    await call(manage, "invoke", moved, alex)
    assert (await call(store, "get", NAMESPACE, home.key)).value == {"content": "Alex lives in Porto"}
    await call(manage, "invoke", {"id": home.key, "action": "delete"}, alex)
    assert [item.value["content"] for item in await call(store, "search", NAMESPACE)] == ["Alex has a cat named Miso"]


async def test_langmem_in_an_agent_uses_the_agents_store(store: ChromaStore, call: Door) -> None:
    tools = [create_manage_memory_tool(NAMESPACE), create_search_memory_tool(NAMESPACE)]
    remembers = tool_call("manage_memory", content="Alex is allergic to nuts", action="create")
    searches = tool_call("search_memory", query="allergic")
    model = ScriptedChatModel(replies=[remembers, "Noted.", searches, "No nuts for you."])
    agent: Any = create_agent(model, tools, store=store, checkpointer=InMemorySaver())
    await say(agent, call, "I cannot eat nuts", thread="first")
    messages = await say(agent, call, "What should I not eat?", thread="second")
    (found,) = [message for message in messages if isinstance(message, ToolMessage)]
    assert "Alex is allergic to nuts" in found.text
    assert [item.value for item in await call(store, "search", NAMESPACE)] == [{"content": "Alex is allergic to nuts"}]


async def test_tool_of_an_agent_reaches_the_store_through_its_runtime(store: ChromaStore, call: Door) -> None:
    notes = StructuredTool.from_function(note, anote, name="note")
    model = ScriptedChatModel(replies=[tool_call("note", text=text) for text in ("I like tea", "and tea")] + ["Well."])
    agent: Any = create_agent(model, [notes], store=store)
    messages = await say(agent, call, "Remember my tea", thread="first")
    assert [message.text for message in messages if isinstance(message, ToolMessage)] == ["[]", "['I like tea']"]
    assert [item.key for item in await call(store, "search", NAMESPACE, query="tea")] == ["and tea", "I like tea"]


def note(text: str, runtime: ToolRuntime) -> str:
    """Note a text and say what was known about it."""
    assert runtime.store is not None
    found = runtime.store.search(NAMESPACE, query=text)
    runtime.store.put(NAMESPACE, text, {"text": text})
    return str([item.value["text"] for item in found])


async def anote(text: str, runtime: ToolRuntime) -> str:
    """Note a text and say what was known about it."""
    assert runtime.store is not None
    found = await runtime.store.asearch(NAMESPACE, query=text)
    await runtime.store.aput(NAMESPACE, text, {"text": text})
    return str([item.value["text"] for item in found])


def tool_call(tool: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[ToolCall(name=tool, args=arguments, id=f"call {arguments}")])


async def say(agent: Any, call: Door, text: str, *, thread: str) -> list[Any]:
    """What an agent's thread holds after a message."""
    state = await call(agent, "invoke", {"messages": [("user", text)]}, {"configurable": {"thread_id": thread}})
    messages: list[Any] = state["messages"]
    return messages
