"""Each step of a turn as a LangGraph node that brings its own state channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_hybrid_memory._flow import Flow, arun, call, run
from langchain_hybrid_memory.background import Background
from langchain_hybrid_memory.chat_model import create_chat_model
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.events import tell_learned
from langchain_hybrid_memory.state import MemoryState, MemoryUpdate


class StepNode(RunnableLambda[MemoryState, Any]):
    """A step that a `StateGraph` runs in either mode.

    LangGraph reads the annotation of `__call__` and adds the private channels of `MemoryState` to a graph whose own
    schema knows nothing of them; without it their updates would be dropped without an error.
    """

    def __init__(self, step: Callable[[MemoryState], Flow[Any]], name: str) -> None:
        """Wrap a step under the name it has in the graph."""

        async def astep(state: MemoryState) -> Any:
            return await arun(step(state))

        super().__init__(lambda state: run(step(state)), astep, name=name)
        self._step = step

    def __call__(self, state: MemoryState) -> Any:
        """Run the step synchronously."""
        return run(self._step(state))


class Nodes:
    """The nodes to put into a graph of your own: `recall`, then `respond` or an answer of your own, then `record`."""

    def __init__(self, core: Core, background: Background) -> None:
        """Build the nodes of one memory."""
        self._core = core
        self._background = background
        self.recall = StepNode(core.recalled, "recall")
        self.record = StepNode(self._record, "record")

    def respond(
        self,
        model: str | Runnable[LanguageModelInput, AIMessage],
        *,
        system_prompt: str | SystemMessage | None = None,
    ) -> StepNode:
        """A node that answers with what memory holds in the prompt: summary, window and recalled block.

        Args:
            model: A chat model, with tools or structured output bound as you like, or an `init_chat_model` string.
            system_prompt: Leads every prompt.

        Raises:
            ConfigurationError: If the model cannot be set up.
        """
        chat_model = create_chat_model(model) if isinstance(model, str) else model

        def step(state: MemoryState) -> Flow[dict[str, Any]]:
            update = yield from self._core.refreshed(state)
            system, messages = self._core.composed(cast("MemoryState", {**state, **update}), system_prompt)
            with self._core.answering(state):
                answer = yield from call(chat_model, [system, *messages] if system else messages)
            return {**update, "messages": [answer]}

        return StepNode(step, "respond")

    def _record(self, state: MemoryState) -> Flow[MemoryUpdate]:
        return (yield from recorded_turn(state, self._core, self._background))


def recorded_turn(state: MemoryState, core: Core, background: Background) -> Flow[MemoryUpdate]:
    """End a turn: write it into the log, then have it memorized."""
    update = yield from core.recorded(state)
    scope = core.scope()
    if scope is not None and not scope.is_read_only:
        report = yield from background.after_turn(scope.user_id, core.store())
        yield from tell_learned(scope.thread_id, report)
    return update
