"""Tells a person at standard error how far a download is."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.progress import Progress

QUIET_SECONDS = 1.0  # work that ends sooner shows nothing
LOOK_EVERY_SECONDS = 0.2


def say(text: str) -> None:
    """Print one dim line on standard error."""
    from rich.console import Console

    Console(stderr=True).print(text, style="dim", highlight=False)


@contextlib.contextmanager
def show_arrival(name: str, size: int, folder: Path) -> Iterator[None]:
    """Show how many of `size` bytes have arrived in `folder` while the body runs.

    The folder is looked at from outside, so one bar serves every program that downloads into it.
    """
    is_over = threading.Event()
    watch = threading.Thread(target=_watch, args=(folder, is_over), kwargs={"name": name, "size": size}, daemon=True)
    watch.start()
    try:
        yield
    finally:
        is_over.set()
        watch.join()


def _watch(folder: Path, is_over: threading.Event, *, name: str, size: int) -> None:
    if is_over.wait(QUIET_SECONDS):
        return
    progress = _bar()
    if not progress.console.is_terminal:
        say(f"fetching {name} ({size / 1e6:,.0f} MB)")
        return
    with progress:
        task = progress.add_task(f"fetching {name}", total=size)
        while not is_over.wait(LOOK_EVERY_SECONDS):
            progress.update(task, completed=min(size, _bytes_in(folder)))


def _bar() -> Progress:
    from rich import progress
    from rich.console import Console
    from rich.table import Column

    return progress.Progress(  # one line of at most 80 columns
        progress.TextColumn("[dim]{task.description}", table_column=Column(max_width=28, no_wrap=True)),
        progress.BarColumn(bar_width=16),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # files come and go while we look
            total += path.stat().st_size if path.is_file() else 0
    return total
