"""Counts tokens and cuts histories so that a prompt fits and stays valid."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

TokenCounter: TypeAlias = Callable[[str], int]
"""Counts the tokens of a text; any tokenizer's `lambda text: len(tokenizer.encode(text))` will do."""

T = TypeVar("T")

CHARACTERS_PER_TOKEN = 4
"""English text in common byte-pair vocabularies averages about four characters a token."""
WIDE_FROM = "\u2e80"
"""First character of the East Asian scripts, where a character is about one token."""
MESSAGE_TOKENS = 4
"""What a chat format adds around one message."""
NO_RESULT = "No result: this call was not carried out."
"""Answers a tool call in the prompt that nothing answers in the thread."""


def approximate_tokens(text: str) -> int:
    """Count tokens without a tokenizer: a wide (East Asian) character is one, four other characters are one."""
    wide = 0 if text.isascii() else sum(character >= WIDE_FROM for character in text)
    return wide + -(-(len(text) - wide) // CHARACTERS_PER_TOKEN)


def message_tokens(message: AnyMessage, count: TokenCounter) -> int:
    """Count the tokens of a message: its text, its tool calls and the format around it."""
    arguments = [call["args"] for call in message.tool_calls] if isinstance(message, AIMessage) else []
    return MESSAGE_TOKENS + count(message.text) + (count(json.dumps(arguments, default=str)) if arguments else 0)


def fit(items: Iterable[T], *, budget: int, cost: Callable[[T], int], limit: float = math.inf) -> list[T]:
    """Keep items, in order, while they fit, at most `limit`.

    One too large is passed over so that smaller ones behind it still count.
    """
    kept: list[T] = []
    for item in items:
        if len(kept) >= limit:
            break
        price = cost(item)
        if price <= budget:
            budget -= price
            kept.append(item)
    return kept


def cut_text(text: str, *, tokens: int, count: TokenCounter) -> str:
    """Shorten a text to at most `tokens`, marking the cut with an ellipsis."""
    if count(text) <= tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[:middle] + "…") <= tokens else (low, middle - 1)
    return text[:low] + "…" if low else ""


def window(
    messages: Sequence[AnyMessage],
    *,
    after: str | None,
    max_messages: int,
    max_tokens: int,
    count: TokenCounter = approximate_tokens,
) -> list[AnyMessage]:
    """Choose the messages a prompt shows verbatim: those after the summary, the newest that fit.

    System messages are left out (they lead the prompt, see `compose`). The newest turn, from its human message on, is
    always whole. A tool call is never separated from its result: where a limit falls between them, both stay out; where
    the end of the summary does, both stay in.

    Args:
        messages: The thread, oldest first.
        after: Id of the last message that is summarized; `None`, or an id not among `messages`, means none is.
        max_messages: Most messages to show, the newest turn aside.
        max_tokens: Most tokens to show, the newest turn aside.
        count: Counts the tokens of a text.

    Returns:
        The end of `messages`, in order, without system messages.
    """
    spoken: list[AnyMessage] = [message for message in messages if not isinstance(message, SystemMessage)]
    newest_turn = last_human(spoken)
    start = _earlier_cut(spoken, min(_index_after(spoken, after), newest_turn))
    first = len(spoken)
    tokens = 0
    for index in range(len(spoken) - 1, start - 1, -1):
        tokens += message_tokens(spoken[index], count)
        is_over = tokens > max_tokens or len(spoken) - index > max_messages
        if is_over and index < newest_turn:
            break
        first = index
    return spoken[_later_cut(spoken, first, newest_turn) if first > start else start :]


def mended(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Leave out results without a call, and answer calls without a result, as a model refuses either.

    They come about where a person writes on instead of approving a call, a tool fails, or messages are taken out of a
    thread. A result further down answers its call; all else stays, in order.
    """
    calls: dict[str | None, int] = {}
    orphans: set[int] = set()
    unanswered: dict[int, list[str | None]] = {}
    for index, message in enumerate(messages):
        if isinstance(message, AIMessage):
            unanswered[index] = [call["id"] for call in message.tool_calls]
            known = [*unanswered[index], *(call["id"] for call in message.invalid_tool_calls)]
            calls |= dict.fromkeys(known, index)
        elif isinstance(message, ToolMessage):
            call = calls.pop(message.tool_call_id, None)
            if call is None:
                orphans.add(index)
            elif message.tool_call_id in unanswered[call]:
                unanswered[call].remove(message.tool_call_id)
    whole: list[AnyMessage] = []
    for index, message in enumerate(messages):
        if index not in orphans:
            whole.append(message)
        whole += [
            ToolMessage(NO_RESULT, tool_call_id=call, status="error") for call in unanswered.get(index, ()) if call
        ]
    return whole


def last_human(messages: Sequence[AnyMessage]) -> int:
    """Index of the newest message a person wrote; 0 when there is none."""
    return next((i for i in range(len(messages) - 1, -1, -1) if is_from_person(messages[i])), 0)


def is_from_person(message: BaseMessage) -> bool:
    """Whether a human message was written by the user, not inserted by some middleware (`lc_source`)."""
    return isinstance(message, HumanMessage) and "lc_source" not in message.additional_kwargs


def _index_after(messages: Sequence[AnyMessage], message_id: str | None) -> int:
    return next((i + 1 for i in range(len(messages) - 1, -1, -1) if message_id and messages[i].id == message_id), 0)


def is_clean_cut(messages: Sequence[AnyMessage], index: int) -> bool:
    """Whether every tool call and its result lie on the same side of `index`; models reuse the ids of calls."""
    called = {call["id"] for m in messages[:index] if isinstance(m, AIMessage) for call in m.tool_calls}
    for message in messages[index:]:
        if isinstance(message, AIMessage):
            called -= {call["id"] for call in message.tool_calls}
        elif isinstance(message, ToolMessage) and message.tool_call_id in called:
            return False
    return True


def _earlier_cut(messages: Sequence[AnyMessage], index: int) -> int:
    while not is_clean_cut(messages, index):
        index -= 1
    return index


def _later_cut(messages: Sequence[AnyMessage], index: int, limit: int) -> int:
    while index < limit and not (is_clean_cut(messages, index) and is_from_person(messages[index])):
        index += 1
    return _earlier_cut(messages, index)
