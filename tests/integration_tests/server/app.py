"""What a LangGraph server loads: a store, and a graph that notes what it is told and says what it knows."""

from __future__ import annotations

from pathlib import Path

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import SearchItem

from langchain_hybrid_memory.store import ChromaStore
from tests.doubles.embedding import WordEmbedding

NOTES = ("notes", "alex")

store = ChromaStore.open(
    Path(__file__).parent / "memory",
    index={"embed": WordEmbedding(), "dims": 256, "fields": ["text"]},
    ttl={"default_ttl": None, "omit_expired": True},
)


async def answer(state: MessagesState, runtime: Runtime[None]) -> dict[str, list[BaseMessage]]:
    """Look up what is known about the newest message, note the message, and say what was found word by word."""
    assert runtime.store is not None
    said = state["messages"][-1]
    found: list[SearchItem] = await runtime.store.asearch(NOTES, query=said.text, limit=1)
    await runtime.store.aput(NOTES, str(said.id), {"text": said.text})
    known = found[0].value["text"] if found else "nothing yet"
    model = GenericFakeChatModel(messages=iter([AIMessage(f"I know: {known}")]))
    return {"messages": [await model.ainvoke(state["messages"])]}


graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile()
