"""What a person sees: replies on standard output, dim notes beside them, progress and errors on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console, RenderableType
from rich.text import Text

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or another program."""
CONTROL = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])
"""Characters that could move the cursor or worse; text of models and memories is shown without them."""


class Screen:
    """The two streams of one command."""

    def __init__(self) -> None:
        """Look at where the output goes."""
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    def say(self, text: str) -> None:
        """Print a line."""
        self.out.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a dim line beside the conversation."""
        self.out.print(Text(" ".join(printable(text).split()), style="dim"), soft_wrap=True)

    def show(self, table: RenderableType) -> None:
        """Print something that rich renders."""
        self.out.print(table)

    def token(self, text: str) -> None:
        """Print a part of a line, at once."""
        self.out.out(printable(text), end="", highlight=False)
        self.out.file.flush()

    def tell(self, text: str) -> None:
        """Print a dim line on standard error."""
        self.err.print(printable(text), style="dim", markup=False, highlight=False, soft_wrap=True)

    def fail(self, text: str) -> None:
        """Print what went wrong, in one line on standard error."""
        self.err.print(" ".join(printable(text).split()), style="red", markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show on standard error what is being waited for; call what it yields to change the words."""
        if self.err.is_terminal:
            with self.err.status(Text(text, style="dim")) as status:
                yield lambda changed: status.update(Text(changed, style="dim"))
            return
        shown = [text]
        self.tell(text)

        def change(changed: str) -> None:
            if changed != shown[-1]:
                shown.append(changed)
                self.tell(changed)

        yield change


def printable(text: str) -> str:
    """Leave out control characters, line ends and tabs apart."""
    return text.translate(CONTROL)


def shorten(text: str, characters: int) -> str:
    """Put a text on one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def counted(count: int, noun: str) -> str:
    """Say how many: `1 turn`, `1,200 turns`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def queued(turns: int) -> str:
    """Say how many turns still have to be learned from."""
    return f"{counted(turns, 'turn')} stay{'s' if turns == 1 else ''} queued"


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PIPED_WIDTH)
