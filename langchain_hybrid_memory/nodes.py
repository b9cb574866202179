"""Each step of a turn as a LangGraph node that brings its own state channels."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.graph.state import CompiledStateGraph

from langchain_hybrid_memory._flow import Flow, arun, call, run
from langchain_hybrid_memory.background import Background
from langchain_hybrid_memory.chat_model import create_chat_model
from langchain_hybrid_memory.core import Core, asked_id
from langchain_hybrid_memory.errors import ConfigurationError
from langchain_hybrid_memory.events import tell_learned
from langchain_hybrid_memory.state import MemoryState, MemoryUpdate

WATCHED_TURNS = 1_000
"""Of so many turns it is known that they recalled, to notice where the graph drops what they gave."""

logger = logging.getLogger("langchain_hybrid_memory")


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
        self._has_warned = False
        self._recalled_for: deque[str] = deque(maxlen=WATCHED_TURNS)
        self.recall = StepNode(self._recall, "recall")
        self.record = StepNode(self._record, "record")

    def respond(
        self,
        model: str | Runnable[LanguageModelInput, AIMessage] | CompiledStateGraph[Any, Any, Any, Any],
        *,
        system_prompt: str | SystemMessage | None = None,
    ) -> StepNode:
        """A node that answers with what memory holds in the prompt: summary, window and recalled block.

        Args:
            model: A chat model, with tools or structured output bound as you like, or an `init_chat_model` string; or a
                compiled agent with a channel `messages` and without memory's middleware. An agent has a prompt of its
                own, so it finds all that memory holds in front of the newest message, and no system message from here.
            system_prompt: Leads every prompt of a chat model.

        Raises:
            ConfigurationError: If the model cannot be set up or is none, or an agent is given a `system_prompt`.
        """
        if isinstance(model, CompiledStateGraph):
            if system_prompt:
                msg = f"system_prompt is {system_prompt!r}, but an agent has its own; give it to `create_agent`"
                raise ConfigurationError(msg)
            return StepNode(partial(self._answer_by_agent, model), "respond")
        chat_model: object = create_chat_model(model) if isinstance(model, str) else model
        if not isinstance(chat_model, Runnable):
            msg = f"model is of type {type(model).__name__}; give a chat model: add_node(memory.nodes.respond(model))"
            raise ConfigurationError(msg)

        def step(state: MemoryState) -> Flow[dict[str, Any]]:
            update = yield from self._core.refreshed(state)
            system, messages = self._core.composed(cast("MemoryState", {**state, **update}), system_prompt)
            with self._core.answering(state):
                answer = yield from call(chat_model, [system, *messages] if system else messages)
            return {**update, "messages": [answer]}

        return StepNode(step, "respond")

    def _answer_by_agent(
        self, agent: CompiledStateGraph[Any, Any, Any, Any], state: MemoryState
    ) -> Flow[dict[str, Any]]:
        """What an agent adds to the messages, and whatever else it gives out."""
        update = yield from self._core.refreshed(state)
        given = self._core.composed_for_agent(cast("MemoryState", {**state, **update}))
        known = {message.id for message in given}
        with self._core.answering(state):
            result = yield from call(agent, {"messages": given})
        # what a middleware of the agent put in the place of messages stands for them in there alone
        new = [m for m in result["messages"] if m.id not in known and "lc_source" not in m.additional_kwargs]
        return {**result, **update, "messages": new}

    def _recall(self, state: MemoryState) -> Flow[MemoryUpdate]:
        if not state["messages"] and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the channel `messages` is empty: memory reads the conversation there, so a state that keeps it under "
                "another name is neither recalled for nor recorded"
            )
        update = yield from self._core.recalled(state)
        self._recalled_for.append(asked_id(state))
        return update

    def _record(self, state: MemoryState) -> Flow[MemoryUpdate]:
        if "recalled" not in state and asked_id(state) in self._recalled_for:
            logger.error(
                "what the recall node gave did not reach the record node: give `memory.nodes.recall` and "
                "`memory.nodes.record` to `add_node` as they are, which brings their channels into the graph; not in a "
                "function, `with_config` or `with_retry`, and without `input_schema`"
            )
        return (yield from recorded_turn(state, self._core, self._background))


def recorded_turn(state: MemoryState, core: Core, background: Background) -> Flow[MemoryUpdate]:
    """End a turn: write it into the log, then have it memorized."""
    update = yield from core.recorded(state)
    scope = core.scope()
    if scope is not None and not scope.is_read_only:
        report = yield from background.after_turn(scope.user_id, core.store())
        yield from tell_learned(scope.thread_id, report)
    return update
