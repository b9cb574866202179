"""Derives everything again while somebody watches."""

from __future__ import annotations

from langchain_hybrid_memory.cli.importing import progress_bar
from langchain_hybrid_memory.cli.screen import Screen, counted
from langchain_hybrid_memory.rebuild import Rebuilt
from langchain_hybrid_memory.user_memory import UserMemory


def rebuild(user: UserMemory, screen: Screen) -> Rebuilt:
    """Rebuild a memory, with a progress bar; Ctrl-C leaves it as it was, and the next time goes on."""
    with progress_bar(screen) as progress:
        task = progress.add_task("learning again from turns", total=None)
        return user.rebuild(lambda done, total: progress.update(task, completed=done, total=total))


def describe_rebuilt(rebuilt: Rebuilt) -> str:
    """Say in a line what rebuilding brought."""
    rejected = sum(rebuilt.rejected.values())
    parts = [
        f"learned {counted(rebuilt.facts, 'fact')} from {counted(rebuilt.turns, 'turn')}",
        f"{rebuilt.superseded} superseded",
        f"{rebuilt.confirmed} confirmed",
        *([f"{rejected} rejected"] if rejected else []),
        counted(rebuilt.calls, "model call"),
    ]
    return ", ".join(parts)
