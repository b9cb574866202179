"""Embeds what record wrote, right after the reply and without any model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import cast

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.records import StoredMark, StoredMessage
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.load import Episode, load_messages
from langchain_hybrid_memory.steps.marks import blanked, mark_key

INDEX_FIELDS = ["text"]
"""What of a message or fact is embedded."""
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
        fresh = yield from _blanked(scope, store, [message for message in messages if not message["is_indexed"]])
        ops: list[Op] = [index_op(scope, message) for message in fresh]
        for episode in episodes:
            for key, entry in episode["entries"].items():
                rest = {**entry, "is_indexed": True} if entry["learns"] else None
                ops.append(PutOp(scope.pending, key, rest, index=False))
        yield from write(store, ops)
        yield from write(store, (yield from _forgotten_meanwhile(scope, store, fresh, episodes)))
        embedded += len(fresh)
    return embedded


def _forgotten_meanwhile(
    scope: Scope, store: BaseStore, written: Sequence[StoredMessage], episodes: Sequence[Episode]
) -> Flow[list[Op]]:
    """The writes that take back what another process had forgotten before it was written anew here.

    Embedding takes long enough for that. Whoever forgets a thread removes it from the list of threads and
    after that looks for messages once more: where it still stands there, these will be found.
    """
    threads = dict.fromkeys(episode["thread"] for episode in episodes)
    found = yield from batch(store, [GetOp(scope.namespace("threads"), thread) for thread in threads])
    gone = set(threads) - {item.key for item in found if isinstance(item, Item)}
    entries = [key for episode in episodes if episode["thread"] in gone for key in episode["entries"]]
    lost = [message for message in written if message["thread"] in gone]
    ops: list[Op] = [PutOp(scope.pending, key, None) for key in entries]
    return ops + [PutOp(scope.thread_messages(message["thread"]), message["id"], None) for message in lost]


def _blanked(scope: Scope, store: BaseStore, messages: Sequence[StoredMessage]) -> Flow[list[StoredMessage]]:
    """Messages without the words in their context that were forgotten in the message they followed.

    The thread they were recorded from may still have held them; recording, which a turn waits for, does not look.
    """
    keys = [mark_key(message["thread"], message.get("after") or "") for message in messages]
    found = yield from batch(store, [GetOp(scope.namespace("forgotten"), key) for key in dict.fromkeys(keys)])
    marks = {item.key: cast("StoredMark", item.value) for item in found if isinstance(item, Item)}
    return [
        {**message, "context": blanked(message["context"], marks.get(key))}
        for message, key in zip(messages, keys, strict=True)
    ]


def write(store: BaseStore, ops: Iterable[Op]) -> Flow[None]:
    """Run writes in one batch, or in as few as have each embedded text once: InMemoryStore refuses it twice in one.

    What is not embedded goes last, so a queue entry is only ever marked or removed after what it stands for.
    """
    rounds: list[list[Op]] = [[]]
    seen: Counter[str] = Counter()
    rest: list[Op] = []
    for op in ops:
        if not isinstance(op, PutOp) or op.value is None or op.index is False:
            rest.append(op)
            continue
        text = str(op.value["text"])
        if seen[text] == len(rounds):
            rounds.append([])
        rounds[seen[text]].append(op)
        seen[text] += 1
    rounds[-1] = [*rounds[-1], *rest]
    for each in rounds:
        yield from batch(store, each)


def index_op(scope: Scope, message: StoredMessage) -> PutOp:
    """The write that embeds a message."""
    namespace = scope.thread_messages(message["thread"])
    return PutOp(namespace, message["id"], {**message, "is_indexed": True}, index=INDEX_FIELDS)
