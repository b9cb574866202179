"""One turn of a conversation at the terminal: what was recalled, then the reply as it comes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig

from langchain_hybrid_memory._flow import Call, attempt, run
from langchain_hybrid_memory.cli.checkpoints import keep_latest
from langchain_hybrid_memory.cli.loop_thread import LoopThread
from langchain_hybrid_memory.cli.screen import Screen, shorten
from langchain_hybrid_memory.errors import HybridMemoryError
from langchain_hybrid_memory.hybrid_memory import HybridMemory
from langchain_hybrid_memory.state import Recalled

SYSTEM_PROMPT = (
    "You are a friendly assistant with a long memory. Notes from earlier conversations stand between <memory> and "
    "</memory> in front of the user's message; use every note that answers the message. Reply to the user in one or "
    'two short sentences, and call the user "you". If you are asked something the notes do not tell, say you have not '
    "been told yet."
)
"""Worded for a model of 1.5 billion parameters, which else answers everything with "I do not know"."""
DIGEST_CHARACTERS = 60
DIGEST_LINES = 2
REPLY = "] assistant: "
REMEDY = "your message is kept; check the model or choose another with --model"

Turn: TypeAlias = Callable[[str], None]
"""Takes what the user says, and shows what comes back; Ctrl-C passes through, and nothing is lost."""


class Talk:
    """A thread in which a chat model answers."""

    def __init__(
        self,
        memory: HybridMemory,
        model: BaseChatModel,
        screen: Screen,
        loop: LoopThread,
        *,
        user_id: str,
        thread_id: str,
    ) -> None:
        """Build the turn graph; the memory's checkpointer is one that works on `loop`."""
        self._graph = memory.graph(model, system_prompt=SYSTEM_PROMPT)
        self._checkpointer: Any = memory.checkpointer
        self._user = memory.for_user(user_id)
        self._screen = screen
        self._loop = loop
        self._thread_id = thread_id
        self._config = RunnableConfig(configurable={"user_id": user_id, "thread_id": thread_id})
        self._is_recorded = False
        self._is_speaking = False

    def __call__(self, text: str) -> None:
        """Say something and show the reply; a model that fails costs one line, and no message."""
        message = HumanMessage(text, id=str(uuid.uuid4()))
        self._is_recorded = self._is_speaking = False
        reply = Call(lambda: self._loop.run(self._reply(message)), lambda: self._reply(message))
        try:
            error = run(attempt(reply)).error
        finally:
            self._end_line()
            if not self._is_recorded:  # recall, which does it, was interrupted or has failed
                self._user.record([message], thread_id=self._thread_id)
        if error is not None:
            self._screen.fail(f"no reply: {_reason(error)}; {REMEDY}")

    async def _reply(self, message: HumanMessage) -> None:
        streamed = self._graph.astream(
            cast("Any", {"messages": [message]}), self._config, stream_mode=["messages", "updates"]
        )
        async for mode, part in cast("Any", streamed):
            if mode == "messages":
                self._show_token(*part)
            elif "recall" in part:
                self._is_recorded = True
                self._show_recalled(part["recall"].get("recalled"))
        self._end_line()
        await keep_latest(self._checkpointer, self._thread_id)

    def _show_token(self, chunk: object, metadata: dict[str, Any]) -> None:
        if isinstance(chunk, AIMessageChunk) and metadata.get("langgraph_node") == "respond" and chunk.text:
            self._is_speaking = True
            self._screen.token(chunk.text)

    def _show_recalled(self, recalled: Recalled | None) -> None:
        if recalled and "degraded" in recalled:
            self._screen.note(f"memory could not be asked: {recalled['degraded']}")
        elif recalled:
            lines = [line.removeprefix("- ") for line in recalled["text"].splitlines() if line.startswith("- [")]
            self._screen.note(describe_recalled(lines))

    def _end_line(self) -> None:
        if self._is_speaking:
            self._is_speaking = False
            self._screen.say("")


class RecallOnly:
    """A thread in which nobody answers: each message shows what is recalled for it."""

    def __init__(self, memory: HybridMemory, screen: Screen, *, user_id: str, thread_id: str) -> None:
        """Take one user's memory."""
        self._user = memory.for_user(user_id)
        self._screen = screen
        self._thread_id = thread_id

    def __call__(self, text: str) -> None:
        """Record a message and show what was known before it."""
        message = HumanMessage(text, id=str(uuid.uuid4()))
        self._user.record([message], thread_id=self._thread_id)
        outcome = run(attempt(Call(lambda: self._user.recall(text), lambda: self._user.arecall(text))))
        if outcome.error is not None:
            self._screen.fail(f"nothing recalled: {_reason(outcome.error)}; your message is kept")
            return
        hits = [hit for hit in outcome.value or [] if hit.item.id != message.id]
        for hit in hits:
            self._screen.say(f"{hit.score:.2f}  {hit.at:%Y-%m-%d}  {shorten(hit.text, 120)}")
        if not hits:
            self._screen.note("nothing recalled")


def describe_recalled(lines: Sequence[str]) -> str:
    """Say how much was recalled, and how the newest of it begins; replies only where there is nothing else."""
    telling = [line for line in lines if REPLY not in line] or lines
    newest = [shorten(line, DIGEST_CHARACTERS) for line in reversed(telling)][:DIGEST_LINES]
    return f"recalled {len(lines)}: {' · '.join(newest)}" + (" · …" if len(lines) > len(newest) else "")


def _reason(error: Exception) -> str:
    text = str(error).rstrip(".")
    return text if isinstance(error, HybridMemoryError) else f"{type(error).__name__}: {text}"
