"""The middleware adds memory to an agent and changes nothing else about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.agents.middleware.types import AgentMiddleware
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from langchain_hybrid_memory import HybridMemory
from tests.doubles.doors import Door
from tests.doubles.life import Life, configured, learning_model, store_in_memory, talking_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.doubles.doors import Mode
    from tests.doubles.scripted import ScriptedChatModel


def live(
    mode: Mode, *middleware: AgentMiddleware[Any, Any], chat: ScriptedChatModel | None = None, **options: Any
) -> Life:
    """Talk to an agent with a memory and whatever else."""
    memory, chat = HybridMemory(learning_model(), store=store_in_memory()), chat or talking_model()
    agent: Any = create_agent(
        chat, middleware=[*middleware, memory.middleware()], checkpointer=InMemorySaver(), **options
    )
    return Life(memory, agent, chat, Door(mode))


async def logged(life: Life) -> list[str]:
    found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=100)
    return [item.value["text"] for item in sorted(found, key=lambda item: (item.value["at"], item.value["position"]))]


def test_memory_adds_two_nodes(mode: Mode) -> None:
    """Each hook is a checkpoint of the whole state a turn."""
    assert set(live(mode).agent.nodes) == {"__start__", "memory.before_agent", "model", "memory.after_agent"}


async def test_turn_makes_no_more_checkpoints_than_its_nodes(mode: Mode) -> None:
    life = live(mode)
    await life.say("I live in Lisbon.")
    history = await life.call.collect(life.agent, "get_state_history", configured("alex", "first"))
    assert len(history) == 5


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}."


async def test_tools_and_system_prompt_reach_the_model(mode: Mode) -> None:
    life = live(mode, tools=[weather], system_prompt="Be brief.")
    await life.say("I live in Lisbon.")
    assert life.chat.calls[0].tools == ("weather",)
    assert life.chat.calls[0].messages[0] == SystemMessage("Be brief.")


async def test_summary_that_another_middleware_inserts_is_not_on_record(mode: Mode) -> None:
    summarizer = talking_model(replies=lambda _: "I live in Rome.")
    middleware: Any = SummarizationMiddleware(summarizer, trigger=("messages", 4), keep=("messages", 2))
    life = live(mode, middleware)
    said = [f"I prefer drink {number}." for number in range(5)]
    for text in said:
        await life.say(text)
    await life.flush()
    log = await logged(life)
    assert summarizer.calls
    assert [text for text in log if not text.startswith("Noted")] == said
    assert len(await life.facts()) == 5


async def test_two_agents_may_share_a_memory(mode: Mode) -> None:
    life = live(mode)
    middleware: Any = life.memory.middleware()
    other: Any = create_agent(life.chat, middleware=[middleware], checkpointer=InMemorySaver())
    await life.say("I live in Lisbon.")
    asked = {"messages": [("user", "Where do I live?")]}
    await life.call(other, "invoke", asked, configured("alex", "first"))
    assert "I live in Lisbon" in life.prompt


# --- an agent in another agent, or in a graph ---


def asking(nested: Any) -> StructuredTool:
    """Make a tool that asks another agent."""

    async def aask(question: str) -> str:
        return str((await nested.ainvoke({"messages": [("user", question)]}))["messages"][-1].text)

    def ask(question: str) -> str:
        return str(nested.invoke({"messages": [("user", question)]})["messages"][-1].text)

    return StructuredTool.from_function(ask, aask, description="Ask an expert.")


async def with_expert(mode: Mode, make: Callable[[Any], Any]) -> Life:
    """Talk to an agent that asks another one, both with the same memory, which knows what drink somebody prefers."""
    memory = HybridMemory(learning_model(), store=store_in_memory())
    expert: Any = make(memory)
    question = {"question": "I live in Rome. What do I prefer?"}
    calling = AIMessage("", tool_calls=[{"name": "ask", "args": question, "id": "1"}])
    chat = talking_model(replies=[calling, "Done."])
    middleware: Any = memory.middleware()
    agent: Any = create_agent(chat, tools=[asking(expert)], middleware=[middleware], checkpointer=InMemorySaver())
    life = Life(memory, agent, chat, Door(mode))
    await life.call(memory.for_user("alex"), "record", [("user", "I prefer tea.")], thread_id="other")
    await life.flush()
    assert await life.say("I live in Lisbon.") == "Done."
    await life.flush()
    return life


async def homes(life: Life) -> list[str]:
    return sorted(fact.value for fact in await life.facts(current_only=False) if fact.value != "tea")


@pytest.mark.parametrize("checkpointer", [None, InMemorySaver()], ids=["no checkpointer", "checkpointer"])
@pytest.mark.parametrize("is_told", [False, True], ids=["by default", "told to record"])
@pytest.mark.parametrize("door", ["graph", "agent", "in a graph"])
async def test_run_nested_in_another_agents_tool_recalls_and_records_only_when_told_to(
    mode: Mode, door: str, checkpointer: Any, *, is_told: bool
) -> None:
    """Law 7: what such a run is told are the words of another model."""
    expert = talking_model()

    def make(memory: HybridMemory) -> Any:
        middleware: Any = memory.middleware()
        nested: Any = memory.graph(expert)
        if door != "graph":
            nested = create_agent(expert, middleware=[middleware], checkpointer=checkpointer)
        if door == "in a graph":
            builder = StateGraph(MessagesState)
            builder.add_node("expert", nested)
            builder.add_edge(START, "expert")
            nested = builder.compile(checkpointer=checkpointer)
        return nested.with_config(configurable={"record_nested": True}) if is_told else nested

    life = await with_expert(mode, make)
    assert "I prefer tea" in expert.calls[0].prompt
    assert await homes(life) == (["Lisbon", "Rome"] if is_told else ["Lisbon"])
    assert ("I live in Rome. What do I prefer?" in await logged(life)) == is_told


class Checking(AgentMiddleware[Any, Any]):
    """Asks another agent before each turn."""

    def __init__(self, nested: Any) -> None:
        super().__init__()
        self.nested = nested

    def before_agent(self, state: Any, runtime: Any) -> None:  # noqa: ARG002 - LangChain's signature
        self.nested.invoke({"messages": [("user", "I live in Rome.")]})

    async def abefore_agent(self, state: Any, runtime: Any) -> None:  # noqa: ARG002 - LangChain's signature
        await self.nested.ainvoke({"messages": [("user", "I live in Rome.")]})


async def test_run_nested_in_another_agents_hook_leaves_no_trace(mode: Mode) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    middleware: list[Any] = [Checking(memory.graph(talking_model())), memory.middleware()]
    chat = talking_model()
    life = Life(memory, create_agent(chat, middleware=middleware), chat, Door(mode))
    await life.say("I live in Lisbon.")
    await life.flush()
    assert await homes(life) == ["Lisbon"]


@pytest.mark.parametrize("door", ["graph", "agent"])
async def test_agent_that_is_a_node_of_a_graph_remembers(mode: Mode, door: str) -> None:
    """There a person speaks: the messages are the graph's own."""
    memory, chat = HybridMemory(learning_model(), store=store_in_memory()), talking_model()
    middleware: Any = memory.middleware()
    builder = StateGraph(MessagesState)
    builder.add_node("turn", memory.graph(chat) if door == "graph" else create_agent(chat, middleware=[middleware]))
    builder.add_edge(START, "turn")
    life = Life(memory, builder.compile(checkpointer=InMemorySaver()), chat, Door(mode))
    await life.say("I live in Lisbon.")
    await life.say("I prefer tea.")
    await life.flush()
    assert sorted(fact.value for fact in await life.facts()) == ["Lisbon", "tea"]
    assert await logged(life) == ["I live in Lisbon.", "Noted, number 1.", "I prefer tea.", "Noted, number 3."]
