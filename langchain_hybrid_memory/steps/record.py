"""Writes what was said into the log, verbatim and queued, before anything is derived from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, cast

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.budget import is_from_person
from langchain_hybrid_memory.ranking.dates import day_words
from langchain_hybrid_memory.records import (
    FIRST,
    Pending,
    Role,
    StoredMark,
    StoredMessage,
    StoredThread,
    fingerprint,
    from_iso,
    queue_entry,
    to_iso,
)
from langchain_hybrid_memory.redaction import Redactor, keep_everything
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.state import Branch, MemoryState, MemoryUpdate
from langchain_hybrid_memory.steps.marks import blanked, mark_key
from langchain_hybrid_memory.steps.words import words_of

ROLES: Mapping[type, Role] = {HumanMessage: "user", AIMessage: "assistant", ToolMessage: "tool"}
MEMORY = "memory"
"""Names, in the artifact of a tool's result, which of memory's own tools gave it."""
CONTEXT_CHARACTERS = 1_000
"""Of the message before, this many last characters serve as keyword context."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing said in a thread, on its way into the log."""

    id: str
    role: Role
    text: str
    at: datetime
    position: int
    speaker: str | None = None
    is_late: bool = False
    """Whether what was said behind it is on record already."""
    logged_at: int | None = None
    """Its position in the log, where it is known already: it keeps it, whatever was taken out of the thread since."""
    is_document: bool = False
    """Whether it only passes on what documents say, as a retriever's result does."""


class Place(NamedTuple):
    """Where in the log the messages of a state belong."""

    tip: str | None
    """Id of the last message of this branch in the log."""
    offset: int
    """What to add to an index in the state for a position in the log."""
    cursor: int = -1
    """Index of the last recorded message in the state."""
    digest: str | None = None
    """Of what the state said up to there when it was recorded."""


def record(
    state: MemoryState,
    scope: Scope,
    store: BaseStore,
    *,
    now: datetime,
    redact: Redactor = keep_everything,
    learns: bool = True,
) -> Flow[MemoryUpdate]:
    """Sweep every message behind the cursor into the log, and close the turn.

    Works by cursor rather than by "this turn", so messages of a turn that was interrupted are not lost.

    Returns:
        The new cursor, or nothing where this turn must not write or has no messages.
    """
    messages = state["messages"]
    if scope.is_read_only or not messages:
        return {}
    said, place = rememberable(state, now=now), place_of(state)
    spoken, fresh = yield from _not_recorded(said, state, scope, store, redact=redact)
    yield from batch(store, log(spoken, fresh, scope, now=now, redact=redact, learns=learns, place=place))
    return {"recorded_through": str(messages[-1].id), **branch_of(said, place, is_on_record=True)}


def append(
    spoken: Sequence[Utterance],
    scope: Scope,
    store: BaseStore,
    *,
    now: datetime,
    redact: Redactor = keep_everything,
    learns: bool = True,
) -> Flow[int]:
    """Bring utterances of complete turns into the log from outside a graph; how many of them were new.

    What the log holds already, under the same id and with the same text, is left alone.
    """
    known, fresh = yield from _unknown(spoken, scope, store, redact=redact)
    before = yield from _said_before(known, scope, store)
    yield from batch(store, log([*before, *known], fresh, scope, now=now, redact=redact, learns=learns))
    return len(fresh)


def utterances(messages: Sequence[BaseMessage], *, now: datetime, start: int = 0) -> list[Utterance]:
    """What people, the assistant and tools said: no system text, nothing a middleware made, nothing without words.

    A picture, recording or file in a message is remembered as a placeholder.
    Positions count from `start`.
    """
    return [
        Utterance(
            id=str(message.id),
            role=role,
            text=text,
            at=now,
            position=position,
            speaker=message.name if role == "user" else None,
            is_document=isinstance(message, ToolMessage) and _is_retrieved(message.artifact),
        )
        for position, message in enumerate(messages, start)
        if (role := _role(message)) is not None and (text := words_of(message)).strip()
    ]


