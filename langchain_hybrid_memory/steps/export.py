"""Writes everything that is remembered about a user as JSON lines, and reads it back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from langgraph.store.base import BaseStore, PutOp, SearchItem, SearchOp
from pydantic import TypeAdapter, ValidationError

from langchain_hybrid_memory._flow import Flow, batch, blocking
from langchain_hybrid_memory.errors import ImportFormatError
from langchain_hybrid_memory.records import (
    Pending,
    StoredEntity,
    StoredFact,
    StoredMark,
    StoredMessage,
    StoredSummary,
    StoredThread,
)
from langchain_hybrid_memory.scope import KINDS, Scope
from langchain_hybrid_memory.steps.entities import named_in
from langchain_hybrid_memory.steps.marks import Marks, blanked, is_forgotten, load_marks, mark_key
from langchain_hybrid_memory.steps.stage import discarding
from langchain_hybrid_memory.steps.writes import fact_op, message_op, write

Progress: TypeAlias = Callable[[int], None]
"""Called now and then, and at the end, with how many items are done."""

FORMAT = "hybrid-memory export"
VERSION = 1
PENDING = "pending"
PAGE = 500
SHAPES: Mapping[str, TypeAdapter[Any]] = {
    "forgotten": TypeAdapter(StoredMark),
    "threads": TypeAdapter(StoredThread),
    "messages": TypeAdapter(StoredMessage),
    "facts": TypeAdapter(StoredFact),
    "entities": TypeAdapter(StoredEntity),
    "summaries": TypeAdapter(StoredSummary),
    "usage": TypeAdapter(dict[str, int]),
    PENDING: TypeAdapter(Pending),
}
"""What an export holds, in this order: what was forgotten is known before anything that must not come back."""

OLDER = {"after": None, "is_fork": False, "is_abandoned": False}
"""What messages lack that were recorded before there were branches."""


def export(scope: Scope, store: BaseStore, path: Path, *, on_progress: Progress | None) -> Flow[int]:
    """Write a user's memory to a file that only its owner may read, a page of items at a time; how many items.

    The file appears under its name when it is complete; where something goes wrong before, nothing of it stays.
    """
    part = path.with_name(f"{path.name}.part")
    file = yield from blocking(_create, part)
    done = 0
    try:
        with file:
            yield from blocking(_write, file, [{"format": FORMAT, "version": VERSION}])
            for kind in SHAPES:
                for page in count():
                    items = yield from _page(scope, store, kind, page)
                    lines = [{"kind": kind, "key": item.key, "value": item.value} for item in items]
                    yield from blocking(_write, file, lines)
                    done += len(items)
                    _tell(on_progress, done)
                    if len(items) < PAGE:
                        break
        yield from blocking(part.replace, path)
    finally:
        part.unlink(missing_ok=True)
    return done


def restore(scope: Scope, store: BaseStore, path: Path, *, on_progress: Progress | None) -> Flow[int]:
    """Read an export back, a page of items at a time; how many items. Doing it again changes nothing.

    What the user has had forgotten here stays forgotten.

    Raises:
        ImportFormatError: If it is not an export, or a line of it cannot be read; what stands before it is restored.
    """
    lines = _lines(path)
    done, own = 0, (yield from load_marks(scope, store))
    yield from batch(store, (yield from discarding(scope, store)))  # a rebuild under way knows nothing of all this
    brought: dict[str, StoredMark] = {}
    named = set[str]()
    while page := (yield from blocking(lambda: list(islice(lines, PAGE)))):
        brought |= {key: value for kind, key, value in page if kind == "forgotten"}
        marks = own | {key: _joined(own.get(key), mark) for key, mark in brought.items()}
        is_older = any(brought.get(key) != mark for key, mark in own.items())
        kept = [line for line in page if not (is_older and line[0] == "summaries")]  # it may repeat what was forgotten
        if is_older:
            named |= named_in(value for kind, _, value in kept if kind == "facts" and not _is_gone(value, marks))
            kept = [_careful(line) for line in kept if line[0] != "entities" or line[1] in named]
        ops = [op for kind, key, value in kept for op in _ops(scope, kind, key, value, marks)]
        yield from write(store, ops)
        done += len(page)
        _tell(on_progress, done)
    return done


def is_export(path: Path) -> bool:
    """Whether a file begins as an export does."""
    with path.open("rb") as file:
        return FORMAT.encode() in file.readline(200)


def _create(path: Path) -> IO[str]:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def _write(file: IO[str], lines: list[dict[str, Any]]) -> None:
    file.writelines(f"{json.dumps(line)}\n" for line in lines)  # escaped, so that any string can be written


def _page(scope: Scope, store: BaseStore, kind: str, page: int) -> Flow[list[SearchItem]]:
    namespace = _namespace(scope, kind)
    (found,) = yield from batch(store, [SearchOp(namespace, limit=PAGE, offset=page * PAGE)])
    return [item for item in cast("list[SearchItem]", found) if tuple(item.namespace[: len(namespace)]) == namespace]


def _namespace(scope: Scope, kind: str) -> tuple[str, ...]:
    return scope.pending if kind == PENDING else scope.namespace(next(each for each in KINDS if each == kind))


def _lines(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Kind, key and checked value of each line."""
    with path.open("rb") as file:
        if not file.peek(1):
            _check_header(None, path)
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
                if number == 1:
                    _check_header(record, path)
                    continue
                kind, key = str(record["kind"]), str(record["key"])
                value = {**OLDER, **record["value"]} if kind == "messages" else record["value"]
                yield kind, key, SHAPES[kind].validate_python(value, strict=True)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                if isinstance(error, ImportFormatError):
                    raise
                what = "a value of another shape" if isinstance(error, ValidationError) else type(error).__name__
                msg = f"{path}, line {number}: not a line of an export ({what}); export again, or mend the line"
                raise ImportFormatError(msg) from None  # the cause would quote what was remembered


