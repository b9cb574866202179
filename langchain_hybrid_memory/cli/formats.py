"""Reads conversation histories in three formats, told apart by what is in the file, one turn at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from langchain_hybrid_memory.errors import ImportFormatError
from langchain_hybrid_memory.records import Role, fingerprint, from_iso

Record: TypeAlias = Mapping[str, Any]

ROLES: Mapping[str, Role | None] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "system": None,
}
"""What a role is called in files; what the system said is not imported."""
LOCOMO_TIME = "%I:%M %p on %d %B, %Y"
LOCOMO_PACE = timedelta(minutes=1)
"""LoCoMo dates sessions only; their turns are taken to be this far apart."""
LINE = (
    'a line such as {"thread": "t1", "role": "user", "text": "Hello"}, with "role" (user, assistant, tool, system) or '
    '"speaker" (a name), and optionally "time" (ISO 8601) and "id"'
)
TURN = '"id", "text", "role" or "speaker", and optionally "time" (ISO 8601) and "session"'
LOCOMO_TURN = '"speaker" and "text" or "blip_caption"'
FILE = "JSON lines of messages, LoCoMo's JSON, or a JSON object with conversations of turns"


class Turn(NamedTuple):
    """One message of a history."""

    thread: str
    id: str
    role: Role
    speaker: str | None
    text: str
    at: datetime | None


class _Place(NamedTuple):
    """Where in a file something stands."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class History:
    """What a file holds; `turns` can be read once, and raises `ImportFormatError` where the file cannot be read."""

    format: str
    total: int
    """How many turns there are at most."""
    turns: Iterator[Turn]


def read_history(path: Path, *, conversation: str | None = None) -> History:
    """Look what a file is, and get ready to read it; JSON lines are read one by one, never the whole file.

    A message without an id is named after its content, so that the same file gives the same ids again.

    Args:
        path: The file.
        conversation: Take only the conversation (in JSON lines: the thread) of this name.

    Raises:
        ImportFormatError: If it is none of the formats, or has no such conversation.
    """
    try:
        if _is_lines(path):
            lines = (turn for turn in _lines(path) if conversation is None or turn[1].thread == conversation)
            return History("JSON lines", _count_lines(path), _named(lines))
        document = _document(path)
    except OSError as error:
        msg = f"cannot read {str(path)!r}: {error}"
        raise ImportFormatError(msg) from error
    samples = document if isinstance(document, list) else [document]
    if samples and all(isinstance(each, dict) and isinstance(each.get("conversation"), dict) for each in samples):
        named = {str(sample.get("sample_id", number)): sample["conversation"] for number, sample in enumerate(samples)}
        found = _pick(path, named, conversation)
        total = sum(len(turns) for sample in found.values() for turns in sample.values() if isinstance(turns, list))
        return History("LoCoMo", total, _named(_locomo(path, found)))
    if isinstance(document, dict) and isinstance(document.get("conversations"), list):
        return _common_history(path, document["conversations"], conversation)
    raise _problem(_Place(path, "line 1"), "none of the formats", FILE)


def _problem(place: _Place, what: str, expected: str) -> ImportFormatError:
    return ImportFormatError(f"{place.path}, {place.name}: {what}; expected {expected}")


def _is_lines(path: Path) -> bool:
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"")
    try:
        record = _parse(first)
    except ValueError:
        return False
    return isinstance(record, dict) and not record.keys() & {"conversation", "conversations"}


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _document(path: Path) -> Any:
    raw = path.read_bytes()
    if not raw.strip():
        raise _problem(_Place(path, "line 1"), "the file is empty", FILE)
    try:
        return _parse(raw)
    except json.JSONDecodeError as error:
        raise _problem(_Place(path, f"line {error.lineno}"), f"not JSON ({error.msg})", FILE) from error
    except ValueError as error:
        raise _problem(_Place(path, "line 1"), f"not text in UTF-8 ({error})", FILE) from error


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error


