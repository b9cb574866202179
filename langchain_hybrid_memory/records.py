"""The records a store keeps, each kind a dictionary of JSON values, and how their keys and times are written.

A later version of this package may add fields, which are read with a default. A record in which it changes what one
means must carry `"format": 2` or more, and its exports a higher version: this version refuses such a record in every
store, and takes one without a number as its own. The files of a `ChromaStore` are numbered besides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

from langchain_hybrid_memory.errors import ConfigurationError

Role: TypeAlias = Literal["user", "assistant", "tool"]
Trust: TypeAlias = Literal["user", "assistant", "tool", "document"]

TRUST_ORDER: Mapping[Trust, int] = {"user": 3, "assistant": 2, "tool": 1, "document": 0}
EDIT = "edit-"
"""The episode of a correction by the user, and so its key, begins with this."""
SAVED = "save-"
"""The episode of a fact that the assistant was asked to keep, and so its key, begins with this."""
FIRST = "^"
"""What the first message of a thread follows."""


class StoredMessage(TypedDict):
    """One message of a thread, verbatim after redaction; namespace `messages / thread`, key the message id."""

    id: str
    thread: str
    episode: str
    role: Role
    speaker: str | None
    trust: NotRequired[Trust]
    """How far it may be believed, where its role does not say."""
    text: str
    context: str
    """The text of the message before it: helps keyword search to find it, is neither embedded nor returned."""
    at: str
    position: int
    """Index of the message in its thread, counted from 0."""
    after: str | None
    """Id of the message it followed, so that the log is a tree, or `FIRST`; `None` where that is not known."""
    is_fork: bool
    """Whether it was said in a run that went on from a checkpoint its caller had named."""
    is_abandoned: bool
    """Whether the thread went on without it: it was regenerated, or a message before it was edited."""
    is_indexed: bool
    is_late: NotRequired[bool]
    """Whether messages behind it were on record before these words: a summary may have passed them over."""
    day_words: NotRequired[str]
    """Its day as a question would name it: helps keyword search to find it."""


class StoredSource(TypedDict):
    """Where a claim was made once more."""

    thread: str
    message_ids: list[str]
    quote: str


class StoredFact(TypedDict):
    """One self-contained sentence; namespace `facts`, key `<episode>-<ordinal>`."""

    text: str
    category: str
    entities: list[str]
    subject: str
    attribute: str
    value: str
    importance: int
    trust: Trust
    valid_at: str
    invalid_at: str | None
    stated_end: str | None
    """Until when it holds by its own words, as "until June"; what supersedes it may end it before."""
    recorded_at: str
    superseded_by: str | None
    confirms: str | None
    """Key of the fact that already makes this claim: then this is one more source of that one, not a fact to list."""
    claim: str
    """What is claimed, as a fingerprint that equal claims share; empty where nothing can be compared."""
    said_at: str
    confirmed_at: str
    """When it was last said, its confirmations included."""
    is_pinned: bool
    thread: str
    episode: str
    message_ids: list[str]
    quote: str
    prompt: str
    """Version of the prompt that drew it; empty for a correction by the user."""
    extractor: str
    """Version of the code that checked and settled it."""
    more_sources: NotRequired[dict[str, StoredSource]]
    """What confirms it, by key, the latest of them: recall finds these only here, and their words end with the fact."""


Facts: TypeAlias = dict[str, StoredFact]
"""Stored facts by key."""


class StoredMark(TypedDict):
    """That something was forgotten, without its words; namespace `forgotten`, key thread and message id, folded.

    Keeps words that come in again, by an import or a thread replayed, and claims drawn again from what was said before,
    from being remembered a second time.
    """

    quotes: list[str]
    """The forgotten quotes of this message, each as `<words>:<fingerprint of the folded words>`."""
    claims: list[str]
    properties: list[str]
    """Fingerprints of subject and attribute, where the attribute has one value at a time."""
    forgotten_at: str


class StoredEntity(TypedDict):
    """A named person, place or thing; namespace `entities`, key the name folded by `entity_key`."""

    name: str
    type: str
    aliases: list[str]
    first_seen_at: str
    last_seen_at: str
    told: NotRequired[dict[str, list[str]]]
    """What it was called in each episode, a bounded number of them; those of earlier ones are joined under `""`."""


class StoredSummary(TypedDict):
    """The running digest of a thread; namespace `summaries`, key the thread id."""

    text: str
    through_id: str
    through_position: int
    messages: int
    """How many messages the digest covers; each is folded in once."""


class StoredThread(TypedDict):
    """That a thread exists; namespace `threads`, key the thread id."""

    last_at: str
    length: int
    """How many messages the thread had when it was last written to."""
    last_id: NotRequired[str]
    """Id of the last of them."""


class Pending(TypedDict):
    """Work on an episode that is still to be done; namespace `pending / user`.

    Its key is `<episode>-<last message id>`, or `<episode>-branch` where its thread went on without messages of it.
    Holds no text. Record only ever adds entries, so whoever works on one can never undo what was queued meanwhile.
    """

    user: str
    thread: str
    episode: str
    message_ids: list[str]
    """The episode's messages so far, in order."""
    recorded_at: str
    is_complete: bool
    """Whether the turn had ended; an open turn is indexed but not extracted."""
    learns: bool
    """Whether facts are to be drawn from it; otherwise work on it ends when it is indexed."""
    is_indexed: bool
    attempts: int
    """How many times learning from it failed."""
    retry_at: str | None
    """When a failed one is tried again, by itself."""
    error: str | None


def queue_entry(
    *,
    user: str,
    thread: str,
    episode: str,
    message_ids: list[str],
    recorded_at: str,
    is_complete: bool = True,
    learns: bool = True,
    is_indexed: bool = False,
) -> Pending:
    """An entry of the queue that nobody has worked on yet; see `Pending`."""
    return Pending(
        user=user,
        thread=thread,
        episode=episode,
        message_ids=message_ids,
        recorded_at=recorded_at,
        is_complete=is_complete,
        learns=learns,
        is_indexed=is_indexed,
        attempts=0,
        retry_at=None,
        error=None,
    )


def check_id(name: str, given: object) -> None:
    """Refuse what cannot be an id, such as the fact itself, of which it would seem that there is none.

    Raises:
        ConfigurationError: If it is not a string; the message quotes nothing of it.
    """
    if not isinstance(given, str):
        msg = f"{name} is of type {type(given).__name__}; pass a string, such as the `id` of what you were given"
        raise ConfigurationError(msg)


def entity_key(name: str) -> str:
    """Fold a name so that its spellings meet: case and white space do not count."""
    return " ".join(name.casefold().split())


def trust_of(message: StoredMessage) -> Trust:
    """How far a message may be believed: by who said it, never by what it says of itself."""
    return message.get("trust", message["role"])


def is_held(fact: StoredFact) -> bool:
    """Whether extraction may not take a fact away: the user pinned it, wrote it, or wrote what ended it."""
    ended_by = fact["superseded_by"] or ""
    return fact["is_pinned"] or fact["episode"].startswith(EDIT) or ended_by.startswith(EDIT)


def fingerprint(*parts: str) -> str:
    """Name a text, or several in order, by 20 hexadecimal digits; different texts get different names."""
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(framed.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def to_iso(moment: datetime) -> str:
    """Write an aware datetime as ISO 8601 in UTC."""
    return moment.astimezone(UTC).isoformat()


def from_iso(text: str) -> datetime:
    """Read an ISO 8601 time; one without a zone is taken as UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
