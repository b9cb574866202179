"""`hybrid-memory import`: brings an existing history in, by the same `record` as a live turn."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter

from langchain_core.runnables import RunnableConfig
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from langchain_hybrid_memory._flow import run
from langchain_hybrid_memory.cli.formats import History, Turn
from langchain_hybrid_memory.cli.learning import describe_report, finish
from langchain_hybrid_memory.cli.screen import Screen, counted, queued
from langchain_hybrid_memory.errors import ImportFormatError
from langchain_hybrid_memory.hybrid_memory import HybridMemory
from langchain_hybrid_memory.reports import Report
from langchain_hybrid_memory.steps.record import Utterance
from langchain_hybrid_memory.user_memory import UserMemory

BATCH = 256
"""Turns that are recorded, then indexed, at a time: far fewer than the queue entries that one memorize run reads."""


@dataclass(slots=True)
class Tally:
    """What an import has done so far."""

    read: int = 0
    recorded: int = 0
    indexed: int = 0
    threads: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        """Say it in a line."""
        known = self.read - self.recorded
        return (
            f"imported {counted(self.recorded, 'message')} of {counted(len(self.threads), 'thread')}"
            + (f" ({known:,} were known already)" if known else "")
            + f", indexed {self.indexed:,}"
        )


class Recorder:
    """Appends turns to their threads, however they are interleaved, and however often they come."""

    def __init__(self, user: UserMemory, *, thread_prefix: str = "", now: Callable[[], datetime]) -> None:
        """Record for one user; `now` dates turns of threads in which nothing was dated so far."""
        self._user = user
        self._prefix = thread_prefix
        self._now = now
        self._lengths: dict[str, int] = {}
        self._tails: dict[str, list[Utterance]] = {}

    def record(self, turns: Sequence[Turn]) -> int:
        """Append turns; how many of them were new."""
        by_thread = sorted(turns, key=attrgetter("thread"))
        return sum(self._append(thread, list(said)) for thread, said in groupby(by_thread, attrgetter("thread")))

    def _append(self, thread: str, turns: Sequence[Turn]) -> int:
        """Append to one thread.

        The message that opened the last episode, and the last message, come along as context; they are known, so they
        are not written again.
        """
        spoken = list(self._tails.get(thread, ()))
        for turn in turns:
            at = turn.at or (spoken[-1].at if spoken else self._now())
            spoken.append(Utterance(turn.id, turn.role, turn.text, at, self._lengths.get(thread, 0), turn.speaker))
            self._lengths[thread] = self._lengths.get(thread, 0) + 1
        opening = next((i for i in range(len(spoken) - 1, -1, -1) if spoken[i].role == "user"), 0)
        self._tails[thread] = [spoken[opening], *spoken[max(opening + 1, len(spoken) - 1) :]]
        return run(self._user.append(spoken, thread_id=self._prefix + thread, now=self._now()))


def import_history(
    history: History, memory: HybridMemory, user_id: str, *, thread_prefix: str = "", screen: Screen
) -> Tally:
    """Record and index a history, with a progress bar; doing it again adds what is missing and nothing else.

    Raises:
        ImportFormatError: If the file cannot be read to its end; what stands before that place is imported.
    """
    tally = Tally()
    recorder = Recorder(memory.for_user(user_id), thread_prefix=thread_prefix, now=lambda: datetime.now(UTC))
    index = _Index(memory, user_id)
    try:
        with progress_bar(screen) as progress:
            recording = progress.add_task(f"recording {history.format}", total=history.total)
            indexing = progress.add_task("indexing", total=None)
            for batch in _batches(history.turns):
                tally.recorded += recorder.record(batch)
                tally.read += len(batch)
                tally.threads.update(turn.thread for turn in batch)
                progress.update(recording, completed=tally.read)
                tally.indexed += index()
                progress.update(indexing, completed=tally.indexed, total=tally.recorded)
            tally.indexed += index.rest()
            progress.update(recording, total=tally.read)
            progress.update(indexing, completed=tally.indexed, total=tally.indexed)
    except ImportFormatError as error:
        msg = f"{error}. The {counted(tally.read, 'message')} before it are imported; mend the file and import it again"
        raise ImportFormatError(msg) from error
    return tally


def learn(memory: HybridMemory, reports: Sequence[Report], screen: Screen) -> None:
    """Extract facts from what waits, with a progress bar; Ctrl-C leaves the rest queued."""
    total = memory.status().pending
    with progress_bar(screen) as progress:
        task = progress.add_task("learning from turns", total=total)
        try:
            status = finish(memory, lambda pending: progress.update(task, completed=max(total - pending, 0)))
        except KeyboardInterrupt:
            status = memory.status()
        progress.update(task, completed=max(total - status.pending, 0))
    for report in reports:
        if described := describe_report(report):
            screen.note(described)
    if status.pending:
        screen.tell(f"{queued(status.pending)}; importing again, or chatting, goes on with them")


class _Index:
    """The index step of the memorize graph, for one user and without extraction."""

    def __init__(self, memory: HybridMemory, user_id: str) -> None:
        self._graph = memory.memorize_graph()
        self._user_id = user_id

    def __call__(self) -> int:
        """Index what is queued; how many messages that were."""
        state = self._graph.invoke(
            {"user_id": self._user_id, "learns": False, "is_forced": False}, RunnableConfig(callbacks=[])
        )
        report: Report = state["report"]
        return report.get("indexed", 0)

    def rest(self) -> int:
        """Index what an import that was killed had left over."""
        return sum(iter(self, 0))


def _batches(turns: Iterator[Turn]) -> Iterator[list[Turn]]:
    """Batches of turns; where the file becomes unreadable, what was read before comes first."""
    batch: list[Turn] = []
    try:
        for turn in turns:
            batch.append(turn)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except ImportFormatError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Write the rate of one bar."""
        return Text(f"{task.completed / task.elapsed:,.0f}/s" if task.elapsed else "", style="dim")


@contextlib.contextmanager
def progress_bar(screen: Screen) -> Iterator[Progress]:
    """Show bars with counts, rate and time left, where errors go."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=screen.err, get_time=time.monotonic) as progress:
        yield progress
