"""Measures how much of what answers a question is recalled: `python -m tests.benchmarks.recall FILE --out OUT`."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, IndexConfig
from langgraph.store.memory import InMemoryStore
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from langchain_hybrid_memory import HybridMemory, RecallConfig
from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.cli.formats import read_history
from langchain_hybrid_memory.cli.importing import import_history
from langchain_hybrid_memory.cli.screen import Screen
from langchain_hybrid_memory.config import RankingWeights
from langchain_hybrid_memory.embedding import create_embedding
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.keywords import index_terms, query_weights
from langchain_hybrid_memory.memories import Fact, Hit, Message
from langchain_hybrid_memory.steps.compose import render
from langchain_hybrid_memory.steps.recall import fit_hits
from langchain_hybrid_memory.store import ChromaStore
from langchain_hybrid_memory.user_memory import UserMemory
from tests.benchmarks.histories import Conversation, Question, Questions, read_questions
from tests.benchmarks.made_up import MADE_UP
from tests.benchmarks.metrics import Figures, figures, interval, mean
from tests.benchmarks.observations import learn_observations
from tests.benchmarks.peers import Open, Peer, installed
from tests.benchmarks.plot import draw
from tests.benchmarks.vectors import KeptVectors

OURS = "hybrid-memory"
DEPTH = 20
POOL = 100
"""How many messages a peer offers to a budget."""
ROOMY = 1_000_000
BUDGETS = (500, 1_000, 2_000)

Ask: TypeAlias = Callable[[Question, int], Sequence[Hit]]
"""Answers a question with hits that fit a budget of tokens, best first."""


@dataclass(slots=True)
class System:
    """What one system showed for each question."""

    rows: list[tuple[str, Figures]] = field(default_factory=list)
    """Type and figures of each question that has evidence."""
    budgets: dict[int, list[float]] = field(default_factory=lambda: {budget: [] for budget in BUDGETS})
    """Share of the evidence in a block of so many tokens."""
    words: dict[int, list[float]] = field(default_factory=lambda: {budget: [] for budget in BUDGETS})
    """Share of the answer's words in that block: what cutting the evidence short costs."""
    milliseconds: list[float] = field(default_factory=list)
    silent: dict[str, list[float]] = field(default_factory=dict)
    """By kind of question (answerable, unanswerable, made up): whether nothing was recalled."""

    def report(self) -> dict[str, object]:
        """All figures, as they are written to the file."""
        types = sorted({kind for kind, _ in self.rows})
        figures_of = {kind: [row for other, row in self.rows if other == kind] for kind in types}
        every = [row for _, row in self.rows]
        return {
            "all": mean(every),
            "by_type": {kind: mean(rows) for kind, rows in figures_of.items()},
            "interval": {name: interval([row[name] for row in every]) for name in every[0]} if every else {},
            "budget": {str(tokens): sum(shares) / len(shares) for tokens, shares in self.budgets.items() if shares},
            "answer_words": {str(tokens): sum(shares) / len(shares) for tokens, shares in self.words.items() if shares},
            "silent": {kind: sum(values) / len(values) for kind, values in self.silent.items()},
            "ms_p50_p95": _percentiles(self.milliseconds),
        }


def memory_store(_: Path, embedding: Embeddings) -> BaseStore:
    """LangGraph's InMemoryStore, which searches by meaning alone: the pool is dense, words count only in ranking."""
    dimensions = len(embedding.embed_query("how long is a vector?"))
    return InMemoryStore(index=IndexConfig(dims=dimensions, embed=embedding, fields=["text"]))


STORES: Mapping[str, Callable[[Path, Embeddings], BaseStore]] = {
    "chroma": lambda folder, embedding: open_store(folder, embedding=embedding),
    "inmemory": memory_store,
}


