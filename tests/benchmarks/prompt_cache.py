"""Measures how much of each prompt a provider's prefix cache could reuse: `python -m tests.benchmarks.prompt_cache`.

A conversation with an agent that calls a tool in each turn, so two prompts a turn. What a cache can reuse of a prompt
is the beginning it shares, byte for byte, with an earlier one. That is the most there is: providers keep whole blocks
of some hundred tokens, and for some minutes.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from bisect import bisect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from langchain_hybrid_memory import HybridMemory, MemorizeConfig, RecallConfig
from langchain_hybrid_memory.config import Placement
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding
from tests.doubles.extractor import extracting_model
from tests.doubles.scripted import ScriptedChatModel

CITIES = ("Lisbon", "Porto", "Vienna", "Osaka", "Tunis", "Quito", "Malmö", "Jaipur", "Perth", "Salvador")
THINGS = ("tea", "trains", "hostels", "markets", "museums", "gardens", "ferries")
ANSWER = "The budget covers travel, accommodation and two workshops; the rest was kept as a reserve for repairs. " * 2
RULES = "You are the assistant of a travel agency. Be brief, look budgets up, never promise a price. " * 6
EARLIER = 8
"""A prompt is compared with this many before it: what a longer prefix could match is older than any cache keeps."""

Row: TypeAlias = list[float]
"""Of each turn the share of its prompts that a cache could reuse."""


@tool
def look_up_budget(project: str) -> str:
    """Look up the budget of a project."""
    return f"Project {project}: 1,200 euros planned, 980 spent, the rest in reserve; approved by the board in spring."


def shared(prompt: str, earlier: Sequence[str]) -> int:
    """How many characters a prompt begins with that one of some earlier prompts begins with too."""
    return max((_common(prompt, other) for other in earlier), default=0)


def _common(prompt: str, other: str) -> int:
    """The length of the longest beginning two texts share, by halving."""
    return bisect(range(1, len(prompt) + 1), x=False, key=lambda length: not other.startswith(prompt[:length]))


def written(messages: Sequence[BaseMessage]) -> str:
    """Messages as one text, in the order in which a provider reads them; the tools before them are always the same."""
    return "".join(
        json.dumps([message.type, message.content, getattr(message, "tool_calls", [])], ensure_ascii=False)
        for message in messages
    )


def reply(messages: Sequence[BaseMessage]) -> str | AIMessage:
    """Look a budget up first, then answer."""
    if messages[-1].type == "human":
        call = {"name": "look_up_budget", "args": {"project": str(len(messages))}, "id": f"call-{len(messages)}"}
        return AIMessage("", tool_calls=[call])
    return ANSWER


def said(turn: int) -> str:
    """What the person says in a turn: something to keep, and a question that brings older things back."""
    city, thing = CITIES[turn % len(CITIES)], THINGS[turn % len(THINGS)]
    return f"I prefer {thing} number {turn} in {city}. What did I tell you about {city}, and what is its budget?"


def digest(messages: Sequence[BaseMessage]) -> str:
    """A summary of about the length of a real one."""
    return f"They spoke about budgets, {len(messages[-1].text)} characters of it. " + "The board approved a trip. " * 30


def talk(agent: Any, chat: ScriptedChatModel, *, turns: int, after: Callable[[], object]) -> Row:
    """Talk to an agent, and compare each turn's prompts with those before."""
    config = {"configurable": {"thread_id": "one", "user_id": "benchmark"}}
    shares, earlier = [], list[str]()
    for turn in range(turns):
        seen = len(chat.calls)
        agent.invoke({"messages": [("user", said(turn))]}, config)
        reusable = total = 0
        for call in chat.calls[seen:]:
            prompt = written(call.messages)
            reusable += shared(prompt, earlier[-EARLIER:])
            total += len(prompt)
            earlier.append(prompt)
        shares.append(reusable / total)
        after()
    return shares


def without_memory(_: Path, turns: int, on_turn: Callable[[], object]) -> Row:
    """The agent alone, which shows all messages there are."""
    chat = ScriptedChatModel(replies=reply)
    agent = create_agent(chat, tools=[look_up_budget], system_prompt=RULES, checkpointer=InMemorySaver())
    return talk(agent, chat, turns=turns, after=on_turn)


def placed(placement: Placement, folder: Path, turns: int, on_turn: Callable[[], object]) -> Row:
    """The agent with memory and the recalled block in one of the places; it learns and summarizes between turns."""
    chat, brain = ScriptedChatModel(replies=reply), extracting_model(replies=digest)
    with (
        open_store(folder, embedding=WordEmbedding()) as store,
        HybridMemory(
            brain, store=store, recall=RecallConfig(placement=placement), memorize=MemorizeConfig(after_turns=1)
        ) as memory,
    ):
        middleware: Any = memory.middleware()
        agent = create_agent(
            chat, tools=[look_up_budget], system_prompt=RULES, middleware=[middleware], checkpointer=InMemorySaver()
        )

        def after() -> None:
            memory.flush()
            on_turn()

        return talk(agent, chat, turns=turns, after=after)


SYSTEMS: dict[str, Callable[[Path, int, Callable[[], object]], Row]] = {
    "no memory": without_memory,
    "block at the tail": partial(placed, "tail"),
    "block in the system message": partial(placed, "system"),
}


def draw(rows: dict[str, Row], path: Path) -> None:
    """Share over turns, a line a system."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for name, row in rows.items():
        axes.plot(range(1, len(row) + 1), row, label=f"{name} (mean {statistics.mean(row):.2f})")
    axes.set(ylim=(0, 1), xlabel="turn", ylabel="share of the turn's prompts")
    axes.set_title("What a prefix cache could reuse")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(
    out: Annotated[Path, typer.Option(help="Where to write the figures; a plot is drawn beside them.")],
    *,
    turns: Annotated[int, typer.Option(help="How many turns the conversation has.")] = 100,
) -> None:
    """Print and plot what a prefix cache could reuse of each turn's prompts."""
    rows = dict[str, Row]()
    with Progress(transient=True) as progress, tempfile.TemporaryDirectory() as folder:
        for number, (name, measure) in enumerate(SYSTEMS.items()):
            advance = partial(progress.advance, progress.add_task(name, total=turns))
            rows[name] = measure(Path(folder) / str(number), turns, advance)
    table = Table("share a prefix cache could reuse", "mean", "lowest after turn 1", "turn 10", f"turn {turns}")
    for name, row in rows.items():
        figures = (statistics.mean(row), min(row[1:]), row[min(9, turns - 1)], row[-1])
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    Console(width=120).print(table)
    out.write_text(json.dumps({"turns": turns, "systems": rows}, indent=2))
    draw(rows, out.with_suffix(".png"))


if __name__ == "__main__":
    typer.run(main)