def log(
    spoken: Sequence[Utterance],
    fresh: set[str],
    scope: Scope,
    *,
    now: datetime,
    redact: Redactor,
    learns: bool,
    is_complete: bool = True,
    place: Place | None = None,
) -> list[Op]:
    """The store writes that put `fresh` utterances of a thread into the log: the queue first, then the messages.

    Args:
        spoken: The thread's utterances in order; those not in `fresh` only give context and say which turn goes on.
        fresh: Ids to write.
        scope: Whose log, and which thread.
        now: When they are recorded.
        redact: Applied to each text, once; only its result is stored.
        learns: Whether facts are to be drawn from them.
        is_complete: Whether the last turn has ended.
        place: Where in the log the thread's state stands; `None` for what has no state and is only ever appended.
    """
    episodes = _episodes(spoken, scope.thread_id)
    members: dict[str, list[str]] = {}
    for said, episode in zip(spoken, episodes, strict=True):
        members.setdefault(episode, []).append(said.id)
    written = [index for index, said in enumerate(spoken) if said.id in fresh]
    if not written:
        return []
    markers = [
        _marker(
            queue_entry(
                user=scope.user_id,
                thread=scope.thread_id,
                episode=episode,
                message_ids=members[episode],
                recorded_at=to_iso(now),
                is_complete=is_complete or episode != episodes[-1],
                learns=learns,
            ),
            scope,
        )
        for episode in dict.fromkeys(episodes[index] for index in written)
    ]
    puts = [_message(spoken, index, episodes[index], scope, redact=redact, place=place) for index in written]
    # what is only appended may begin with, or be, what is edited far back in the thread: that does not end it
    added = spoken if place else [said for said in spoken if said.logged_at is None]
    if not added:
        return [*markers, *puts]
    offset = place.offset if place else 0
    thread = StoredThread(last_at=to_iso(now), length=added[-1].position + offset + 1, last_id=added[-1].id)
    return [*markers, *puts, PutOp(scope.namespace("threads"), scope.thread_id, dict(thread), index=False)]


def list_thread(scope: Scope, store: BaseStore, *, now: datetime) -> Flow[None]:
    """Put the scope's thread on the list that forgetting works through, though nothing of it was recorded.

    A run that must leave no trace leaves none.
    """
    if not scope.thread_id or scope.is_read_only:
        return
    threads = scope.namespace("threads")
    (known,) = yield from batch(store, [GetOp(threads, scope.thread_id)])
    if known is None:
        thread = StoredThread(last_at=to_iso(now), length=0)
        yield from batch(store, [PutOp(threads, scope.thread_id, dict(thread), index=False)])


def rememberable(state: MemoryState, *, now: datetime) -> list[Utterance]:
    """The utterances of a thread behind the last turn that had to leave no trace."""
    skipped = _index_of(state.get("skipped_through"), state["messages"])
    return [said for said in utterances(state["messages"], now=now) if said.position > skipped]


def place_of(state: MemoryState) -> Place:
    """Where a thread's state stands in the log; positions go on from there, also when messages were pruned since."""
    branch = state.get("branch")
    if branch is None:
        return Place(tip=None, offset=0)
    index = _index_of(branch["tip"], state["messages"])
    cursor = cursor_index(state)
    return Place(branch["tip"], branch["position"] - (index if index >= 0 else cursor), cursor, branch["digest"])


def branch_of(spoken: Sequence[Utterance], place: Place, *, is_on_record: bool = False) -> MemoryUpdate:
    """The branch that ends with the last of these utterances; nothing where nothing was said.

    Where what was recorded earlier was edited since, the old digest stays, for the record step to notice.

    Args:
        spoken: The thread's utterances in order.
        place: Where in the log the thread's state stands.
        is_on_record: Whether the log has all of them as they are now, edits included.
    """
    if not spoken:
        return {}
    last, known = spoken[-1], [said for said in spoken if said.position <= place.cursor]
    is_edited = bool(known) and _digest(known) != place.digest and not is_on_record
    digest = place.digest if is_edited else None
    return {"branch": Branch(tip=last.id, position=last.position + place.offset, digest=digest or _digest(spoken))}


def cursor_index(state: MemoryState) -> int:
    """Index of the last recorded message; -1 when none is, or when it is gone from the thread."""
    return _index_of(state.get("recorded_through"), state["messages"])


def _index_of(message_id: str | None, messages: Sequence[BaseMessage]) -> int:
    return next((i for i in range(len(messages) - 1, -1, -1) if message_id and messages[i].id == message_id), -1)


def _not_recorded(
    spoken: list[Utterance], state: MemoryState, scope: Scope, store: BaseStore, *, redact: Redactor
) -> Flow[tuple[list[Utterance], set[str]]]:
    """A thread's utterances, and the ids of those behind the cursor."""
    cursor, branch = cursor_index(state), state.get("branch")
    known = [said for said in spoken if said.position <= cursor]
    if cursor >= 0 and (branch is None or not known or _digest(known) == branch["digest"]):
        return spoken, {said.id for said in spoken if said.position > cursor}
    # The thread is older than its memory, or was pruned or edited. The log says what it has: nothing is queued twice.
    return (yield from _unknown(spoken, scope, store, redact=redact))


def _marks_of(message_ids: Sequence[str], scope: Scope, store: BaseStore) -> Flow[dict[str, StoredMark]]:
    """What was forgotten in some messages of the thread, by their ids."""
    keys = {mark_key(scope.thread_id, message_id): message_id for message_id in message_ids}
    items = yield from batch(store, [GetOp(scope.namespace("forgotten"), key) for key in keys])
    return {keys[item.key]: cast("StoredMark", item.value) for item in items if isinstance(item, Item)}


