"""Memory for an agent made by `create_agent`: the steps of a turn as two hooks and a wrapped model call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from langchain.agents.middleware.types import AgentMiddleware, ModelRequest, ModelResponse
from langgraph.runtime import Runtime

from langchain_hybrid_memory._flow import arun, run
from langchain_hybrid_memory.background import Background
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.nodes import recorded_turn
from langchain_hybrid_memory.state import MemoryAgentState, MemoryState


class HybridMemoryMiddleware(AgentMiddleware[MemoryAgentState, Any]):
    """Gives an agent the four memories; everything else about it stays as it is."""

    state_schema = MemoryAgentState

    def __init__(self, core: Core, background: Background) -> None:
        """Bind the hooks to one memory."""
        super().__init__()
        self._core = core
        self._background = background

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

    def wrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> ModelResponse:
        """Show the model the composed view; the state's messages stay untouched."""
        with self._core.answering(cast("MemoryState", request.state)):
            return handler(self._composed(request))

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        """Show the model the composed view; the state's messages stay untouched."""
        with self._core.answering(cast("MemoryState", request.state)):
            return await handler(self._composed(request))

    def after_agent(self, state: MemoryAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Put the turn on record and have it memorized."""
        return dict(run(recorded_turn(state, self._core, self._background)))

    async def aafter_agent(self, state: MemoryAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Put the turn on record and have it memorized."""
        return dict(await arun(recorded_turn(state, self._core, self._background)))

    def _composed(self, request: ModelRequest) -> ModelRequest:
        state = cast("MemoryState", {**request.state, "messages": request.messages})
        system, messages = self._core.composed(state, request.system_message)
        return request.override(messages=messages, system_message=system)
