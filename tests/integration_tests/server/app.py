"""What a LangGraph server loads: a store, who may come in, and graphs with memory and without.

`turn` and `agent` answer. They learn nothing by themselves (`extraction="manual"`): `learn`, meant to be scheduled,
works for everybody whom turns have left something to learn from, `memorize` for one user. None of them has a store or
checkpointer of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import SearchItem
from langgraph_sdk import Auth
from typing_extensions import TypedDict

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.store import ChromaStore
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import learning_model
from tests.doubles.scripted import ScriptedChatModel, echo

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


# --- with memory ---


def look_up(messages: Sequence[BaseMessage]) -> str | AIMessage:
    """Search memory for what is asked, then say what was found."""
    if isinstance(messages[-1], ToolMessage):
        return echo(messages)
    search = {"query": messages[-1].text, "kind": "facts"}
    return AIMessage("", tool_calls=[{"name": "search_memory", "args": search, "id": "search-1"}])


memory = HybridMemory(learning_model(), extraction="manual")
turn = memory.graph(ScriptedChatModel(replies=echo))
agent = create_agent(
    ScriptedChatModel(replies=look_up), tools=memory.tools(), middleware=[memory.middleware()], name="agent"
)
memorize = memory.memorize_graph()


class Learned(TypedDict, total=False):
    """What `learn` leaves: how many episodes wait still."""

    pending: int


async def drain(state: Learned) -> Learned:  # noqa: ARG001 - langgraph's signature
    """Learn for everybody."""
    return {"pending": (await memory.adrain()).pending}


learn = StateGraph(Learned).add_node(drain).add_edge(START, "drain").compile()
auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None) -> str:
    """Take the token for the name; a real server would check it."""
    if not authorization:
        raise Auth.exceptions.HTTPException(status_code=401, detail="who are you?")
    return authorization.removeprefix("Bearer ")
