"""Draws what callers get back as small tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TypeAlias

Rows: TypeAlias = Mapping[str, object]
"""What a card tells below its title, by name; what is `None` or empty is left out."""

# No color of its own: text and lines take the theme's, light or dark. Where styles are stripped, a plain table is left.
FRAME = "border:1px solid rgba(128,128,128,.4);border-collapse:collapse;margin:.3em 0;max-width:54em"
CELL = "text-align:left;vertical-align:top;white-space:normal;background:none;padding:.15em .6em"
MUTED = "opacity:.7;font-weight:normal"
BAR_EMS = 12
"""Width of a bar that stands for 1."""


class Returned:
    """Shared representation of what callers get back; made for dataclasses."""

    def __repr__(self) -> str:
        """Name the kind, and say it in a line."""
        return f"<{type(self).__name__} {self._line()}>"

    def _line(self) -> str:
        raise NotImplementedError

    def _card(self) -> Card:
        return Card(title=self._line(), rows={item.name: getattr(self, item.name) for item in fields(self)})  # type: ignore[arg-type]  # every subclass is a dataclass

    def _repr_html_(self) -> str:
        """Show it as a small table, in the colors of the notebook's own theme."""
        return self._card().drawn(type(self).__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What one of them shows."""

    title: str
    is_past: bool = False
    """Whether the title is no longer true: it is struck out."""
    rows: Rows

    def drawn(self, kind: str) -> str:
        """Draw it as HTML; every text is escaped."""
        title = html.escape(self.title)
        heading = f"<s>{title}</s>" if self.is_past else title
        rows = "".join(
            f"<tr><td style='{CELL};{MUTED}'>{html.escape(name)}</td><td style='{CELL}'>{_cell(value)}</td></tr>"
            for name, value in self.rows.items()
            if not _is_empty(value)
        )
        head = f"<td style='{CELL};{MUTED}'>{html.escape(kind)}</td><td style='{CELL}'><b>{heading}</b></td>"
        return f"<table style='{FRAME}'><tr>{head}</tr>{rows}</table>"


def period(start: datetime, end: datetime | None) -> str:
    """From which day on something holds and, if it ends, until when."""
    if end is None:
        return f"since {_day(start)}"
    return f"on {_day(start)}" if _day(start) == _day(end) else f"{_day(start)} to {_day(end)}"


def _is_empty(value: object) -> bool:
    return value is None or value is False or (isinstance(value, str | Sequence | Mapping) and not value)


def _cell(value: object) -> str:
    """Draw a value: a mapping of numbers between 0 and 1 as bars, a sequence as lines."""
    match value:
        case datetime():
            return f"{_day(value)} {value.astimezone(UTC):%H:%M}"
        case Mapping():
            return "<br>".join(_entry(str(name), amount) for name, amount in value.items())
        case str():
            return html.escape(value)
        case Sequence():
            return "<br>".join(_cell(item) for item in value)
        case Returned():
            return html.escape(value._line())  # noqa: SLF001 - defined above
        case _:
            return html.escape(str(value))


def _entry(name: str, amount: object) -> str:
    if not isinstance(amount, float):
        return f"{html.escape(name)}: {_cell(amount)}"
    width = BAR_EMS * min(max(amount, 0.0), 1.0)
    bar = f"display:inline-block;height:.6em;width:{width:.1f}em;background:currentColor;opacity:.5"
    return f"<span style='{bar}'></span> {amount:.2f} {html.escape(name)}"


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"
