"""From turn to turn a prompt begins, byte for byte, as the one before it: what a provider has cached stays of use."""

from __future__ import annotations

import json
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import HybridMemory
from tests.doubles.doors import Door
from tests.doubles.life import Life, learning_model, middleware_agent, store_in_memory, talking_model, turn_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.messages import BaseMessage

    from tests.doubles.doors import Mode
    from tests.doubles.scripted import ScriptedChatModel

QUESTIONS = ("Where do I live, in Lisbon?", "Who works in Lisbon?", "What is in Lisbon?", "I prefer tea in Lisbon.")


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}."


def look_first(messages: Sequence[BaseMessage]) -> str | AIMessage:
    """Call a tool, then answer."""
    if messages[-1].type == "human":
        return AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Lisbon"}, "id": str(len(messages))}])
    return f"Noted, number {len(messages)}."


async def prompts(mode: Mode, chat: ScriptedChatModel, create: Callable[..., object]) -> list[list[str]]:
    """Each prompt of a conversation, a text a message; everything is learned between the turns."""
    memory = HybridMemory(learning_model(), store=store_in_memory(), checkpointer=InMemorySaver())
    life = Life(memory, create(memory, chat), chat, Door(mode))
    await life.say("I live in Lisbon. My friend Sarah works at Google in Lisbon.", thread="earlier")
    await life.flush()
    seen = len(chat.calls)
    for text in QUESTIONS:
        await life.say(text)
        await life.flush()
    return [
        [json.dumps([said.type, said.content, getattr(said, "tool_calls", None)]) for said in call.messages]
        for call in chat.calls[seen:]
    ]


@pytest.mark.parametrize("create", [turn_agent, middleware_agent])
async def test_prompt_begins_as_the_last_one_up_to_its_newest_question(
    mode: Mode, create: Callable[..., object]
) -> None:
    shown = await prompts(mode, talking_model(), create)
    assert all("memory>" in prompt[-1] for prompt in shown)  # something is recalled in each turn
    assert len({prompt[-1] for prompt in shown}) == len(QUESTIONS)
    for before, after in pairwise(shown):
        assert after[: len(before) - 1] == before[:-1]


async def test_prompt_of_a_tool_loop_begins_with_the_whole_one_before(mode: Mode) -> None:
    shown = await prompts(mode, talking_model(replies=look_first), partial(middleware_agent, tools=[weather]))
    assert len(shown) == 2 * len(QUESTIONS)
    for asked, answered in zip(shown[::2], shown[1::2], strict=True):
        assert "memory>" in asked[-1]
        assert answered[: len(asked)] == asked
