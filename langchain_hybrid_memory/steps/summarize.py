"""Folds the messages that leave the window into the thread's running summary, each of them once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import cast

from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from langchain_hybrid_memory._flow import Flow, attempt, batch, call, listing, value_of
from langchain_hybrid_memory.budget import TokenCounter, cut_text
from langchain_hybrid_memory.config import SummaryConfig
from langchain_hybrid_memory.errors import ExtractionError
from langchain_hybrid_memory.prompts.summary import summary_prompt
from langchain_hybrid_memory.records import StoredMessage, StoredSummary
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.extract import Meter

NOTHING = StoredSummary(text="", through_id="", through_position=-1, messages=0)


def summarize(
    scope: Scope,
    store: BaseStore,
    model: BaseChatModel,
    *,
    config: SummaryConfig,
    count: TokenCounter,
    meter: Meter,
) -> Flow[int]:
    """Bring the summary of the scope's thread up to date, if enough messages wait to be summarized.

    A long backlog is folded in several calls, each saved before the next, so that an interruption repeats none.

    Returns:
        How many messages were folded in; each call is counted by `meter` as it is made.

    Raises:
        ExtractionError: If the model answers with nothing; the summary so far stays.
    """
    (item,) = yield from batch(store, [GetOp(scope.namespace("summaries"), scope.thread_id)])
    is_known = isinstance(item, Item) and scope.owns(item.namespace)
    digest = cast("StoredSummary", cast("Item", item).value) if is_known else NOTHING
    behind = yield from _behind(scope, store, digest)
    leaving = choose_leaving(behind, config=config, count=count)
    for portion in _portions(leaving, tokens=config.after_tokens, count=count):
        prompt = summary_prompt(digest["text"], portion, summary_tokens=config.summary_tokens)
        outcome = yield from attempt(call(model, prompt))
        meter.count(outcome.value)
        answer = value_of(outcome)
        ids = {message["id"] for message in portion}
        given = [message for message in behind if message["id"] in ids]  # as they are on record, not cut
        if (yield from _is_forgotten(scope, store, digest, given)):
            return 0
        digest = _folded(digest, answer.text.strip(), portion, tokens=2 * config.summary_tokens, count=count)
        yield from batch(store, [PutOp(scope.namespace("summaries"), scope.thread_id, dict(digest), index=False)])
        if (yield from _is_forgotten(scope, store, digest, given)):
            yield from batch(store, [PutOp(scope.namespace("summaries"), scope.thread_id, None)])
            return 0
    return len(leaving)


def choose_leaving(
    messages: Sequence[StoredMessage], *, config: SummaryConfig, count: TokenCounter
) -> list[StoredMessage]:
    """The oldest messages, up to the start of the turn that `keep_messages` reaches into; none below the thresholds."""
    tokens = sum(count(message["text"]) for message in messages)
    if len(messages) < config.after_messages and tokens < config.after_tokens:
        return []
    cut = max(0, len(messages) - config.keep_messages)
    while cut and messages[cut]["role"] != "user":
        cut -= 1
    return list(messages[:cut])


def _portions(
    messages: Sequence[StoredMessage], *, tokens: int, count: TokenCounter
) -> Generator[list[StoredMessage], None, None]:
    """Split messages into portions of at most `tokens`, between turns where a turn fits one."""
    portion: list[StoredMessage] = []
    room = tokens
    for unit in _units(messages, tokens=tokens, count=count):
        price = sum(count(message["text"]) for message in unit)
        if portion and price > room:
            yield portion
            portion, room = [], tokens
        portion += unit
        room -= price
    if portion:
        yield portion


def _units(messages: Sequence[StoredMessage], *, tokens: int, count: TokenCounter) -> list[list[StoredMessage]]:
    """The turns; one too long for a portion as single messages, and a message too long for one cut."""
    turns: list[list[StoredMessage]] = []
    for message in messages:
        if message["role"] == "user" or not turns:
            turns.append([])
        turns[-1].append({**message, "text": cut_text(message["text"], tokens=tokens, count=count)})
    units: list[list[StoredMessage]] = []
    for turn in turns:
        is_too_long = sum(count(message["text"]) for message in turn) > tokens
        units += [[message] for message in turn] if is_too_long else [turn]
    return units


def _folded(
    digest: StoredSummary, text: str, portion: Sequence[StoredMessage], *, tokens: int, count: TokenCounter
) -> StoredSummary:
    if not text:
        msg = "the model answered with an empty summary; the old one stays and the messages stay in the window"
        raise ExtractionError(msg)
    return StoredSummary(
        text=cut_text(text, tokens=tokens, count=count),
        through_id=portion[-1]["id"],
        through_position=portion[-1]["position"],
        messages=digest["messages"] + len(portion),
    )


def _is_forgotten(scope: Scope, store: BaseStore, digest: StoredSummary, given: Sequence[StoredMessage]) -> Flow[bool]:
    """Whether something of what was given to the model was forgotten before it had answered."""
    place = scope.thread_messages(scope.thread_id)
    summary = GetOp(scope.namespace("summaries"), scope.thread_id)
    found = yield from batch(store, [summary, *(GetOp(place, message["id"]) for message in given)])
    known, *texts = [item.value["text"] if isinstance(item, Item) else "" for item in found]
    return known != digest["text"] or texts != [message["text"] for message in given]


def _behind(scope: Scope, store: BaseStore, digest: StoredSummary) -> Flow[list[StoredMessage]]:
    """The thread's messages that are not in a digest, in order; compared here, as not every store compares numbers.

    Two that share a position were said at once, or after a crash: both are kept.
    """
    items = yield from listing(store, scope.thread_messages(scope.thread_id))
    messages = [cast("StoredMessage", item.value) for item in items if not item.value.get("is_abandoned")]
    through = (digest["through_position"], digest["through_id"])
    return sorted((m for m in messages if _place(m) > through), key=_place)


def _place(message: StoredMessage) -> tuple[int, str]:
    return (message["position"], message["id"])