class Bench:
    """One run over one file; questions are asked an hour after the last message."""

    def __init__(
        self,
        path: Path,
        embedding: Embeddings,
        config: RecallConfig,
        *,
        with_observations: bool,
        open_store: Callable[[Path, Embeddings], BaseStore],
    ) -> None:
        """Prepare; nothing is read yet."""
        self.open_store = open_store
        self.path = path
        self.embedding = embedding
        self.config = config
        self.with_observations = with_observations
        self.systems: dict[str, System] = {}

    def run(self, conversation: Conversation, peers: Mapping[str, Open]) -> None:
        """Import one conversation into every system and ask its questions."""
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            self._imported(conversation, Path(folder)) as user,
        ):
            self._ask(OURS, conversation, ours(user))
            self._silence(conversation, user)
            messages = self._messages(conversation)
            texts = {
                key: f"{said.speaker}: {said.text}" if said.speaker else said.text for key, said in messages.items()
            }
            for name, opener in peers.items():
                place = Path(folder) / name
                place.mkdir()
                self._ask(name, conversation, theirs(opener(texts, self.embedding, place), messages))

    @contextmanager
    def _imported(self, conversation: Conversation, folder: Path) -> Iterator[UserMemory]:
        times = [said.at for said in self._messages(conversation).values()]
        asked_at = max(times) + timedelta(hours=1)
        store = self.open_store(folder / "memory", self.embedding)
        with HybridMemory(None, store=store, recall=self.config, now=lambda: asked_at) as memory:
            history = read_history(self.path, conversation=conversation.id)
            import_history(history, memory, conversation.id, screen=_Silent())
            if self.with_observations:
                learn_observations(store, conversation)
            yield memory.for_user(conversation.id)
        if isinstance(store, ChromaStore):
            store.close()

    def _messages(self, conversation: Conversation) -> dict[str, Message]:
        turns = read_history(self.path, conversation=conversation.id).turns
        undated = datetime.now(UTC)
        return {
            turn.id: Message(
                id=turn.id,
                thread=turn.thread,
                role=turn.role,
                speaker=turn.speaker,
                text=turn.text,
                at=turn.at or undated,
            )
            for turn in turns
        }

    def _ask(self, name: str, conversation: Conversation, ask: Ask) -> None:
        system = self.systems.setdefault(name, System())
        for question in conversation.questions:
            if not question.evidence:
                continue
            self.embedding.embed_query(question.text)  # so that the time is that of the search
            started = time.perf_counter()
            hits = ask(question, ROOMY)
            system.milliseconds.append((time.perf_counter() - started) * 1000)
            system.rows.append((question.type, figures(shown(hits, question), question.evidence)))
            for budget in BUDGETS:
                hits = ask(question, budget)
                in_block = set(shown(hits, question))
                system.budgets[budget].append(len(in_block & question.evidence) / len(question.evidence))
                if wanted := answer_words(question):
                    said = set(index_terms(render(hits, item_tokens=self.config.item_tokens, count=approximate_tokens)))
                    system.words[budget].append(len(wanted & said) / len(wanted))

    def _silence(self, conversation: Conversation, user: UserMemory) -> None:
        system = self.systems[OURS]
        asked = [("answerable" if each.evidence else "unanswerable", each) for each in conversation.questions]
        made_up = [("made up", Question(text, "made up", frozenset())) for text in MADE_UP]
        for kind, each in [*asked, *made_up]:
            is_silent = not user.recall(each.text, context=each.context[:-1])
            system.silent.setdefault(kind, []).append(float(is_silent))


def ours(user: UserMemory) -> Ask:
    """The library, through its public door."""

    def ask(question: Question, budget: int) -> Sequence[Hit]:
        limit = DEPTH if budget == ROOMY else POOL
        return user.recall(question.text, context=question.context[:-1], limit=limit, budget_tokens=budget)

    return ask


def theirs(peer: Peer, messages: Mapping[str, Message]) -> Ask:
    """A peer; what it finds is written into a block as ours is, but not made shorter to find room for more."""

    def ask(question: Question, budget: int) -> Sequence[Hit]:
        limit = DEPTH if budget == ROOMY else POOL
        hits = [Hit(item=messages[key], score=0.0) for key in peer.search(question.text, limit)]
        whole = RecallConfig(limit=limit, budget_tokens=budget, excerpt_tokens=RecallConfig().item_tokens)
        return fit_hits(hits, whole, approximate_tokens)

    return ask


def shown(hits: Sequence[Hit], question: Question) -> list[str]:
    """The messages in the order shown, a fact as those it rests on; their sessions where the evidence is sessions."""
    names: list[str] = []
    for hit in hits:
        if question.is_by_session:
            names.append(hit.item.thread.rpartition("/")[2])
        else:
            names += hit.item.message_ids if isinstance(hit.item, Fact) else (hit.item.id,)
    return list(dict.fromkeys(names))


def answer_words(question: Question) -> set[str]:
    """What the answer says and the question does not."""
    return set(query_weights(question.answer)) - set(index_terms(question.text)) if question.answer else set()


class _Silent(Screen):
    """A screen nobody looks at."""

    def __init__(self) -> None:
        self.out = self.err = Console(quiet=True)


def _percentiles(values: Sequence[float]) -> tuple[float, float] | None:
    ordered = sorted(values)
    return (ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100]) if ordered else None


