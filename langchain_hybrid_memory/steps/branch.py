"""Finds the messages a thread went on without, and has what was drawn from them taken away.

The log is a tree: each message names the one it followed. Where two follow the same one, either the thread was taken
back in time, which a caller does by naming a checkpoint, or two processes answered at once, or one died before its
checkpoint was written: then both stay. What a middleware prunes from the state stays where it is in the tree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias, cast

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, SearchOp

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.records import StoredMessage, from_iso, queue_entry, to_iso
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.load import Episode, load_messages

Children: TypeAlias = Mapping[str, Sequence[StoredMessage]]
"""Messages by the id of the one they followed."""


def settle_branches(scope: Scope, store: BaseStore, queue: Sequence[Episode], *, now: datetime) -> Flow[bool]:
    """Mark what the threads of new turns went on without, and unmark what they came back to.

    The episodes concerned are queued, so that their facts are drawn anew from what is left of them; a summary that
    reaches into an abandoned part is given up.

    Returns:
        Whether anything changed, so that the queue has to be read again.
    """
    fresh = [episode for episode in queue if not all(entry["is_indexed"] for entry in episode["entries"].values())]
    messages = yield from load_messages(scope, store, fresh)
    linked = {(m["thread"], m["after"]) for m in messages if m.get("after")}
    changed = False
    for thread in sorted((yield from _forked(scope, store, linked))):
        ops = yield from _ops(scope, store, thread, now=now)
        yield from batch(store, ops)
        changed = changed or bool(ops)
    return changed


def abandoned(messages: Sequence[StoredMessage]) -> set[str]:
    """Ids of the messages of one thread that it went on without.

    Of several that follow the same message, the branch on which something was said last goes on. Another one is
    abandoned if its turn had ended when, on that branch, somebody went on from a checkpoint they had named.
    """
    ordered = sorted(messages, key=itemgetter("position"))
    children = _children(ordered)
    newest = _latest(ordered, {message["id"]: _at(message) for message in ordered})
    forked = _latest(ordered, {m["id"]: _at(m) if m.get("is_fork") else -math.inf for m in ordered})
    gone: set[str] = set()
    for message in ordered:
        rivals = children.get(message["after"] or "", ())
        main = max(rivals, key=lambda rival: newest[rival["id"]], default=message)
        is_left = main["id"] != message["id"] and forked[main["id"]] >= _end(message, children)
        if message["after"] in gone or is_left:
            gone.add(message["id"])
    return gone


def _children(messages: Iterable[StoredMessage]) -> Children:
    linked = sorted((m for m in messages if m.get("after")), key=lambda m: (m["after"] or "", m["position"]))
    return {parent or "": list(group) for parent, group in groupby(linked, itemgetter("after"))}


def _latest(ordered: Sequence[StoredMessage], times: dict[str, float]) -> dict[str, float]:
    """For each message the latest of these times, its own and those of all that followed it."""
    latest = dict(times)
    for message in reversed(ordered):
        parent = message["after"]
        if parent in latest:
            latest[parent] = max(latest[parent], latest[message["id"]])
    return latest


def _end(message: StoredMessage, children: Children) -> float:
    """When a turn, given by its first message, had its last answer so far; never, while it has none."""
    if message["role"] != "user":
        return _at(message)
    answers = [m for m in children.get(message["id"], ()) if m["role"] != "user"]
    return max((_at(answer) for answer in answers), default=math.inf)


def _at(message: StoredMessage) -> float:
    return from_iso(message["at"]).timestamp()


def _forked(scope: Scope, store: BaseStore, linked: Iterable[tuple[str, str | None]]) -> Flow[set[str]]:
    """The threads in which one of these messages was followed by several, or was abandoned itself."""
    places = [(thread, parent) for thread, parent in sorted(linked, key=str) if parent]
    siblings: list[Op] = [
        SearchOp(scope.thread_messages(thread), filter={"after": parent}, limit=2) for thread, parent in places
    ]
    parents: list[Op] = [GetOp(scope.thread_messages(thread), parent) for thread, parent in places]
    found = yield from batch(store, [*siblings, *parents])
    forked = {thread for (thread, _), items in zip(places, found, strict=False) if len(cast("list[Item]", items)) > 1}
    lost = {
        thread
        for (thread, _), item in zip(places, found[len(places) :], strict=True)
        if isinstance(item, Item) and item.value.get("is_abandoned")
    }
    return forked | lost


def _ops(scope: Scope, store: BaseStore, thread: str, *, now: datetime) -> Flow[list[Op]]:
    """The writes that bring a thread's marks up to date: the queue first, then the messages."""
    place = scope.thread_messages(thread)
    items = yield from listing(store, place)
    messages = [cast("StoredMessage", item.value) for item in items if scope.owns(item.namespace)]
    gone = abandoned(messages)
    changed = [m for m in messages if bool(m.get("is_abandoned")) != (m["id"] in gone)]
    episodes = dict.fromkeys(message["episode"] for message in changed)
    ops: list[Op] = [_marker(scope, thread, episode, messages, now=now) for episode in episodes]
    for message in changed:
        is_gone = message["id"] in gone
        ops.append(
            PutOp(place, message["id"], {**message, "is_abandoned": is_gone, "is_indexed": is_gone}, index=False)
        )
    (summary,) = yield from batch(store, [GetOp(scope.namespace("summaries"), thread)])
    if isinstance(summary, Item) and summary.value["through_id"] in gone:
        ops.append(PutOp(scope.namespace("summaries"), thread, None))
    return ops


def _marker(scope: Scope, thread: str, episode: str, messages: Iterable[StoredMessage], *, now: datetime) -> PutOp:
    """The queue entry that has an episode's facts drawn anew, and what came back of it indexed."""
    members = sorted((m for m in messages if m["episode"] == episode), key=itemgetter("position"))
    entry = queue_entry(
        user=scope.user_id,
        thread=thread,
        episode=episode,
        message_ids=[message["id"] for message in members],
        recorded_at=to_iso(now),
    )
    return PutOp(scope.pending, f"{episode}-branch", dict(entry), index=False)
