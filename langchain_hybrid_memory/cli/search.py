"""`hybrid-memory search`: what memory holds about a question, and why each hit ranked where it did."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from langchain_hybrid_memory.cli.screen import printable
from langchain_hybrid_memory.config import RecallConfig
from langchain_hybrid_memory.hybrid_memory import HybridMemory
from langchain_hybrid_memory.memories import Fact, Hit
from langchain_hybrid_memory.store import ChromaStore

ROOMY_TOKENS = 1_000_000
"""Nobody reads this list into a prompt: only `--limit` cuts it."""


def search(store: ChromaStore, query: str, *, user_id: str, limit: int) -> list[Hit]:
    """What a user's memory holds about a question, best first; needs no chat model."""
    config = RecallConfig(limit=limit, candidates=max(limit, RecallConfig.candidates), budget_tokens=ROOMY_TOKENS)
    with HybridMemory(None, store=store, recall=config) as memory:
        return memory.for_user(user_id).recall(query)


def hits_table(hits: Sequence[Hit]) -> Table:
    """Lay out hits with date, source and the signals behind their rank."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("#", "score", "why", "date"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("#", "score") else "left")
    table.add_column("source", overflow="fold")
    table.add_column("text", overflow="fold", ratio=1)
    for number, hit in enumerate(hits, 1):
        text = printable(" ".join(hit.text.split()))
        table.add_row(
            str(number), f"{hit.score:.2f}", _why(hit), f"{hit.at:%Y-%m-%d}", Text(printable(_source(hit))), Text(text)
        )
    return table


def _why(hit: Hit) -> str:
    return "\n".join(f"{name} {value:.2f}" for name, value in hit.signals.items())


def _source(hit: Hit) -> str:
    item = hit.item
    if isinstance(item, Fact):
        return f"fact from {item.thread} {', '.join(item.message_ids)}\nid {item.id}"
    return f"{item.speaker or item.role} in {item.thread} {item.id}"
