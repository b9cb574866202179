"""Finds the messages that a thread can do without: they are summarized, nothing waits to be drawn from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import cast

from langchain_core.messages import AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.store.base import BaseStore, GetOp, Item

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.budget import is_clean_cut, is_from_person
from langchain_hybrid_memory.records import StoredMessage, StoredSummary
from langchain_hybrid_memory.redaction import Redactor
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.state import MemoryState, MemoryUpdate
from langchain_hybrid_memory.steps.load import load
from langchain_hybrid_memory.steps.record import branch_of, is_from_memory, place_of, rememberable
from langchain_hybrid_memory.steps.words import words_of


def prune(state: MemoryState, scope: Scope, store: BaseStore, *, now: datetime, redact: Redactor) -> Flow[MemoryUpdate]:
    """Take out of a thread the turns that are summarized, extracted and recorded, each as a whole.

    The turn that the summary ends with stays, as the place from which messages are shown. So do system messages, what
    a middleware inserted, and turns that were to leave no trace.

    Returns:
        The removals, and the branch as it stands without them; nothing where all messages stay.
    """
    messages = state["messages"]
    (item,) = yield from batch(store, [GetOp(scope.namespace("summaries"), scope.thread_id)])
    if not isinstance(item, Item) or not scope.owns(item.namespace):
        return {}
    summary = cast("StoredSummary", item.value)
    turns = _turns_before(messages, summary["through_id"])
    logged = yield from _logged([message for turn in turns for message in turn], scope, store)
    waiting = yield from _waiting(scope, store)
    settled = {
        key
        for key, said in logged.items()
        if key not in waiting
        and not said.get("is_late")
        and not said["is_abandoned"]
        and (said["position"], key) <= (summary["through_position"], summary["through_id"])
    }
    gone = [
        str(message.id)
        for turn in turns
        if all(_is_done(message, logged, settled, redact) for message in turn)
        for message in turn
    ]
    if not gone:
        return {}
    left = [said for said in rememberable(state, now=now) if said.id not in set(gone)]
    return {"messages": [RemoveMessage(key) for key in gone], **branch_of(left, place_of(state), is_on_record=True)}


def _turns_before(messages: Sequence[AnyMessage], through: str) -> list[list[AnyMessage]]:
    """The turns in front of the one that holds the message `through`, without what is never removed."""
    end = next((index for index, message in enumerate(messages) if message.id == through), 0)
    starts = [n for n in range(1, end + 1) if is_from_person(messages[n]) and is_clean_cut(messages, n)]
    turns = [messages[start:stop] for start, stop in pairwise([0, *starts])]
    return [[message for message in turn if _is_removable(message)] for turn in turns]


def _is_removable(message: AnyMessage) -> bool:
    is_inserted = isinstance(message, HumanMessage) and not is_from_person(message)
    return not isinstance(message, SystemMessage) and not is_inserted


def _logged(messages: Sequence[AnyMessage], scope: Scope, store: BaseStore) -> Flow[dict[str, StoredMessage]]:
    place = scope.thread_messages(scope.thread_id)
    found = yield from batch(store, [GetOp(place, str(message.id)) for message in messages])
    items = [item for item in found if isinstance(item, Item) and scope.owns(item.namespace)]
    return {item.key: cast("StoredMessage", item.value) for item in items}


def _waiting(scope: Scope, store: BaseStore) -> Flow[set[str]]:
    """Ids of the thread's messages from which something is still to be drawn."""
    queue = yield from load(scope, store)
    return {key for episode in queue if episode["thread"] == scope.thread_id for key in episode["message_ids"]}


def _is_done(
    message: AnyMessage, logged: Mapping[str, StoredMessage], settled: Collection[str], redact: Redactor
) -> bool:
    """Whether nothing is lost with a message: it has no words but memory's, or the log has them and is worked on."""
    words, key = words_of(message), str(message.id)
    if not words.strip() or is_from_memory(message):
        return True
    return key in settled and logged[key]["text"] == redact(words)