def without(config: RecallConfig, signals: Sequence[str]) -> RecallConfig:
    """The same configuration with some signals switched off.

    Raises:
        typer.BadParameter: If there is no such signal.
    """
    known = {weight.name for weight in fields(RankingWeights)}
    if unknown := set(signals) - known:
        msg = f"there is no signal {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        raise typer.BadParameter(msg)
    return replace(config, weights=replace(config.weights, **dict.fromkeys(signals, 0.0)))


def tables(systems: Mapping[str, System]) -> list[Table]:
    """Lay out what was measured."""
    every = Table(
        "system", "R@5", "R@10", "95 %", "R@20", "nDCG@10", "95 %", "n", "ms p50", "ms p95", title="All questions"
    )
    for name, system in systems.items():
        row = mean([each for _, each in system.rows])
        spread = {
            key: "{:.3f}-{:.3f}".format(*interval([each[key] for _, each in system.rows]))
            for key in ("R@10", "nDCG@10")
        }
        times = _percentiles(system.milliseconds) or (0.0, 0.0)
        every.add_row(
            name, f"{row['R@5']:.3f}", f"{row['R@10']:.3f}", spread["R@10"], f"{row['R@20']:.3f}",
            f"{row['nDCG@10']:.3f}", spread["nDCG@10"], str(row["n"]), *(f"{value:.1f}" for value in times),
        )  # fmt: skip
    kinds = sorted({kind for kind, _ in systems[OURS].rows})
    by_type = Table("R@10 by type", "n", *systems)
    for kind in kinds:
        rows = {name: [row for other, row in system.rows if other == kind] for name, system in systems.items()}
        by_type.add_row(kind, str(len(rows[OURS])), *(f"{mean(each)['R@10']:.3f}" for each in rows.values()))
    budget = Table("in a block of", "share of", *systems)
    for tokens in BUDGETS:
        for what, shares in (
            ("evidence", [system.budgets[tokens] for system in systems.values()]),
            ("answer's words", [system.words[tokens] for system in systems.values()]),
        ):
            cells = [f"{sum(share) / len(share):.3f}" if share else "" for share in shares]
            budget.add_row(f"{tokens} tokens", what, *cells)
    silent = Table("nothing recalled", "share", "questions")
    for kind, values in systems[OURS].silent.items():
        silent.add_row(kind, f"{sum(values) / len(values):.3f}", str(len(values)))
    return [every, by_type, budget, silent]


def main(  # noqa: PLR0913 - options of a command
    data: Annotated[Path, typer.Argument(help="LoCoMo's JSON, or a file in the common format.")],
    *,
    out: Annotated[Path, typer.Option(help="Where to write the figures as JSON; the plot goes beside it.")],
    embedding: Annotated[str, typer.Option(help="Which embedding.")] = "minilm",
    models: Annotated[Path | None, typer.Option(help="Where files of local models are kept.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="Keep vectors in this file for the next run.")] = None,
    no_speaker: Annotated[bool, typer.Option("--no-speaker", help="Switch the speaker signal off.")] = False,
    leave_out: Annotated[list[str] | None, typer.Option("--without", help="Switch a signal off.")] = None,
    store: Annotated[str, typer.Option(help=f"Our store: {', '.join(STORES)}.")] = "chroma",
    observations: Annotated[bool, typer.Option(help="Load LoCoMo's observations as extracted facts.")] = False,
    peers: Annotated[bool, typer.Option(help="Measure the peers too.")] = True,
) -> None:
    """Print, plot and write recall on a file, the library beside its peers, with the same vectors."""
    console = Console(width=160)
    found: Questions = read_questions(data)
    if found.unresolved:
        console.print(f"{len(found.unresolved)} evidence ids name no turn and were left out: {found.unresolved}")
    available, missing = installed() if peers else ({}, [])
    for name in missing:
        console.print(f"[bold red]{name} is not installed and was NOT measured[/]")
    config = without(RecallConfig(), [*(leave_out or []), *(["speaker"] if no_speaker else [])])
    kept = KeptVectors(create_embedding(embedding, folder=models), vectors, model=embedding)
    bench = Bench(data, kept, config, with_observations=observations, open_store=STORES[store])
    with Progress(transient=True) as progress:
        task = progress.add_task(data.name, total=len(found.conversations))
        for conversation in found.conversations:
            bench.run(conversation, available)
            progress.advance(task)
            kept.save()
    for table in tables(bench.systems):
        console.print(table)
    out.write_text(json.dumps({name: system.report() for name, system in bench.systems.items()}, indent=2))
    draw(
        {name: [(kind, row) for kind, row in system.rows] for name, system in bench.systems.items()},
        data.stem,
        out.with_suffix(".png"),
    )


if __name__ == "__main__":
    typer.run(main)
