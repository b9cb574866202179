"""The middleware works beside LangChain's own, whichever stands first."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolSelectorMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.middleware.context_editing import ClearToolUsesEdit
from langchain.agents.middleware.types import AgentMiddleware, ModelRequest
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel, Field

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.budget import NO_RESULT
from langchain_hybrid_memory.records import fingerprint
from tests.doubles.doors import Door
from tests.doubles.life import Life, configured, learning_model, store_in_memory, talking_model
from tests.doubles.strict import StrictChatModel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.doubles.doors import Mode
    from tests.doubles.scripted import ScriptedChatModel

HOME = "I live in Lisbon"
either_first = pytest.mark.parametrize("is_first", [True, False], ids=["memory first", "memory last"])


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}."


def calling(*cities: str, name: str = "weather", text: str = "") -> AIMessage:
    """Ask for the weather, in several cities at once."""
    return AIMessage(text, tool_calls=[{"name": name, "args": {"city": c}, "id": f"{c}-1"} for c in cities])


def strict_model(**options: Any) -> StrictChatModel:
    return StrictChatModel(**{"replies": lambda messages: f"Noted, number {len(messages)}.", **options})


async def live(
    mode: Mode,
    *others: AgentMiddleware[Any, Any],
    is_first: bool = False,
    chat: ScriptedChatModel | None = None,
    **options: Any,
) -> Life:
    """Talk to an agent with other middleware and with a memory that knows where somebody lives."""
    memory, chat = HybridMemory(learning_model(), store=store_in_memory()), chat or strict_model()
    mine: list[Any] = [memory.middleware()]
    middleware = [*mine, *others] if is_first else [*others, *mine]
    agent: Any = create_agent(chat, middleware=middleware, checkpointer=InMemorySaver(), **options)
    life = Life(memory, agent, chat, Door(mode))
    await life.call(memory.for_user("alex"), "record", [("user", f"{HOME}.")], thread_id="other")
    await life.flush()
    return life


async def logged(life: Life) -> list[str]:
    """What was said in the thread, as the log has it, in order."""
    found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages", "first"), limit=100)
    return [item.value["text"] for item in sorted(found, key=lambda item: item.value["position"])]


async def messages_of(life: Life) -> list[BaseMessage]:
    messages: list[BaseMessage] = (await life.call(life.agent, "get_state", configured("alex", "first"))).values[
        "messages"
    ]
    return messages


async def recalled_for(life: Life) -> str:
    """The fingerprint of the words that the block in the checkpoint was brought for."""
    state = (await life.call(life.agent, "get_state", configured("alex", "first"))).values
    return str(state["recalled"]["digest"])


async def values(life: Life) -> list[str]:
    await life.flush()
    return sorted(fact.value for fact in await life.facts(current_only=False))


def blocks(life: Life) -> set[str]:
    """The person's newest message as each model call saw it, with the block in front of it."""
    return {[m.text for m in call.messages if isinstance(m, HumanMessage)][-1] for call in life.chat.calls_of("chat")}


# --- personal data ---


@either_first
async def test_what_pii_middleware_takes_out_is_neither_kept_nor_learned(mode: Mode, *, is_first: bool) -> None:
    life = await live(mode, PIIMiddleware("email"), is_first=is_first)
    await life.say("I prefer tea at alex@example.com. What is the weather where I live?")
    assert HOME in life.prompt, "what was recalled is shown, though the message was rewritten since"
    assert await values(life) == ["Lisbon", "tea at [REDACTED_EMAIL]"]
    items = await life.call(life.memory.store, "search", ("memory",), limit=1_000)
    assert "alex@example.com" not in str([item.value for item in items])


@either_first
async def test_what_pii_middleware_takes_out_of_an_answer_is_not_kept(mode: Mode, *, is_first: bool) -> None:
    chat = strict_model(replies=["Write to sam@example.com."])
    pii = PIIMiddleware("email", apply_to_input=False, apply_to_output=True)
    life = await live(mode, pii, is_first=is_first, chat=chat)
    await life.say("Hello.")
    assert await logged(life) == ["Hello.", "Write to [REDACTED_EMAIL]."]


async def test_turn_that_pii_middleware_blocks_is_answered_with_its_error(mode: Mode) -> None:
    life = await live(mode, PIIMiddleware("email", strategy="block"))
    with pytest.raises(Exception, match="Detected 1 instance"):
        await life.say("I am alex@example.com.")
    assert not life.chat.calls


# --- a person who approves ---


def approving(mode: Mode, *replies: Any, is_first: bool) -> Any:
    approval: Any = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
    return live(mode, approval, is_first=is_first, chat=strict_model(replies=list(replies)), tools=[weather])