def _lines(path: Path) -> Iterator[tuple[_Place, Turn]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = _Place(path, f"line {number}")
            try:
                record = _parse(line)
            except ValueError as error:
                raise _problem(place, f"not JSON ({error})", LINE) from error
            if not isinstance(record, dict) or record.get("thread") in (None, ""):
                raise _problem(place, 'no "thread"', LINE)
            yield from _turn(place, record, str(record["thread"]), LINE)


def _common_history(path: Path, conversations: list[Any], wanted: str | None) -> History:
    named = {}
    for number, held in enumerate(conversations):
        if not isinstance(held, dict) or not isinstance(held.get("turns"), list):
            raise _problem(_Place(path, f"conversation {number + 1}"), "no turns", '"id" and "turns"')
        named[str(held.get("id", number))] = held["turns"]
    found = _pick(path, named, wanted)
    return History("conversations", sum(map(len, found.values())), _named(_common(path, found)))


def _common(path: Path, conversations: Mapping[str, list[Any]]) -> Iterator[tuple[_Place, Turn]]:
    for name, turns in conversations.items():
        for number, turn in enumerate(turns, 1):
            place = _Place(path, f"conversation {name}, turn {number}")
            if not isinstance(turn, dict):
                raise _problem(place, "not a turn", TURN)
            thread = name if turn.get("session") is None else f"{name}/{turn['session']}"
            yield from _turn(place, turn, thread, TURN)


def _locomo(path: Path, conversations: Mapping[str, Record]) -> Iterator[tuple[_Place, Turn]]:
    for name, held in conversations.items():
        sessions = [key for key, value in held.items() if isinstance(value, list)]
        for session in sorted(sessions, key=lambda key: (len(key), key)):
            thread = f"{name}/{session}"
            at = _locomo_time(_Place(path, thread), held.get(f"{session}_date_time"))
            for number, turn in enumerate(held[session], 1):
                place = _Place(path, f"{thread}, turn {number}")
                yield from _turn(place, _locomo_record(place, turn, at.isoformat()), thread, LOCOMO_TURN)
                at += LOCOMO_PACE


def _locomo_time(place: _Place, text: object) -> datetime:
    try:
        return datetime.strptime(str(text), LOCOMO_TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise _problem(place, f"the session's time is {text!r}", '"1:56 pm on 8 May, 2023"') from error


def _locomo_record(place: _Place, turn: object, at: str) -> Record:
    """A turn in the words of the other formats; a picture's caption is put behind the text as `[image: ...]`."""
    if not isinstance(turn, dict):
        raise _problem(place, "not a turn", LOCOMO_TURN)
    caption = f"[image: {turn['blip_caption']}]" if turn.get("blip_caption") else ""
    text = f"{turn.get('text') or ''} {caption}".strip()
    return {"id": turn.get("dia_id"), "speaker": turn.get("speaker"), "text": text, "time": at}


def _turn(place: _Place, record: Record, thread: str, expected: str) -> Iterator[tuple[_Place, Turn]]:
    """The turn in a record, or none where there is nothing to remember."""
    text, speaker, name = record.get("text"), record.get("speaker"), record.get("id")
    if not isinstance(text, str):
        raise _problem(place, 'no "text"', expected)
    role, at = _role(place, record, expected), _time(place, record.get("time"), expected)
    who = str(speaker) if speaker and str(speaker).casefold() not in ROLES else None
    if role is not None and text.strip():
        yield place, Turn(thread, "" if name is None else str(name), role, who, text, at)


def _role(place: _Place, record: Record, expected: str) -> Role | None:
    named, speaker = record.get("role"), record.get("speaker")
    if not named and not speaker:
        raise _problem(place, 'neither "role" nor "speaker"', expected)
    if named and str(named).casefold() not in ROLES:
        raise _problem(place, f"the role is {named!r}", expected)
    return ROLES[str(named).casefold()] if named else ROLES.get(str(speaker).casefold(), "user")


def _time(place: _Place, text: object, expected: str) -> datetime | None:
    if text is None:
        return None
    try:
        return from_iso(str(text)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _problem(place, f"the time is {text!r}", expected) from error


def _pick(path: Path, named: Mapping[str, Any], wanted: str | None) -> Mapping[str, Any]:
    if wanted is None:
        return named
    if wanted not in named:
        raise _problem(_Place(path, "line 1"), f"no conversation {wanted!r}", f"one of {', '.join(named)}")
    return {wanted: named[wanted]}


def _named(turns: Iterator[tuple[_Place, Turn]]) -> Iterator[Turn]:
    """Give ids to turns without one; the second of two equal turns is a turn of its own.

    A turn whose given id and content both occurred before is passed over.
    """
    contents: dict[str, str] = {}
    unnamed: Counter[str] = Counter()
    for place, turn in turns:
        content = fingerprint(turn.thread, turn.role, turn.speaker or "", turn.text, str(turn.at))
        key = fingerprint(turn.thread, turn.id)
        if not turn.id:
            unnamed[content] += 1
            yield turn._replace(id=content if unnamed[content] == 1 else f"{content}-{unnamed[content]}")
        elif key not in contents:
            contents[key] = content
            yield turn
        elif contents[key] != content:
            raise _problem(place, f"the id {turn.id!r} stands for another message above", "ids unique in their thread")
