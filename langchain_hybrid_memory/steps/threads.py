"""Takes what is forgotten out of the checkpoints of a user's threads, and out of the files they lie in."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory._flow import Call, Flow, attempt, blocking, value_of
from langchain_hybrid_memory.steps.marks import BLANK
from langchain_hybrid_memory.steps.record import is_from_memory
from langchain_hybrid_memory.storable import storable

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

T = TypeVar("T")

Fate: TypeAlias = Literal["untouched", "rewritten", "deleted"]
Checkpointer: TypeAlias = BaseCheckpointSaver[Any]

PRIVATE = ("recalled", "summary", "pinned")
"""The channels in which memory repeats what is known; the next turn fills them again."""
SCRUB = ("PRAGMA secure_delete=ON", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")
"""What leaves nothing deleted in SQLite's files; the last answers first of all whether somebody stood in its way."""
FAILED = "__error__"


@dataclass(slots=True)
class _Survey:
    """What the checkpoints of one thread hold."""

    latest: CheckpointTuple | None = None
    is_nested: bool = False
    """Whether graphs nested in the thread's graph have checkpoints of their own."""
    items: set[str] = field(default_factory=set)
    """Keys of the facts and messages that were brought back in some turn, or stood in every prompt."""

    def add(self, found: CheckpointTuple) -> None:
        """Look at one checkpoint; they come newest first."""
        if found.config["configurable"].get("checkpoint_ns"):
            self.is_nested = True
            return
        self.latest = self.latest or found
        for channel in ("recalled", "pinned"):
            held = found.checkpoint["channel_values"].get(channel)
            self.items |= set(held["keys"]) if isinstance(held, dict) else set()
        for message in _messages(found.checkpoint["channel_values"]):
            if is_from_memory(message):
                self.items |= set(cast("ToolMessage", message).artifact.get("ids", ()))


def delete_thread(checkpointer: Checkpointer, thread: str) -> Flow[None]:
    """Delete every checkpoint of a thread."""
    return _if_it_can(checkpointer, thread, _asked(checkpointer, "delete_thread", thread))


def rewrite_thread(
    checkpointer: Checkpointer,
    thread: str,
    *,
    rewrite: Callable[[BaseMessage], BaseMessage],
    items: Iterable[str],
    is_named: bool,
) -> Flow[Fate]:
    """Leave of a thread its latest checkpoint, with its messages rewritten, if it may hold what is forgotten.

    A thread that waits for an answer in the middle of a turn, or whose graph has others nested in it, is deleted whole:
    what waits there cannot be rewritten.

    Args:
        checkpointer: Where the thread is.
        thread: Its id.
        rewrite: Takes the words out of a message.
        items: Keys of the facts and messages that are forgotten.
        is_named: Whether one of them was said in this thread; else it counts whether one was brought back there, by
            recall or by one of memory's tools.
    """
    survey = yield from _if_it_can(checkpointer, thread, _survey(checkpointer, thread))
    if survey is None or (survey.latest is None and not survey.is_nested):
        return "untouched"
    if not is_named and survey.items.isdisjoint(items):
        return "untouched"
    latest, waits = survey.latest, [write for write in _waiting(survey.latest) if write[1] != FAILED]
    yield from delete_thread(checkpointer, thread)
    if latest is None or survey.is_nested or waits:
        return "deleted"
    checkpoint = _rewritten(latest.checkpoint, rewrite)
    place = RunnableConfig(configurable={"thread_id": thread, "checkpoint_ns": ""})
    yield from _asked(checkpointer, "put", place, checkpoint, latest.metadata, checkpoint["channel_versions"])
    return "rewritten"


def without_words(message: BaseMessage, blank: Callable[[str], str]) -> BaseMessage:
    """A message without what `blank` takes out of a text; without any text where it finds nothing to take out."""
    content: Any = message.content
    parts = [content] if isinstance(content, str) else list(content)
    left = [_without(part, blank) for part in parts]
    if left == parts and BLANK not in message.text:  # perhaps the words go from one part into the next
        return without_text(message)
    return message.model_copy(update={"content": left[0] if isinstance(content, str) else left})


def without_text(message: BaseMessage) -> BaseMessage:
    """A message of which nothing is left but that it was there, and which tools it called."""
    update: dict[str, Any] = {"content": BLANK, "additional_kwargs": {}, "response_metadata": {}}
    if isinstance(message, AIMessage):
        update["tool_calls"] = [{**call, "args": {}} for call in message.tool_calls]
    return message.model_copy(update=update)


def scrub(checkpointer: Checkpointer) -> Flow[list[str]]:
    """Leave nothing in the checkpointer's files of what was deleted; says what is out of reach."""
    if isinstance(checkpointer, InMemorySaver):
        return []
    scrubbing = _scrubbing(checkpointer)
    if scrubbing is None:
        name = type(checkpointer).__name__
        return [f"files behind {name}: a server's pages, logs and backups keep what was deleted until it reuses them"]
    is_clean = yield from scrubbing
    return [] if is_clean else ["files of the checkpoints: somebody else has them open; forget again to clean them"]