def _unknown(
    spoken: Sequence[Utterance], scope: Scope, store: BaseStore, *, redact: Redactor
) -> Flow[tuple[list[Utterance], set[str]]]:
    """Utterances without the words that were forgotten in them, and the ids of those the log does not have so."""
    found = yield from batch(store, [GetOp(scope.thread_messages(scope.thread_id), said.id) for said in spoken])
    known = {item.key: str(item.value["text"]) for item in found if isinstance(item, Item)}
    positions = {item.key: int(item.value["position"]) for item in found if isinstance(item, Item)}
    other = [said.id for said in spoken if said.id not in known or _is_edited(said, known[said.id], redact)]
    marks = yield from _marks_of(other, scope, store)
    reach = max((said.position for said in spoken if said.id in known), default=-1)
    left = [
        replace(
            said,
            text=blanked(redact(said.text), marks[said.id]) if said.id in marks else said.text,
            is_late=said.position < reach,
            logged_at=positions.get(said.id),
        )
        for said in spoken
    ]
    return left, {said.id for said in left if said.id not in known or _is_edited(said, known[said.id], redact)}


def _said_before(spoken: Sequence[Utterance], scope: Scope, store: BaseStore) -> Flow[list[Utterance]]:
    """The last message of a thread that these go on from, as it stands in the log; none where they begin or edit it."""
    if not spoken or not spoken[0].position or spoken[0].logged_at is not None:
        return []
    (thread,) = yield from batch(store, [GetOp(scope.namespace("threads"), scope.thread_id)])
    last_id = thread.value.get("last_id") if isinstance(thread, Item) else None
    if not last_id or last_id in {said.id for said in spoken}:
        return []
    (item,) = yield from batch(store, [GetOp(scope.thread_messages(scope.thread_id), last_id)])
    if not isinstance(item, Item) or not scope.owns(item.namespace):
        return []
    last = cast("StoredMessage", item.value)
    return [Utterance(last["id"], last["role"], last["text"], from_iso(last["at"]), last["position"], last["speaker"])]


def _is_edited(said: Utterance, known: str, redact: Redactor) -> bool:
    """Whether a message says something else than the log; a tool's result may be shortened to save room."""
    return said.role != "tool" and known != redact(said.text)


def _digest(spoken: Iterable[Utterance]) -> str:
    return fingerprint(*(part for said in spoken if said.role != "tool" for part in (said.id, said.text)))


def _episodes(spoken: Iterable[Utterance], thread_id: str) -> list[str]:
    keys: list[str] = []
    for said in spoken:
        keys.append(fingerprint(thread_id, said.id) if said.role == "user" or not keys else keys[-1])
    return keys


def _message(
    spoken: Sequence[Utterance], index: int, episode: str, scope: Scope, *, redact: Redactor, place: Place | None
) -> PutOp:
    said, before = spoken[index], spoken[index - 1] if index else None
    text = redact(said.text)
    value = StoredMessage(
        id=said.id,
        thread=scope.thread_id,
        episode=episode,
        role=said.role,
        speaker=said.speaker,
        text=text,
        context=redact(before.text if before else "")[-CONTEXT_CHARACTERS:],
        at=to_iso(said.at),
        position=said.position + (place.offset if place else 0) if said.logged_at is None else said.logged_at,
        after=(before.id if before else place.tip or FIRST) if place else None,
        is_fork=scope.is_fork,
        is_abandoned=False,
        is_late=said.is_late,
        is_indexed=False,
        day_words=day_words(said.at.date(), text),
    )
    if said.is_document:
        value["trust"] = "document"
    return PutOp(scope.thread_messages(scope.thread_id), said.id, dict(value), index=False)


def _marker(entry: Pending, scope: Scope) -> PutOp:
    return PutOp(scope.pending, f"{entry['episode']}-{entry['message_ids'][-1]}", dict(entry), index=False)


def is_from_memory(message: BaseMessage) -> bool:
    """Whether a message is what memory's own tool told the model: on record it would teach what is known already."""
    return isinstance(message, ToolMessage) and isinstance(message.artifact, Mapping) and MEMORY in message.artifact


def _is_retrieved(artifact: object) -> bool:
    return isinstance(artifact, list) and bool(artifact) and all(isinstance(each, Document) for each in artifact)


def _role(message: BaseMessage) -> Role | None:
    if isinstance(message, HumanMessage) and not is_from_person(message):
        return None
    if is_from_memory(message):
        return None
    return next((role for kind, role in ROLES.items() if isinstance(message, kind)), None)