@either_first
async def test_interrupted_turn_that_is_resumed_is_on_record_once(mode: Mode, *, is_first: bool) -> None:
    life = await approving(mode, calling("Lisbon", text="Let me see."), "It rains.", is_first=is_first)
    asked = {"messages": [("user", "I prefer tea. What is the weather where I live?")]}
    stopped = await life.call(life.agent, "invoke", asked, configured("alex", "first"))
    assert stopped["__interrupt__"]
    assert len(blocks(life)) == 1
    resume: Any = Command(resume={"decisions": [{"type": "approve"}]})
    await life.call(life.agent, "invoke", resume, configured("alex", "first"))
    assert len(blocks(life)) == 1, "the same block after the interrupt"
    assert HOME in blocks(life).pop()
    said = ["I prefer tea. What is the weather where I live?", "Let me see.", "Rain in Lisbon.", "It rains."]
    assert await logged(life) == said
    assert await values(life) == ["Lisbon", "tea"]


@either_first
async def test_new_message_instead_of_the_resume_loses_nothing(mode: Mode, *, is_first: bool) -> None:
    life = await approving(mode, calling("Lisbon", text="Let me see."), "As you like.", "Bye.", is_first=is_first)
    await life.say("I prefer tea. What is the weather where I live?")
    assert await life.say("Never mind. My cat is called Tom.") == "As you like."
    assert NO_RESULT in life.prompt, "the call that nobody approved is answered for the model alone"
    assert [message.type for message in await messages_of(life)] == ["human", "ai", "human", "ai"]
    assert await life.say("Thanks.") == "Bye."
    said = ["I prefer tea. What is the weather where I live?", "Let me see.", "Never mind. My cat is called Tom."]
    assert (await logged(life))[:3] == said
    assert "tea" in await values(life)


# --- retries, lists, limits, selection, editing, fallbacks ---


@either_first
async def test_tool_that_is_retried_leaves_one_result(mode: Mode, *, is_first: bool) -> None:
    attempts: list[str] = []

    def shaky(city: str) -> str:
        attempts.append(city)
        if len(attempts) < 3:
            raise ConnectionError(city)
        return "Sun."

    async def ashaky(city: str) -> str:
        return shaky(city)

    unstable = StructuredTool.from_function(shaky, ashaky, name="weather", description="Tell the weather.")
    chat = strict_model(replies=[calling("Rome"), "Sun, at last."])
    retry = ToolRetryMiddleware(initial_delay=0, jitter=False)
    life = await live(mode, retry, is_first=is_first, chat=chat, tools=[unstable])
    assert await life.say("What is the weather where I live?") == "Sun, at last."
    assert await logged(life) == ["What is the weather where I live?", "Sun.", "Sun, at last."]
    assert len(blocks(life)) == 1


@either_first
async def test_todo_list_and_memory_share_one_system_message(mode: Mode, *, is_first: bool) -> None:
    todo: Any = TodoListMiddleware()
    plan = {"todos": [{"content": "Look", "status": "in_progress"}]}
    writing = AIMessage("", tool_calls=[{"name": "write_todos", "args": plan, "id": "1"}])
    chat = talking_model(replies=[writing, "Done."])
    life = await live(mode, todo, is_first=is_first, chat=chat, system_prompt="Be brief.")
    user = life.memory.for_user("alex")
    await life.call(user, "pin", (await life.facts())[0].id)
    assert await life.say("What should I do where I live?") == "Done."
    for call in life.chat.calls_of("chat"):
        system, *others = call.messages
        assert not [message for message in others if message.type == "system"]
        assert all(words in system.text for words in ("Be brief.", "lives in Lisbon", "write_todos"))
    first, second = life.chat.calls_of("chat")
    assert first.messages[0] == second.messages[0]


@either_first
async def test_model_that_fails_and_its_fallback_see_the_same_prompt(mode: Mode, *, is_first: bool) -> None:
    broken, spare = strict_model(failures={("chat", 0): TimeoutError()}), strict_model()
    life = await live(mode, ModelFallbackMiddleware(spare), is_first=is_first, chat=broken)
    await life.say("What is the weather where I live?")
    assert HOME in spare.calls[0].prompt
    assert spare.calls[0].messages == broken.calls[0].messages


@either_first
async def test_model_that_is_retried_sees_the_same_prompt(mode: Mode, *, is_first: bool) -> None:
    chat = strict_model(failures={("chat", 0): TimeoutError()})
    life = await live(mode, ModelRetryMiddleware(initial_delay=0, jitter=False), is_first=is_first, chat=chat)
    await life.say("What is the weather where I live?")
    first, second = life.chat.calls_of("chat")
    assert first.messages == second.messages
    assert HOME in first.prompt


