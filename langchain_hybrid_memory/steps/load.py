"""Reads one user's queue: the episodes still to be worked on, and their messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import cast

from langgraph.store.base import BaseStore, GetOp, Item
from typing_extensions import TypedDict

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.memories import Pending, StoredMessage, from_iso
from langchain_hybrid_memory.scope import Scope

MAX_ATTEMPTS = 5
"""After this many failures an episode waits for an explicit `flush`."""


class Episode(TypedDict):
    """A queued turn, put together from its entries in the queue."""

    thread: str
    key: str
    message_ids: list[str]
    recorded_at: str
    is_complete: bool
    learns: bool
    attempts: int
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
    return sorted(map(_episode, entries.values()), key=lambda episode: (episode["recorded_at"], episode["key"]))


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
        is_forced: Whether open turns and episodes that failed too often are wanted too, as in a `flush`.

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
        and (is_forced or episode["attempts"] < MAX_ATTEMPTS)
    ]
    untroubled = [episode for episode in waiting if not episode["attempts"]]
    return untroubled or waiting[:1]


def _episode(entries: dict[str, Pending]) -> Episode:
    ordered = sorted(entries.values(), key=lambda entry: (entry["recorded_at"], len(entry["message_ids"])))
    return Episode(
        thread=ordered[0]["thread"],
        key=ordered[0]["episode"],
        message_ids=list(dict.fromkeys(message_id for entry in ordered for message_id in entry["message_ids"])),
        recorded_at=min(entry["recorded_at"] for entry in entries.values()),
        is_complete=any(entry["is_complete"] for entry in entries.values()),
        learns=any(entry["learns"] for entry in entries.values()),
        attempts=max(entry["attempts"] for entry in entries.values()),
        entries=entries,
    )
