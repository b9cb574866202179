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

from langchain_hybrid_memory._flow import Flow, call
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.nodes import Nodes, StepNode
from langchain_hybrid_memory.state import MemoryState


def turn_graph(
    core: Core,
    nodes: Nodes,
    model: Runnable[LanguageModelInput, AIMessage],
    *,
    system_prompt: str | SystemMessage | None,
    checkpointer: BaseCheckpointSaver[Any] | bool | None,
    store: BaseStore | None,
) -> CompiledStateGraph[MemoryState, None, MessagesState, MessagesState]:
    """Compile `recall - respond - record` around a chat model.

    Args:
        core: What the steps share.
        nodes: The memory's nodes.
        model: The user's own model, as it is; its tokens stream as they would without memory.
        system_prompt: Leads every prompt.
        checkpointer: Keeps the thread; `None` where a server brings its own.
        store: Passed on to the graph, for nodes and tools that ask for it.
    """

    def respond(state: MemoryState) -> Flow[dict[str, Any]]:
        system, messages = core.composed(state, system_prompt)
        answer = yield from call(model, [system, *messages] if system else messages)
        return {"messages": [answer]}

    builder = StateGraph(MemoryState, input_schema=MessagesState, output_schema=MessagesState)
    builder.add_node("recall", nodes.recall)
    builder.add_node("respond", StepNode(respond, "respond"))
    builder.add_node("record", nodes.record)
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "respond")
    builder.add_edge("respond", "record")
    builder.add_edge("record", END)
    return builder.compile(checkpointer=checkpointer, store=store, name="turn")
