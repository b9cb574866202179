"""The middleware adds memory to an agent and changes nothing else about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.agents.middleware.types import AgentMiddleware, ModelRequest
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from langchain_hybrid_memory import HybridMemory
from tests.doubles.doors import Door
from tests.doubles.life import Life, configured, learning_model, store_in_memory, talking_model

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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


class Answer(BaseModel):
    """An answer."""

    text: str


async def test_structured_output_of_the_agent_works(mode: Mode) -> None:
    call = AIMessage("", tool_calls=[{"name": "Answer", "args": {"text": "Lisbon"}, "id": "1"}])
    life = live(mode, chat=talking_model(replies=[call]), response_format=ToolStrategy(Answer))
    asked = {"messages": [("user", "I live in Lisbon. Where do I live?")]}
    result = await life.call(life.agent, "invoke", asked, configured("alex", "first"))
    assert result["structured_response"] == Answer(text="Lisbon")
    assert "I live in Lisbon. Where do I live?" in await logged(life)


class Shouting(AgentMiddleware[Any, Any]):
    """Changes the newest message for the model alone."""

    def wrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], Any]) -> Any:
        return handler(self.louder(request))

    async def awrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[Any]]) -> Any:
        return await handler(self.louder(request))

    def louder(self, request: ModelRequest) -> ModelRequest:
        *before, last = request.messages
        return request.override(messages=[*before, last.model_copy(update={"content": last.text.upper()})])


async def test_what_another_middleware_shows_the_model_is_kept(mode: Mode) -> None:
    life = live(mode, Shouting())
    await life.say("I live in Lisbon.")
    assert life.chat.calls[-1].messages[-1].text.endswith("I LIVE IN LISBON.")
    assert (await logged(life))[0] == "I live in Lisbon."


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


@pytest.mark.parametrize("checkpointer", [None, InMemorySaver()], ids=["no checkpointer", "checkpointer"])
async def test_agent_used_as_a_tool_recalls_and_leaves_no_trace(mode: Mode, checkpointer: Any) -> None:
    """Law 7: what such an agent is told are the words of another model."""
    memory, expert = HybridMemory(learning_model(), store=store_in_memory()), talking_model()
    middleware: Any = memory.middleware()
    nested: Any = create_agent(expert, middleware=[middleware], checkpointer=checkpointer)

    async def aask(question: str) -> str:
        return str((await nested.ainvoke({"messages": [("user", question)]}))["messages"][-1].text)

    def ask(question: str) -> str:
        return str(nested.invoke({"messages": [("user", question)]})["messages"][-1].text)

    calling = AIMessage("", tool_calls=[{"name": "ask", "args": {"question": "I live in Rome."}, "id": "1"}])
    chat = talking_model(replies=[calling, "Done."])
    asking = StructuredTool.from_function(ask, aask, description="Ask an expert.")
    agent: Any = create_agent(chat, tools=[asking], middleware=[middleware], checkpointer=InMemorySaver())
    life = Life(memory, agent, chat, Door(mode))
    await life.call(memory.for_user("alex"), "record", [("user", "I prefer tea.")], thread_id="other")
    assert await life.say("I live in Lisbon. What tea do I prefer where I live?") == "Done."
    await life.flush()
    assert "I prefer tea" in expert.calls[0].prompt
    assert "I live in Rome." not in await logged(life)
    assert sorted(fact.value for fact in await life.facts(current_only=False)) == ["Lisbon", "tea"]