def _scrubbing(checkpointer: Checkpointer) -> Call[bool] | None:
    connection = getattr(checkpointer, "conn", None)
    if isinstance(connection, sqlite3.Connection):
        return blocking(_scrub, checkpointer, connection)
    saver = _async_sqlite(checkpointer)
    if saver is None:
        return None
    loop = saver.loop
    return Call(lambda: asyncio.run_coroutine_threadsafe(_ascrub(saver), loop).result(), lambda: _ascrub(saver))


def _async_sqlite(checkpointer: Checkpointer) -> AsyncSqliteSaver | None:
    with suppress(ImportError):
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        if isinstance(checkpointer, AsyncSqliteSaver):
            return checkpointer
    return None


def _scrub(checkpointer: Any, connection: sqlite3.Connection) -> bool:
    with checkpointer.lock:
        try:
            answers = [connection.execute(statement).fetchall() for statement in SCRUB]
        except sqlite3.OperationalError:  # locked by another connection
            return False
    return _is_done(answers)


async def _ascrub(saver: AsyncSqliteSaver) -> bool:
    answers: list[Sequence[Any]] = []
    async with saver.lock:
        try:
            for statement in SCRUB:
                async with saver.conn.execute(statement) as cursor:
                    answers.append([*await cursor.fetchall()])
        except sqlite3.OperationalError:
            return False
    return _is_done(answers)


def _is_done(answers: Sequence[Sequence[Any]]) -> bool:
    return not answers[-1][0][0]


def _if_it_can(checkpointer: Checkpointer, thread: str, asking: Call[T]) -> Flow[T | None]:
    """Ask about a thread; `None` where its id cannot be sent to the checkpointer, which so holds nothing under it.

    Postgres refuses NUL, and no encoder takes a lone surrogate.
    """
    outcome = yield from attempt(asking)
    if outcome.error is None or storable(thread) == thread:
        return value_of(outcome)
    yield from _survey(checkpointer, "any other")  # raises if it was not the id
    return None


def _survey(checkpointer: Checkpointer, thread: str) -> Call[_Survey]:
    place = RunnableConfig(configurable={"thread_id": thread})

    def survey() -> _Survey:
        seen = _Survey()
        found: Iterator[CheckpointTuple] = checkpointer.list(place)
        for each in found:
            seen.add(each)
        return seen

    async def asurvey() -> _Survey:
        seen = _Survey()
        found: AsyncIterator[CheckpointTuple] = checkpointer.alist(place)
        async for each in found:
            seen.add(each)
        return seen

    return blocking(survey) if _is_synchronous(checkpointer) else Call(survey, asurvey)


def _asked(checkpointer: Checkpointer, name: str, *args: Any) -> Call[Any]:
    if _is_synchronous(checkpointer):
        return blocking(getattr(checkpointer, name), *args)
    return Call(lambda: getattr(checkpointer, name)(*args), lambda: getattr(checkpointer, f"a{name}")(*args))


def _is_synchronous(checkpointer: Checkpointer) -> bool:
    """Whether it has no asynchronous form, as `SqliteSaver` has none."""
    return type(checkpointer).adelete_thread is BaseCheckpointSaver.adelete_thread


def _waiting(latest: CheckpointTuple | None) -> Sequence[tuple[str, str, Any]]:
    return (latest.pending_writes if latest else None) or []


def _rewritten(checkpoint: Checkpoint, rewrite: Callable[[BaseMessage], BaseMessage]) -> Checkpoint:
    values = {name: value for name, value in checkpoint["channel_values"].items() if name not in PRIVATE}
    if isinstance(values.get("messages"), list):
        answers = [each for each in _messages(values) if is_from_memory(each)]
        asked = {cast("ToolMessage", answer).tool_call_id for answer in answers}
        values["messages"] = [
            _untold(rewrite(each), asked) if isinstance(each, BaseMessage) else each for each in values["messages"]
        ]
    return cast("Checkpoint", {**checkpoint, "channel_values": values})


def _messages(values: Mapping[str, Any]) -> list[BaseMessage]:
    messages = values.get("messages")
    return [each for each in messages if isinstance(each, BaseMessage)] if isinstance(messages, list) else []


def _untold(message: BaseMessage, asked: Collection[str]) -> BaseMessage:
    """A message without what memory's tools were told, in the calls `asked`, or answered: both quote what is known."""
    if is_from_memory(message):
        return without_text(message)
    if not isinstance(message, AIMessage) or all(call["id"] not in asked for call in message.tool_calls):
        return message
    calls = [{**call, "args": {}} if call["id"] in asked else call for call in message.tool_calls]
    content = message.content
    if isinstance(content, list):  # a provider's own blocks hold the arguments once more
        content = [part for part in content if isinstance(part, str) or part.get("type") == "text"]
    return message.model_copy(update={"content": content, "tool_calls": calls, "additional_kwargs": {}})


def _without(part: Any, blank: Callable[[str], str]) -> Any:
    if isinstance(part, str):
        return blank(part)
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": blank(part["text"])}
    return part