@either_first
async def test_tools_are_selected_and_memory_stays(mode: Mode, *, is_first: bool) -> None:
    selector = talking_model(structured=lambda *_: {"tools": ["weather"]})
    chosen: Any = LLMToolSelectorMiddleware(model=selector, max_tools=1)

    @tool
    def unused(city: str) -> str:
        """Never used."""
        return city

    life = await live(mode, chosen, is_first=is_first, tools=[weather, unused])
    await life.say("What is the weather where I live?")
    assert life.chat.calls[-1].tools == ("weather",)
    assert HOME in life.prompt


@either_first
async def test_tool_results_that_are_cleared_for_the_model_stay_on_record(mode: Mode, *, is_first: bool) -> None:
    editing = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=1)])
    chat = strict_model(replies=[calling("Rome"), calling("Oslo"), "Rain."])
    life = await live(mode, editing, is_first=is_first, chat=chat, tools=[weather])
    await life.say("What is the weather where I live?")
    assert "Rain in Rome." not in life.prompt
    assert len(blocks(life)) == 1
    assert HOME in blocks(life).pop()
    assert (await logged(life))[1:3] == ["Rain in Rome.", "Rain in Oslo."]


@either_first
async def test_turn_that_ends_at_a_limit_is_on_record(mode: Mode, *, is_first: bool) -> None:
    limit: Any = ToolCallLimitMiddleware(run_limit=1, exit_behavior="end")
    chat = strict_model(replies=[calling("Rome"), calling("Oslo"), "Hello again."])
    life = await live(mode, limit, is_first=is_first, chat=chat, tools=[weather])
    await life.say("I prefer tea. What is the weather where I live?")
    assert await life.say("Hello?") == "Hello again."
    assert {"I prefer tea. What is the weather where I live?", "Hello?"} < set(await logged(life))
    assert await values(life) == ["Lisbon", "tea"]


class Shouting(AgentMiddleware[Any, Any]):
    """Changes the newest message for the model alone."""

    def wrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], Any]) -> Any:
        return handler(self.louder(request))

    async def awrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[Any]]) -> Any:
        return await handler(self.louder(request))

    def louder(self, request: ModelRequest) -> ModelRequest:
        *before, last = request.messages
        return request.override(messages=[*before, last.model_copy(update={"content": f"{last.text} NOW!"})])


@either_first
async def test_memory_is_shown_beside_what_another_middleware_makes_of_the_message(
    mode: Mode, *, is_first: bool
) -> None:
    life = await live(mode, Shouting(), is_first=is_first)
    await life.say("Where do I live?")
    assert HOME in life.prompt
    assert life.prompt.endswith("Where do I live? NOW!")
    assert (await logged(life))[0] == "Where do I live?"


# --- two summaries ---


def summarizing(keep: int = 2) -> Any:
    summarizer = talking_model(replies=lambda _: "I live in Rome.")
    return SummarizationMiddleware(summarizer, trigger=("messages", 4), keep=("messages", keep))


@either_first
async def test_two_summaries_are_warned_of_once(
    mode: Mode, caplog: pytest.LogCaptureFixture, *, is_first: bool
) -> None:
    life = await live(mode, summarizing(), is_first=is_first)
    with caplog.at_level(logging.WARNING):
        for number in range(6):
            await life.say(f"I prefer drink {number}.")
    assert [record.message for record in caplog.records if "both summarize" in record.message] == [
        caplog.records[-1].message
    ]
    assert "Rome" not in await values(life)


