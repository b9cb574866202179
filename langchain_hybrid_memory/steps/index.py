"""Embeds what record wrote, right after the reply and without any model."""

from __future__ import annotations

from collections.abc import Sequence

from langgraph.store.base import BaseStore, Op, PutOp

from langchain_hybrid_memory._flow import Flow
from langchain_hybrid_memory.records import StoredMessage
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.load import Episode, load_messages
from langchain_hybrid_memory.steps.take_back import gone_threads, without_forgotten
from langchain_hybrid_memory.steps.writes import message_op, write

EPISODES_A_BATCH = 64


def index(scope: Scope, store: BaseStore, queue: Sequence[Episode]) -> Flow[int]:
    """Make the messages of queued episodes findable by meaning.

    Args:
        scope: Whose messages.
        store: Where they are.
        queue: The user's queue; what is indexed already is passed over. Entries that nothing is to be learned from are
            done with that, and removed.

    Returns:
        How many messages were embedded.
    """
    waiting = [episode for episode in queue if not all(e["is_indexed"] for e in episode["entries"].values())]
    embedded = 0
    for start in range(0, len(waiting), EPISODES_A_BATCH):
        episodes = waiting[start : start + EPISODES_A_BATCH]
        messages = yield from load_messages(scope, store, episodes)
        waits: list[StoredMessage] = [{**said, "is_indexed": True} for said in messages if not said["is_indexed"]]
        # the thread they were recorded from may still have held what was forgotten: recording does not look
        fresh = yield from without_forgotten(scope, store, waits)
        yield from write(store, [message_op(scope, message) for message in fresh])
        # those that a run which was killed here had embedded are looked at too: the queue comes after
        ops = yield from _taken_back(scope, store, [*fresh, *(said for said in messages if said["is_indexed"])])
        for episode in episodes:
            for key, entry in episode["entries"].items():
                rest = {**entry, "is_indexed": True} if entry["learns"] else None
                ops.append(PutOp(scope.pending, key, rest, index=False))
        yield from write(store, ops)
        yield from write(store, (yield from _gone(scope, store, fresh, episodes)))
        embedded += len(fresh)
    return embedded


def _taken_back(scope: Scope, store: BaseStore, written: Sequence[StoredMessage]) -> Flow[list[Op]]:
    """The writes that take out words which another process had forgotten before they were written anew here.

    Embedding takes long enough for that.
    """
    left = yield from without_forgotten(scope, store, written)
    return [message_op(scope, new) for new, old in zip(left, written, strict=True) if new != old]


def _gone(
    scope: Scope, store: BaseStore, written: Sequence[StoredMessage], episodes: Sequence[Episode]
) -> Flow[list[Op]]:
    """The writes that take away messages, and their queue entries, whose thread was forgotten meanwhile."""
    gone = yield from gone_threads(scope, store, (episode["thread"] for episode in episodes))
    entries = [key for episode in episodes if episode["thread"] in gone for key in episode["entries"]]
    lost = [message for message in written if message["thread"] in gone]
    ops: list[Op] = [PutOp(scope.pending, key, None) for key in entries]
    return ops + [PutOp(scope.thread_messages(message["thread"]), message["id"], None) for message in lost]
