"""What somebody may ask about everything that is remembered about them: to have it forgotten, handed over, restored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from langchain_hybrid_memory._flow import Flow, arun, run
from langchain_hybrid_memory.background import Background
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.memories import Receipt
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.export import Progress, export, restore
from langchain_hybrid_memory.steps.forget import forget_fact, forget_message, forget_thread
from langchain_hybrid_memory.steps.forget_everything import drop_queue, forget_everything

LATE_SECONDS = 10.0
"""So long forgetting waits for steps of turns that missed their deadline and still run."""
LATE = "what a turn that missed its deadline is still writing: forget again when the store answers"


class UserData:
    """The part of `UserMemory` that gives, takes back and forgets."""

    def __init__(
        self, user_id: str, core: Core, background: Background, checkpointer: BaseCheckpointSaver[Any] | None
    ) -> None:
        """Open the memory of one user.

        Raises:
            MissingUserError: If `user_id` is empty.
        """
        self._scope = Scope(user_id=user_id, root=core.root)
        self._core = core
        self._background = background
        self._checkpointer = checkpointer

    def __repr__(self) -> str:
        """Name the user."""
        return f"<UserMemory {self._scope.user_id!r}>"

    def forget(self, fact_id: str) -> Receipt:
        """Forget one fact and the words it rests on; what it had superseded is current again.

        Of the threads in which it was said or recalled only the latest checkpoint stays, without those words; a thread
        that is in the middle of a turn, or with graphs nested in its own, is deleted from the checkpointer.

        Returns:
            What was removed and what may still hold the words; empty if there is no such fact.

        Raises:
            ConfigurationError: If `fact_id` is not a string.
        """
        return run(self._forget(fact_id))

    async def aforget(self, fact_id: str) -> Receipt:
        """Asynchronous `forget`."""
        return await arun(self._forget(fact_id))

    def forget_message(self, thread_id: str, message_id: str) -> Receipt:
        """Forget what one message said, the facts drawn from it, and its words in the thread's checkpoints.

        Returns:
            What was removed and what may still hold the words; empty if there is no such message.

        Raises:
            ConfigurationError: If an id is not a string.
        """
        return run(self._forget_message(thread_id, message_id))

    async def aforget_message(self, thread_id: str, message_id: str) -> Receipt:
        """Asynchronous `forget_message`."""
        return await arun(self._forget_message(thread_id, message_id))

    def forget_thread(self, thread_id: str) -> Receipt:
        """Forget a conversation: its messages, the facts drawn from them, its summary and its checkpoints."""
        return run(self._forget_thread(thread_id))

    async def aforget_thread(self, thread_id: str) -> Receipt:
        """Asynchronous `forget_thread`."""
        return await arun(self._forget_thread(thread_id))

    def forget_everything(self) -> Receipt:
        """Forget this user: every kind of memory, the queue, and the checkpoints of the user's threads.

        What runs in the background for this user ends first, without what it has not learned yet. Where the files are
        the library's to clean, no trace is left in them. Interrupted, it is finished by calling it again.
        """
        return run(self._forget_everything())

    async def aforget_everything(self) -> Receipt:
        """Asynchronous `forget_everything`."""
        return await arun(self._forget_everything())

    def export(self, path: Path | str, on_progress: Progress | None = None) -> int:
        """Write everything that is remembered about this user to a file, as JSON lines; how many items that are.

        Streams: it takes no more room for a large memory. Only its owner may read the file, which appears when it is
        complete. Checkpoints are not a part of it, they are the application's.

        Args:
            path: The file; one of that name is replaced.
            on_progress: Called with how many items are written.

        Raises:
            OSError: If the file cannot be written.
        """
        return run(self._export(Path(path), on_progress))

    async def aexport(self, path: Path | str, on_progress: Progress | None = None) -> int:
        """Asynchronous `export`."""
        return await arun(self._export(Path(path), on_progress))

    def restore(self, path: Path | str, on_progress: Progress | None = None) -> int:
        """Read back what `export` wrote, for this user, whoever it was exported for; how many items that are.

        What is remembered already and not in the file stays; what was forgotten here stays forgotten. Doing it again
        changes nothing.

        Args:
            path: The file.
            on_progress: Called with how many items are restored.

        Raises:
            ImportFormatError: If it is no export, or holds a line that cannot be read; what stands before is restored.
        """
        return run(self._restore(Path(path), on_progress))

    async def arestore(self, path: Path | str, on_progress: Progress | None = None) -> int:
        """Asynchronous `restore`."""
        return await arun(self._restore(Path(path), on_progress))

    def _in_thread(self, thread_id: str) -> Scope:
        return replace(self._scope, thread_id=thread_id)

    def _export(self, path: Path, on_progress: Progress | None) -> Flow[int]:
        store = self._core.store()
        return self._background.alone(self._scope, export(self._scope, store, path, on_progress=on_progress), store)

    def _restore(self, path: Path, on_progress: Progress | None) -> Flow[int]:
        store = self._core.store()
        return self._background.alone(self._scope, restore(self._scope, store, path, on_progress=on_progress), store)

    def _forget(self, fact_id: str) -> Flow[Receipt]:
        store, now = self._core.store(), self._core.now()
        return self._forgetting(forget_fact(self._scope, store, fact_id, now=now, checkpointer=self._checkpointer))

    def _forget_message(self, thread_id: str, message_id: str) -> Flow[Receipt]:
        store, now, scope = self._core.store(), self._core.now(), self._in_thread(thread_id)
        return self._forgetting(forget_message(scope, store, message_id, now=now, checkpointer=self._checkpointer))

    def _forget_thread(self, thread_id: str) -> Flow[Receipt]:
        store = self._core.store()
        return self._forgetting(forget_thread(self._in_thread(thread_id), store, checkpointer=self._checkpointer))

    def _forget_everything(self) -> Flow[Receipt]:
        store = self._core.store()
        count = yield from drop_queue(self._scope, store)  # so that whoever learns finds nothing more to do
        receipt = yield from self._forgetting(forget_everything(self._scope, store, self._checkpointer))
        return replace(
            receipt, removed={**receipt.removed, "queue entries": count + receipt.removed.get("queue entries", 0)}
        )

    def _forgetting(self, flow: Flow[Receipt]) -> Flow[Receipt]:
        """Forget while nobody learns, once the steps of turns that missed their deadline have ended."""
        is_done = yield from self._core.patience.until_none_is_left(LATE_SECONDS)
        receipt = yield from self._background.alone(self._scope, flow, self._core.store())
        return receipt if is_done else replace(receipt, remaining=(*receipt.remaining, LATE))
