"""The hook that takes secrets out of a text before it is remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Redactor: TypeAlias = Callable[[str], str]
"""Gets the text of a message, returns what may be remembered of it; must give the same answer every time."""


def keep_everything(text: str) -> str:
    """Redact nothing."""
    return text