def _check_header(record: Any, path: Path) -> None:
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        msg = f"{path}, line 1: not an export; expected {FORMAT!r}"
        raise ImportFormatError(msg)
    if record.get("version") != VERSION:
        msg = f"{path} was written by another version ({record.get('version')!r}); this one reads {VERSION}: upgrade"
        raise ImportFormatError(msg)


def _ops(scope: Scope, kind: str, key: str, value: Any, marks: Marks) -> list[PutOp]:
    """The write that restores an item; none for what was forgotten."""
    if kind == "messages":
        return [message_op(scope, _message(value, marks))]
    if kind == "facts":
        return [] if _is_gone(value, marks) else [fact_op(scope, key, value)]
    if kind == "forgotten":
        return [PutOp(scope.namespace("forgotten"), key, dict(marks[key]), index=False)]
    if kind == PENDING:
        value = {**value, "user": scope.user_id}
    return [PutOp(_namespace(scope, kind), key, dict(value), index=False)]


def _message(message: StoredMessage, marks: Marks) -> StoredMessage:
    """A message without what was forgotten in it, or in the one before it."""
    text = blanked(message["text"], marks.get(mark_key(message["thread"], message["id"])))
    before = marks.get(mark_key(message["thread"], message["after"] or ""))
    context = blanked(message["context"], before)
    return {**message, "text": text, "context": context}


def _careful(line: tuple[str, str, Any]) -> tuple[str, str, Any]:
    """A line without the words of a message nobody can name, since they may have been forgotten."""
    kind, key, value = line
    return (kind, key, {**value, "context": ""}) if kind == "messages" and not value["after"] else line


def _is_gone(fact: StoredFact, marks: Marks) -> bool:
    """Whether it was forgotten, or the words it rests on."""
    keys = [mark_key(fact["thread"], message_id) for message_id in fact["message_ids"]]
    return any(
        blanked(fact["quote"], marks.get(key)) != fact["quote"]
        or is_forgotten(
            fact["claim"], fact["subject"], fact["attribute"], said_at=fact["said_at"], key=key, marks=marks
        )
        for key in keys
    )


def _joined(old: StoredMark | None, new: StoredMark) -> StoredMark:
    if old is None:
        return new
    return StoredMark(
        quotes=list(dict.fromkeys([*old["quotes"], *new["quotes"]])),
        claims=list(dict.fromkeys([*old["claims"], *new["claims"]])),
        properties=list(dict.fromkeys([*old["properties"], *new["properties"]])),
        forgotten_at=max(old["forgotten_at"], new["forgotten_at"]),
    )


def _tell(on_progress: Progress | None, done: int) -> None:
    if on_progress is not None:
        on_progress(done)
