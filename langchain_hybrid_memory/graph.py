"""The turn graph: recall, respond, record."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.runnables import Runnable
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore

from langchain_hybrid_memory.nodes import Nodes
from langchain_hybrid_memory.state import MemoryState


def turn_graph(
    nodes: Nodes,
    model: str | Runnable[LanguageModelInput, AIMessage],
    *,
    system_prompt: str | SystemMessage | None,
    checkpointer: BaseCheckpointSaver[Any] | bool | None,
    store: BaseStore | None,
) -> CompiledStateGraph[MemoryState, None, MessagesState, MessagesState]:
    """Compile `recall - respond - record` around a chat model.

    Args:
        nodes: The memory's nodes.
        model: The user's own model, as it is; its tokens stream as they would without memory.
        system_prompt: Leads every prompt.
        checkpointer: Keeps the thread; `None` where a server brings its own.
        store: Passed on to the graph, for nodes and tools that ask for it.
    """
    builder = StateGraph(MemoryState, input_schema=MessagesState, output_schema=MessagesState)
    builder.add_node("recall", nodes.recall)
    builder.add_node("respond", nodes.respond(model, system_prompt=system_prompt))
    builder.add_node("record", nodes.record)
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "respond")
    builder.add_edge("respond", "record")
    builder.add_edge("record", END)
    return builder.compile(checkpointer=checkpointer, store=store, name="turn")
