"""Memory for an agent made by `create_agent`: the steps of a turn as two hooks and a wrapped model call."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from langchain.agents.middleware.types import AgentMiddleware, ExtendedModelResponse, ModelRequest, ModelResponse
from langgraph.runtime import Runtime
from langgraph.types import Command

from langchain_hybrid_memory._flow import Flow, arun, run
from langchain_hybrid_memory.background import Background
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.nodes import recorded_turn
from langchain_hybrid_memory.state import MemoryAgentState, MemoryState, MemoryUpdate

SUMMARIZER = "summarization"
"""How LangChain's `SummarizationMiddleware` marks the message it puts in the place of others."""

logger = logging.getLogger("langchain_hybrid_memory")


class HybridMemoryMiddleware(AgentMiddleware[MemoryAgentState, Any]):
    """Gives an agent the four memories; everything else about it stays as it is."""

    state_schema = MemoryAgentState

    def __init__(self, core: Core, background: Background) -> None:
        """Bind the hooks to one memory."""
        super().__init__()
        self._core = core
        self._background = background
        self._has_warned = False

    @property
    def name(self) -> str:
        """The name the hooks' nodes carry."""
        return "memory"

    def before_agent(self, state: MemoryAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Recall what matters for the newest message."""
        return dict(run(self._core.recalled(state)))

    async def abefore_agent(self, state: MemoryAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Recall what matters for the newest message."""
        return dict(await arun(self._core.recalled(state)))

    def wrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]
    ) -> ModelResponse | ExtendedModelResponse:
        """Show the model the composed view; the state's messages stay untouched."""
        composed, update = run(self._composed(request))
        with self._core.answering(cast("MemoryState", request.state)):
            return _with_update(handler(composed), update)

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse | ExtendedModelResponse:
        """Show the model the composed view; the state's messages stay untouched."""
        composed, update = await arun(self._composed(request))
        with self._core.answering(cast("MemoryState", request.state)):
            return _with_update(await handler(composed), update)

    def after_agent(self, state: MemoryAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Put the turn on record and have it memorized."""
        return dict(run(recorded_turn(state, self._core, self._background)))

    async def aafter_agent(self, state: MemoryAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Put the turn on record and have it memorized."""
        return dict(await arun(recorded_turn(state, self._core, self._background)))

    def _composed(self, request: ModelRequest) -> Flow[tuple[ModelRequest, MemoryUpdate]]:
        state = cast("MemoryState", request.state)
        self._warn_of_second_summary(state)
        update = yield from self._core.refreshed(state)
        system, messages = self._core.composed(
            cast("MemoryState", {**state, **update}), request.system_message, request.messages
        )
        return request.override(messages=messages, system_message=system), update

    def _warn_of_second_summary(self, state: MemoryState) -> None:
        """Say once that another middleware summarizes too: its summary replaces messages, ours stands beside them."""
        is_summarized = any(m.additional_kwargs.get("lc_source") == SUMMARIZER for m in state["messages"])
        if self._has_warned or not self._core.learns or not is_summarized:
            return
        self._has_warned = True
        logger.warning(
            "SummarizationMiddleware and this memory both summarize the thread: each costs model calls, and the former "
            "takes messages out of the checkpoint. Leave it out; `BufferConfig` and `SummaryConfig` do the same"
        )


def _with_update(response: ModelResponse, update: MemoryUpdate) -> ModelResponse | ExtendedModelResponse:
    return ExtendedModelResponse(response, Command(update=dict(update))) if update else response
