"""`hybrid-memory chat`: a conversation at the terminal, or one piped in, that is remembered."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from langgraph.store.base import BaseStore

from langchain_hybrid_memory.cli.chat_models import Choice
from langchain_hybrid_memory.cli.checkpoints import leave_no_trace, open_checkpoints
from langchain_hybrid_memory.cli.commands import Commands
from langchain_hybrid_memory.cli.learning import describe_report, finish
from langchain_hybrid_memory.cli.loop_thread import INTERRUPTED, LoopThread
from langchain_hybrid_memory.cli.opening import DEFAULT_EMBEDDING
from langchain_hybrid_memory.cli.screen import Screen, counted, queued
from langchain_hybrid_memory.cli.talk import RecallOnly, Talk, Turn
from langchain_hybrid_memory.hybrid_memory import HybridMemory
from langchain_hybrid_memory.reports import Report

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Who talks, in which thread, and where memories are kept."""

    user_id: str
    thread_id: str
    path: Path
    embedding: str = DEFAULT_EMBEDDING


def chat(choice: Choice, store: BaseStore, setting: Setting) -> int:
    """Talk until the person leaves or the pipe ends, then wait until everything is learned; returns the exit code."""
    try:
        with ExitStack() as stack:
            conversation = _begin(stack, choice, store, setting)
            try:
                return conversation.hold()
            except SystemExit:
                _leave_now()
    except KeyboardInterrupt:
        _leave_now()


def _begin(stack: ExitStack, choice: Choice, store: BaseStore, setting: Setting) -> _Conversation:
    user_id, thread_id, screen = setting.user_id, setting.thread_id, Screen()
    reports: deque[Report] = deque()
    loop = stack.enter_context(LoopThread())
    saver = stack.enter_context(_checkpoints(loop, setting.path))

    def note(user: str, report: Report) -> None:
        if user == user_id:
            reports.append(report)

    memory = stack.enter_context(
        HybridMemory(choice.model, store=store, checkpointer=saver, extract=choice.extract, on_memorized=note)
    )
    turn: Turn = (
        Talk(memory, choice.model, screen, loop, user_id=user_id, thread_id=thread_id)
        if choice.model
        else RecallOnly(memory, screen, user_id=user_id, thread_id=thread_id)
    )
    asks = input if sys.stdin.isatty() else None
    commands = Commands(memory.for_user(user_id), screen, thread_id=thread_id, confirm=asks)
    commands.on_forgotten = lambda: loop.run(leave_no_trace(saver))
    screen.tell(
        f"chat model: {choice.description}; embedding: {setting.embedding}; "
        f"memory of {user_id} in {setting.path}, thread {thread_id}; /help lists commands"
    )
    return _Conversation(memory, turn, commands, screen, reports)


def _leave_now() -> NoReturn:
    """End the process at a second Ctrl-C: every write so far is safe, and nothing is waited for."""
    sys.stdout.flush()
    os._exit(INTERRUPTED)


class _Conversation:
    """The lines of a person, one after another."""

    def __init__(
        self, memory: HybridMemory, turn: Turn, commands: Commands, screen: Screen, reports: deque[Report]
    ) -> None:
        self._memory = memory
        self._turn = turn
        self._commands = commands
        self._screen = screen
        self._reports = reports
        self._is_piped = not sys.stdin.isatty()

    def hold(self) -> int:
        """Take every line, then wait for the learning."""
        code = 0
        for line in self._lines():
            try:
                if not self._take(line):
                    break
            except KeyboardInterrupt:
                self._screen.tell("stopped; nothing is lost")
                if self._is_piped:
                    code = INTERRUPTED
                    break
        self._finish()
        return code

    def _lines(self) -> Iterator[str]:
        if self._is_piped:
            for line in sys.stdin:
                if line.strip():
                    self._screen.say(f"> {line.strip()}")
                    yield line.strip()
            return
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - `input` then lets a person edit the line
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            while True:
                self._show_learned()
                if line := input("> ").strip():
                    yield line

    def _take(self, line: str) -> bool:
        """Answer a line; whether the conversation goes on."""
        if not line.startswith("/"):
            self._turn(line)
            self._show_learned()
            return True
        if self._is_piped and line != "/quit":
            self._learn()  # a script cannot wait and ask again
        return self._commands(line)

    def _show_learned(self) -> None:
        while self._reports:
            if described := describe_report(self._reports.popleft()):
                self._screen.note(described)

    def _finish(self) -> None:
        try:
            self._learn()
        except KeyboardInterrupt:
            waiting = self._memory.status().pending
            self._screen.tell(f"{queued(waiting)} and will be learned from next time")

    def _learn(self) -> None:
        status = self._memory.status()
        if status.pending or status.running:
            with self._screen.working(_progress(status.pending)) as change:
                status = finish(self._memory, lambda pending: change(_progress(pending)))
            if status.pending:
                self._screen.tell(f"{queued(status.pending)}: could not be learned from yet")
        self._show_learned()


def create_thread_id(now: datetime) -> str:
    """Name a new thread after the moment it begins."""
    return f"{now:%Y-%m-%d-%H%M%S}-{os.getpid()}"


@contextlib.contextmanager
def _checkpoints(loop: LoopThread, path: Path) -> Iterator[AsyncSqliteSaver]:
    stack = AsyncExitStack()
    saver = loop.run(stack.enter_async_context(open_checkpoints(path)))
    try:
        yield saver
    finally:
        loop.run(stack.aclose())


def _progress(pending: int) -> str:
    return f"learning from {counted(pending, 'turn')} (Ctrl-C leaves them for next time)"
