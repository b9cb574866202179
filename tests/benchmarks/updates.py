"""Measures knowledge updates: `python -m tests.benchmarks.updates DATA --model local --questions 8 --out results.json`.

Takes a set in the format of BEAM's user turns: questions whose `stale` turns hold an outdated fact and whose `current`
turns hold the valid one. Feeds the turns around both, lets the model learn, recalls, and looks at the first hits. The
model `marked` is a script that knows which turns those are: what is lost with it, no model can help.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from rich.console import Console
from rich.table import Table

from langchain_hybrid_memory import Fact, Hit, HybridMemory, RecallConfig, UserMemory
from langchain_hybrid_memory.cli.chat_models import Choice, choose_chat_model
from langchain_hybrid_memory.embedding import create_embedding
from tests.benchmarks.marked import marked_model

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
HITS = 10
"""Only so many hits count, the best first."""


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and what is said before it: some turns with the outdated fact, later some with the valid one."""

    question: str
    before: Sequence[Mapping[str, Any]]
    after: Sequence[Mapping[str, Any]]
    stale: frozenset[str]
    current: frozenset[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """What came back for one question; each figure is 1 or 0, `above` and `clean` are what is aimed at."""

    valid: float
    """The valid fact is among the first hits."""
    outdated: float
    """An outdated one is, as if it still held."""
    above: float
    """The valid one stands above every outdated one."""
    clean: float
    """The valid one is there and no outdated one as current."""
    superseded: float
    """A fact of an outdated turn was ended by one of a valid turn."""
    facts: float
    calls: float
    prompt_tokens: float
    seconds: float


def read_cases(data: Path, *, around: int) -> list[Case]:
    """The questions that tell outdated from valid turns, with `around` turns on both sides of each."""
    cases = []
    for conversation in json.loads(data.read_text("utf-8"))["conversations"]:
        turns = conversation["turns"]
        places = {turn["id"]: index for index, turn in enumerate(turns)}
        for question in conversation["questions"]:
            stale, current = question.get("stale") or [], question.get("current") or []
            if not stale or not current:
                continue
            old = _around([places[turn] for turn in stale], around, len(turns))
            new = _around([places[turn] for turn in current], around, len(turns)) - old
            last_old = max(places[turn] for turn in stale)
            old |= {index for index in new if index <= last_old}
            cases.append(
                Case(
                    question["q"],
                    [turns[index] for index in sorted(old)],
                    [turns[index] for index in sorted(new - old)],
                    frozenset(stale),
                    frozenset(current),
                )
            )
    return cases


def judge(hits: Sequence[Hit], case: Case, sources: Mapping[str, set[str]]) -> tuple[float, float, float, float]:
    """Whether the valid and an outdated fact came back, the valid one above, and it alone.

    Args:
        hits: Best first.
        case: Names the turns.
        sources: By the id of a fact, the messages it rests on, confirmations included.
    """
    far = len(hits)
    places: dict[str, int] = {"valid": far, "outdated": far}
    for place, hit in enumerate(hits):
        turns = sources.get(hit.item.id, set()) if isinstance(hit.item, Fact) else {hit.item.id}
        if turns & case.current:
            places["valid"] = min(places["valid"], place)
        elif turns & case.stale and not hit.outdated:
            places["outdated"] = min(places["outdated"], place)
    is_valid, is_outdated = places["valid"] < far, places["outdated"] < far
    is_above = is_valid and places["valid"] < places["outdated"]
    return float(is_valid), float(is_outdated), float(is_above), float(is_valid and not is_outdated)


def measure(case: Case, choice: Choice | None, embedding: Embeddings) -> Figures:
    """Feed one case to a fresh memory and ask; without a choice, a script learns that knows which turns count."""
    choice = choice or Choice(_script(case), "a script")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        memory = HybridMemory(
            choice.model,
            store=folder,
            embedding=embedding,
            extraction="manual",
            extract=choice.extract,
            recall=RecallConfig(limit=HITS, budget_tokens=9_000),
        )
        with memory:
            alex = memory.for_user("alex")
            _say(alex, case.before, day=0)
            memory.flush()
            _say(alex, case.after, day=30)
            status = memory.flush()
            hits = alex.recall(case.question)
            facts = alex.facts(current_only=False)
            sources = {fact.id: _sources(alex, fact) for fact in facts}
            return Figures(
                *judge(hits, case, sources),
                superseded=float(any(_is_update(fact, case, sources) for fact in facts)),
                facts=len(facts),
                calls=status.calls,
                prompt_tokens=status.prompt_tokens,
                seconds=time.monotonic() - started,
            )


def _script(case: Case) -> BaseChatModel:
    turns = {turn["id"]: turn["text"] for turn in (*case.before, *case.after)}
    return marked_model(turns, stale=case.stale, current=case.current)


def _is_update(fact: Fact, case: Case, sources: Mapping[str, set[str]]) -> bool:
    ender = sources.get(fact.superseded_by or "", set())
    return bool(sources[fact.id] & case.stale and ender & case.current)


def _sources(user: UserMemory, fact: Fact) -> set[str]:
    confirming = user.why(fact.id).confirmed_by
    return {message_id for each in (fact, *confirming) for message_id in each.message_ids}


def _say(user: UserMemory, turns: Iterable[Mapping[str, Any]], *, day: int) -> None:
    for number, turn in enumerate(turns):
        at = FIRST_DAY + timedelta(days=day, hours=number)
        user.record([HumanMessage(turn["text"], id=turn["id"])], thread_id=f"day {day}", at=at)


def _around(places: Iterable[int], around: int, length: int) -> set[int]:
    return {index for place in places for index in range(max(0, place - around), min(length, place + around + 1))}


def main(
    data: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The set.")],
    model: Annotated[str, typer.Option(help='"provider:model", "local", "marked" or "none".')] = "none",
    questions: Annotated[int, typer.Option(help="At most so many, drawn with a fixed seed.")] = 1_000,
    around: Annotated[int, typer.Option(help="Turns fed on both sides of each turn that counts.")] = 2,
    models: Annotated[Path | None, typer.Option(help="Where files of local models are kept.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the figures as JSON, after each question.")] = None,
) -> None:
    """Print how often the valid fact comes back above the outdated one, and the outdated one not as current."""
    cases = read_cases(data, around=around)
    random.Random(7).shuffle(cases)  # noqa: S311 - a sample, not a secret
    rows: list[Figures] = []
    console = Console(width=140)
    embedding = create_embedding(folder=models)
    with ExitStack() as opened:
        choice = None
        if model != "marked":
            choice = opened.enter_context(closing(choose_chat_model(model, folder=models)))
        for case in cases[:questions]:
            rows.append(measure(case, choice, embedding))
            console.print(f"{len(rows)}/{min(questions, len(cases))}", rows[-1], case.question[:60])
            means = {name: fmean(asdict(row)[name] for row in rows) for name in asdict(rows[0])}
            if out is not None:
                shown = {"model": model, "around": around, "questions": len(rows), "means": means}
                out.write_text(json.dumps({**shown, "rows": [asdict(row) for row in rows]}, indent=2), "utf-8")
    table = Table("questions", *means)
    table.add_row(str(len(rows)), *(f"{value:.2f}" for value in means.values()))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
