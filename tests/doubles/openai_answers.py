"""What the stub OpenAI server may be told to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool call; `arguments` as text is sent as it is, valid JSON or not."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: text, tool calls or a refusal; `slow_seconds` pass before it, in a stream before each chunk.

    `finish_reason="length"` makes a truncated one; left out, it follows from the rest.
    """

    text: str | None = None
    tools: tuple[Tool, ...] = ()
    refusal: str | None = None
    finish_reason: str | None = None
    slow_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """An HTTP error."""

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    message: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """A status of 200 over a body that is sent as it is; by default half a JSON object."""

    body: str = '{"id": "chatcmpl-stub", "choices": [{"message": {"role": "assis'
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class HungUp:
    """The server drops the connection: before anything is sent, or inside a stream after so many chunks."""

    after_chunks: int = 0
    text: str = "this is cut off in the middle"


Scripted: TypeAlias = str | Mapping[str, Any] | Answer | Failed | Raw | HungUp
"""A str is an answer's text; a dict becomes JSON text, or the arguments of the tool that the request forces."""


def rate_limited(*, retry_after_seconds: float = 0.01) -> Failed:
    """Make a 429 that tells the client when to come back."""
    return Failed(HTTPStatus.TOO_MANY_REQUESTS, "slow down", {"retry-after": str(retry_after_seconds)})
