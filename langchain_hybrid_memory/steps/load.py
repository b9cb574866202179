"""Reads one user's queue: the episodes still to be worked on, and their messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import cast

from langgraph.store.base import BaseStore, GetOp, Item
from typing_extensions import TypedDict

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.records import Pending, StoredMessage, from_iso, to_iso
from langchain_hybrid_memory.scope import Scope

LONGEST_RETRY_SECONDS = 86_400.0
"""An episode that fails again and again is tried once a day."""


class Episode(TypedDict):
    """A queued turn, put together from its entries in the queue."""

    thread: str
    key: str
    message_ids: list[str]
    recorded_at: str
    is_complete: bool
    learns: bool
    attempts: int
    retry_at: str
    """When it may be tried again; empty where it never failed."""
    entries: dict[str, Pending]
    """The entries by their keys; work on the episode is done when exactly these are gone."""


def load(scope: Scope, store: BaseStore) -> Flow[list[Episode]]:
    """The user's queue, oldest episode first."""
    found = yield from listing(store, scope.pending)
    entries: dict[str, dict[str, Pending]] = {}
    for item in found:
        entry = cast("Pending", item.value)
        if entry["user"] == scope.user_id:
            entries.setdefault(entry["episode"], {})[item.key] = entry
    return sorted(map(as_episode, entries.values()), key=lambda episode: (episode["recorded_at"], episode["key"]))


def load_messages(scope: Scope, store: BaseStore, episodes: Iterable[Episode]) -> Flow[list[StoredMessage]]:
    """The messages of episodes, in the order of the episodes and, within one, of the thread."""
    places = {
        (scope.thread_messages(episode["thread"]), message_id): None
        for episode in episodes
        for message_id in episode["message_ids"]
    }
    found = yield from batch(store, [GetOp(namespace, key) for namespace, key in places])
    return [
        cast("StoredMessage", item.value) for item in found if isinstance(item, Item) and scope.owns(item.namespace)
    ]


def reread(scope: Scope, store: BaseStore, messages: Sequence[StoredMessage]) -> Flow[list[StoredMessage]]:
    """Messages as they are on record by now, in their order; of one that is gone, nothing that could be quoted."""
    found = yield from batch(store, [GetOp(scope.thread_messages(m["thread"]), m["id"]) for m in messages])
    return [
        cast("StoredMessage", item.value) if isinstance(item, Item) else unsaid(message)
        for item, message in zip(found, messages, strict=True)
    ]


def unsaid(message: StoredMessage) -> StoredMessage:
    """A message without its words, in which no quote can be found."""
    return {**message, "text": "", "speaker": None}


def ready(
    queue: Sequence[Episode],
    *,
    tried: Collection[str],
    config: ExtractConfig,
    now: datetime,
    is_forced: bool,
) -> list[Episode]:
    """The queued episodes that may be extracted now.

    Args:
        queue: Oldest first.
        tried: Keys of episodes already tried in this run.
        config: Says how long an open turn waits.
        now: The present instant.
        is_forced: Whether open turns and failed episodes are wanted before their time, as in a `flush`.

    Returns:
        Episodes that never failed, oldest first; or, where there are none, the first failed one alone, so that one that
        cannot be read does not hold up the others.
    """
    oldest_open = now - timedelta(seconds=config.open_turn_seconds)
    waiting = [
        episode
        for episode in queue
        if episode["key"] not in tried
        and episode["learns"]
        and (is_forced or episode["is_complete"] or from_iso(episode["recorded_at"]) < oldest_open)
        and (is_forced or not seconds_to_retry(episode, now=now))
    ]
    untroubled = [episode for episode in waiting if not episode["attempts"]]
    return untroubled or waiting[:1]


def seconds_to_retry(episode: Episode, *, now: datetime) -> float:
    """How long an episode that failed has to wait still; 0 for one that may be tried."""
    return max(0.0, (from_iso(episode["retry_at"]) - now).total_seconds()) if episode["retry_at"] else 0.0


def failed(entry: Pending, *, error: str, retry_seconds: float, now: datetime) -> Pending:
    """An entry after one more failure: tried again after `retry_seconds`, and twice as long each further time."""
    attempts = entry["attempts"] + 1
    wait = min(retry_seconds * 2.0 ** min(attempts - 1, 60), LONGEST_RETRY_SECONDS)
    return {**entry, "attempts": attempts, "retry_at": to_iso(now + timedelta(seconds=wait)), "error": error}


def as_episode(entries: dict[str, Pending]) -> Episode:
    """Put an episode together from its entries in the queue, by their keys."""
    ordered = sorted(entries.values(), key=lambda entry: (entry["recorded_at"], len(entry["message_ids"])))
    return Episode(
        thread=ordered[0]["thread"],
        key=ordered[0]["episode"],
        message_ids=list(dict.fromkeys(message_id for entry in ordered for message_id in entry["message_ids"])),
        recorded_at=min(entry["recorded_at"] for entry in entries.values()),
        is_complete=any(entry["is_complete"] for entry in entries.values()),
        learns=any(entry["learns"] for entry in entries.values()),
        attempts=max(entry["attempts"] for entry in entries.values()),
        retry_at=max(entry["retry_at"] or "" for entry in entries.values()),
        entries=entries,
    )
