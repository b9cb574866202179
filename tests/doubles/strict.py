"""A chat model that refuses what some providers refuse: the shapes of a prompt that are not everywhere allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage

from tests.doubles.scripted import ScriptedChatModel


class RefusedPromptError(ValueError):
    """The prompt has a shape that this model does not take."""


class StrictChatModel(ScriptedChatModel):
    """Takes one system message, at the start; text alone; no names of people; each result right behind its call."""

    def _respond(self, messages: Sequence[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        refusal = refused(messages)
        if refusal:
            raise RefusedPromptError(refusal)
        return super()._respond(messages, *args, **kwargs)


def refused(messages: Sequence[BaseMessage]) -> str:
    """Why a strict model refuses a prompt; empty where it does not."""
    if any(isinstance(message, SystemMessage) for message in messages[1:]):
        return "a system message that is not the first"
    if not all(isinstance(message.content, str) for message in messages):
        return "content blocks"
    if any(message.name for message in messages if not isinstance(message, ToolMessage)):
        return "a name"
    return unpaired(messages)


def unpaired(messages: Sequence[BaseMessage]) -> str:
    """Which call or result does not stand right beside its counterpart; empty where all do."""
    waiting: list[str | None] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in waiting:
                return f"the result of {message.tool_call_id!r} without its call"
            waiting.remove(message.tool_call_id)
        elif waiting:
            return f"calls without a result: {waiting}"
        elif isinstance(message, AIMessage):
            waiting = [call["id"] for call in message.tool_calls]
    return f"calls without a result: {waiting}" if waiting else ""
