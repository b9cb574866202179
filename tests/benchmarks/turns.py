"""Measures what memory adds to a turn and to the checkpoints, beside the same graph without it, in one run."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import PrivateAttr

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.cli.checkpoints import DROP_APPLIED, DROP_OLDER
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding

QUESTION = (
    "Turn {turn}: my colleague Ana in Lisbon wants to know how the budget of project {turn} came to {turn}0 euros. "
)
ANSWER = (
    "The budget of that project covers travel, accommodation and two workshops; the rest was kept as a reserve. " * 4
)

PAUSE_SECONDS = 0.05
"""Between two turns, in which the background indexes what the last one said: nobody types faster."""


class InstantModel(BaseChatModel):
    """Answers at once and notes when it was asked."""

    _asked_at: list[float] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "instant"

    @property
    def asked_at(self) -> list[float]:
        return self._asked_at

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self._asked_at.append(time.perf_counter())
        del messages
        return ChatResult(generations=[ChatGeneration(message=AIMessage(ANSWER))])


@dataclass
class Measured:
    """One system's figures over all turns."""

    before_ms: list[float] = field(default_factory=list)
    """From the call to the model being asked."""
    after_ms: list[float] = field(default_factory=list)
    """From the answer to the end of the call."""
    checkpoint_mb: float = 0.0

    def row(self, turns: int) -> dict[str, float]:
        """Medians, the 95th percentile, and megabytes for 1,000 turns."""
        return {
            "before_ms_p50": statistics.median(self.before_ms),
            "before_ms_p95": statistics.quantiles(self.before_ms, n=20)[-1],
            "after_ms_p50": statistics.median(self.after_ms),
            "after_ms_p95": statistics.quantiles(self.after_ms, n=20)[-1],
            "checkpoint_mb_per_1000_turns": self.checkpoint_mb * 1000 / turns,
        }


def keep_latest(saver: SqliteSaver, thread: str) -> None:
    """Delete a thread's older checkpoints, as the command line does after each turn."""
    with saver.cursor() as cursor:
        cursor.execute(DROP_OLDER, (thread,))
        cursor.execute(DROP_APPLIED, (thread,))


Build = Callable[[InstantModel, SqliteSaver, HybridMemory], Any]


def bare_graph(model: InstantModel, saver: SqliteSaver, _: HybridMemory) -> Any:
    """A graph that only answers."""
    builder = StateGraph(MessagesState)
    builder.add_node("respond", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_edge(START, "respond")
    builder.add_edge("respond", END)
    return builder.compile(checkpointer=saver)


SYSTEMS: dict[str, Build] = {
    "bare graph": bare_graph,
    "memory.graph": lambda model, _, memory: memory.graph(model),
    "bare create_agent": lambda model, saver, _: create_agent(model, checkpointer=saver),
    "create_agent + memory.middleware": lambda model, saver, memory: create_agent(
        model, middleware=[memory.middleware()], checkpointer=saver
    ),
    "memory.graph, latest checkpoints only": lambda model, _, memory: memory.graph(model),
}


@contextmanager
def system(folder: Path) -> Iterator[tuple[SqliteSaver, HybridMemory]]:
    """A checkpointer and a memory in a folder; messages are indexed in the background, nothing is extracted."""
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / "checkpoints.sqlite3", check_same_thread=False)
    saver = SqliteSaver(connection)
    with open_store(folder / "store", embedding=WordEmbedding()) as store:
        memory = HybridMemory(None, store=store, checkpointer=saver)
        yield saver, memory
        memory.flush()
        memory.close()
    connection.close()


def measure(name: str, folder: Path, *, turns: int, turns_a_thread: int, on_turn: Callable[[], None]) -> Measured:
    """Run one system for `turns` turns in threads of `turns_a_thread`."""
    measured = Measured()
    with system(folder) as (saver, memory):
        model = InstantModel()
        graph = SYSTEMS[name](model, saver, memory)
        for turn in range(turns):
            thread = f"thread-{turn // turns_a_thread}"
            config = {"configurable": {"thread_id": thread, "user_id": "benchmark"}}
            time.sleep(PAUSE_SECONDS)
            started = time.perf_counter()
            graph.invoke({"messages": [("user", QUESTION.format(turn=turn))]}, config)
            if "latest" in name:
                keep_latest(saver, thread)
            measured.before_ms.append((model.asked_at[-1] - started) * 1000)
            measured.after_ms.append((time.perf_counter() - model.asked_at[-1]) * 1000)
            on_turn()
        saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        measured.checkpoint_mb = (folder / "checkpoints.sqlite3").stat().st_size / 1e6
    return measured