async def test_memory_without_a_model_does_not_warn_of_another_summary(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    memory = HybridMemory(store=store_in_memory())
    middleware: list[Any] = [summarizing(), memory.middleware()]
    agent: Any = create_agent(strict_model(), middleware=middleware, checkpointer=InMemorySaver())
    life = Life(memory, agent, talking_model(), Door(mode))
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            await life.say(f"I prefer drink {number}.")
    assert not caplog.records


@either_first
async def test_message_that_is_summarized_away_in_its_own_turn_is_learned(mode: Mode, *, is_first: bool) -> None:
    chat = strict_model(replies=[calling("Rome"), calling("Oslo"), calling("Faro"), "Rain.", "Fine."])
    life = await live(mode, summarizing(), is_first=is_first, chat=chat, tools=[weather])
    await life.say("I prefer tea. What is the weather?")
    assert (await messages_of(life))[0].additional_kwargs["lc_source"] == "summarization"
    await life.say("Thanks.")
    assert await values(life) == ["Lisbon", "tea"]


# --- answers of a given form ---


class Answer(BaseModel):
    """An answer."""

    city: str = Field(max_length=6)


@either_first
async def test_answer_that_is_asked_for_again_shows_the_same_block(mode: Mode, *, is_first: bool) -> None:
    chat = strict_model(replies=[calling("Lisboa e Sintra", name="Answer"), calling("Lisbon", name="Answer")])
    life = await live(mode, is_first=is_first, chat=chat, tools=[weather], response_format=ToolStrategy(Answer))
    asked = {"messages": [("user", "Where do I live?")]}
    result = await life.call(life.agent, "invoke", asked, configured("alex", "first"))
    assert result["structured_response"] == Answer(city="Lisbon")
    assert len(life.chat.calls) == 2
    assert len(blocks(life)) == 1
    assert HOME in blocks(life).pop()


async def test_answer_in_the_providers_own_form_is_on_record(mode: Mode) -> None:
    chat = strict_model(replies=['{"city": "Lisbon"}'])
    life = await live(mode, chat=chat, response_format=ProviderStrategy(Answer))
    asked = {"messages": [("user", "Where do I live?")]}
    result = await life.call(life.agent, "invoke", asked, configured("alex", "first"))
    assert result["structured_response"] == Answer(city="Lisbon")
    assert await logged(life) == ["Where do I live?", '{"city": "Lisbon"}']


# --- failures, edits, the past ---


async def test_model_that_fails_in_mid_turn_loses_no_message(mode: Mode) -> None:
    chat = strict_model(replies=[calling("Rome", "Oslo"), "", "Rain.", "Yes."], failures={("chat", 1): TimeoutError()})
    life = await live(mode, chat=chat, tools=[weather])
    with pytest.raises(TimeoutError):
        await life.say("I prefer tea. What is the weather where I live?")
    await life.call(life.agent, "invoke", None, configured("alex", "first"))
    assert len(blocks(life)) == 1, "the same block when the turn goes on"
    assert (await logged(life))[1:] == ["Rain in Rome.", "Rain in Oslo.", "Rain."]
    assert await values(life) == ["Lisbon", "tea"]


async def test_turn_that_is_asked_again_after_a_failure_is_on_record_with_both_messages(mode: Mode) -> None:
    life = await live(mode, chat=strict_model(failures={("chat", 0): TimeoutError()}))
    with pytest.raises(TimeoutError):
        await life.say("I prefer tea.")
    await life.say("My cat is called Tom.")
    assert (await logged(life))[:2] == ["I prefer tea.", "My cat is called Tom."]
    assert "tea" in await values(life)


async def edited(life: Life, *messages: BaseMessage, as_node: str = "memory.before_agent") -> None:
    """Edit the thread's latest checkpoint and go on from there."""
    config = configured("alex", "first")
    await life.call(life.agent, "update_state", config, {"messages": list(messages)}, as_node=as_node)
    await life.call(life.agent, "invoke", None, config)


async def test_edited_message_is_recalled_for_anew(mode: Mode) -> None:
    life = await live(mode)
    await life.call(life.memory.for_user("alex"), "record", [("user", "My cat is called Tom.")], thread_id="other")
    await life.say("Where do I live?")
    (asked, *_) = await messages_of(life)
    await edited(life, HumanMessage("What is my cat called?", id=asked.id))
    assert "My cat is called Tom" in life.prompt
    assert await recalled_for(life) == fingerprint("What is my cat called?")
    assert (await logged(life))[0] == "What is my cat called?"


async def test_message_added_to_a_checkpoint_gets_its_own_block(mode: Mode) -> None:
    life = await live(mode)
    await life.call(life.memory.for_user("alex"), "record", [("user", "My cat is called Tom.")], thread_id="other")
    await life.say("Where do I live?")
    await edited(life, HumanMessage("What is my cat called?"))
    newest = life.chat.calls[-1].messages[-1].text
    assert "My cat is called Tom" in newest
    assert "<memory>" not in "".join(message.text for message in life.chat.calls[-1].messages[:-1])
    assert await recalled_for(life) == fingerprint("What is my cat called?"), "kept for the rest of the turn"
    assert "What is my cat called?" in await logged(life)


async def test_thread_taken_back_in_time_gets_a_block_of_its_own(mode: Mode) -> None:
    life = await live(mode)
    await life.say("I prefer tea.")
    await life.say("Where do I live?")
    history = await life.call.collect(life.agent, "get_state_history", configured("alex", "first"))
    for said, node in ((3, "model"), (2, "__start__")):
        old = next(s.config for s in history if len(s.values.get("messages", ())) == said and s.next == (node,))
        asked = HumanMessage("What do I prefer?")
        config = {"configurable": {**old["configurable"], "user_id": "alex"}}
        if node == "model":
            changed = {"messages": [asked]}
            config = await life.call(life.agent, "update_state", config, changed, as_node="memory.before_agent")
            config["configurable"]["user_id"] = "alex"
        await life.call(life.agent, "invoke", None if node == "model" else {"messages": [asked]}, config)
        *before, newest = life.chat.calls[-1].messages
        assert newest.text.startswith("<memory>")
        assert newest.text.endswith("What do I prefer?")
        assert not [message for message in before if "<memory>" in message.text]
