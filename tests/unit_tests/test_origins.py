"""Memorize runs are traced by themselves, and say which turns they serve."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from langchain_core.tracers.base import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import HybridMemory, MemorizeConfig
from langchain_hybrid_memory.origins import Origin, current_origin, metadata_of
from tests.doubles.life import AT_ONCE, DOORS, SECONDS, configured, learning_model, store_in_memory, talking_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.tracers.schemas import Run

    from tests.doubles.doors import Door

every_door = pytest.mark.parametrize("door", DOORS)


class Tracing(BaseTracer):
    """Keeps the traces it is given, as a tracer of any product would."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)

    @property
    def runs(self) -> list[Run]:
        return [run for root in self.roots for run in self._below(root)]

    def _below(self, run: Run) -> Iterator[Run]:
        yield run
        for child in run.child_runs:
            yield from self._below(child)


class Traced(NamedTuple):
    """A memory with tracers on both sides."""

    memory: HybridMemory
    agent: Any
    turns: Tracing
    learning: Tracing

    def config(self, thread: str, **more: Any) -> dict[str, Any]:
        return {**configured("alex", thread), "callbacks": [self.turns], **more}


def traced(door: str, **options: Any) -> Traced:
    learning = Tracing()
    memory = HybridMemory(
        learning_model(), store=store_in_memory(), checkpointer=InMemorySaver(), tracers=[learning], **options
    )
    return Traced(memory, DOORS[door](memory, talking_model()), Tracing(), learning)


async def learned(call: Door, stage: Traced, *said: tuple[str, str], **config: Any) -> list[Run]:
    """Say something in each of the threads named, and return the memorize runs in which something was learned."""
    for thread, text in said:
        await call(stage.agent, "invoke", {"messages": [("user", text)]}, stage.config(thread, **config))
    await call(stage.memory, "flush", SECONDS)
    return [root for root in stage.learning.roots if any(run.run_type == "llm" for run in stage.learning._below(root))]


@every_door
@pytest.mark.parametrize("extraction", ["background", "inline"])
async def test_memorize_run_is_a_root_run_with_its_own_name(call: Door, door: str, extraction: Any) -> None:
    stage = traced(door, extraction=extraction, memorize=AT_ONCE)
    (root,) = await learned(call, stage, ("first", "I live in Lisbon."))
    assert (root.name, root.parent_run_id, root.error) == ("memorize", None, None)
    steps = [run.name for run in root.child_runs]
    assert steps[:4] == ["load", "index", "extract", "consolidate"]
    assert not {"memorize", "extract"} & {run.name for run in stage.turns.runs}
    assert not {run.id for run in stage.turns.runs} & {run.id for run in stage.learning.runs}


@every_door
async def test_memorize_run_names_thread_and_run_of_its_turn(call: Door, door: str) -> None:
    stage, run_id = traced(door, memorize=AT_ONCE), uuid.uuid4()
    (root,) = await learned(call, stage, ("first", "I live in Lisbon."), run_id=run_id)
    assert root.metadata["thread_id"] == "first"
    assert root.metadata["run_id"] == str(run_id)
    assert stage.turns.roots[0].id == run_id


@every_door
async def test_run_without_a_name_is_linked_by_its_traced_step(call: Door, door: str) -> None:
    stage = traced(door, memorize=AT_ONCE)
    (root,) = await learned(call, stage, ("first", "I live in Lisbon."))
    assert root.metadata["run_id"] in {str(run.id) for run in stage.turns.runs}


async def test_run_for_several_turns_names_them_all(call: Door) -> None:
    stage = traced("graph", memorize=MemorizeConfig(after_turns=10, after_seconds=600))
    (root,) = await learned(call, stage, ("first", "I live in Lisbon."), ("second", "I prefer tea."))
    assert root.metadata["thread_id"] == "second"
    assert root.metadata["thread_ids"] == ["first", "second"]
    assert len(set(root.metadata["run_ids"])) == 2


async def test_turns_that_were_learned_from_are_named_no_longer(call: Door) -> None:
    stage = traced("graph", memorize=AT_ONCE)
    await learned(call, stage, ("first", "I live in Lisbon."))
    roots = await learned(call, stage, ("second", "I prefer tea."))
    assert [root.metadata["thread_id"] for root in roots] == ["first", "second"]
    assert "thread_ids" not in roots[-1].metadata
    assert not stage.memory._background._origins


async def test_rebuild_is_traced_too(call: Door) -> None:
    stage = traced("graph", memorize=AT_ONCE)
    await learned(call, stage, ("first", "I live in Lisbon."))
    await call(stage.memory.for_user("alex"), "rebuild")
    assert stage.learning.roots[-1].name == "rebuild"


def test_outside_a_run_there_is_no_origin() -> None:
    assert current_origin() is None
    assert metadata_of([]) == {}
    assert metadata_of([Origin("t", "r")]) == {"thread_id": "t", "run_id": "r"}
