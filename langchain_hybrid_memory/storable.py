"""Writes any string so that every store can keep it, and reads it back as it was.

Postgres refuses NUL in text and JSON, and no UTF-8 encoder accepts a lone surrogate, yet either may stand in a user id,
a thread id or a pasted message; one such character would keep a whole turn from being recorded, again and again.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, TypeVar

from langgraph.store.base import GetOp, Item, Op, PutOp

from langchain_hybrid_memory.errors import StorageError

ItemT = TypeVar("ItemT", bound=Item)

FORMAT = 1
"""Of the records this version understands; it writes no number, so one without a number is of this format."""
MARK = "\ufdd0"
"""Begins what stands for one character; a noncharacter of Unicode, which no text is meant to hold."""
DIGITS = "\ufde0\ufde1\ufde2\ufde3\ufde4\ufde5\ufde6\ufde7\ufde8\ufde9\ufdea\ufdeb\ufdec\ufded\ufdee\ufdef"
"""The hexadecimal digits of its code point: noncharacters too, so that no search takes them for words."""
REFUSED = re.compile(f"[\x00\ud800-\udfff{MARK}]")
WRITTEN = re.compile(f"{MARK}([{DIGITS}]{{4}})")


def storable(value: Any) -> Any:
    """A JSON value in which every string, keys included, is one that any store keeps; the same object if it was."""
    return _mapped(value, _write)


def as_written(value: Any) -> Any:
    """Undo `storable`; what it did not write is left as it is."""
    return _mapped(value, _read)


def storable_op(op: Op) -> Op:
    """A store operation with its key and value made storable; namespaces are encoded already."""
    if isinstance(op, GetOp):
        return op._replace(key=_write(op.key))
    if isinstance(op, PutOp):
        return op._replace(key=_write(op.key), value=storable(op.value))
    return op


def read_item(item: ItemT) -> ItemT:
    """An item with key and value as they were before `storable_op`; what the store handed out is not touched.

    Raises:
        StorageError: If a later version wrote it, in a format that this one would misread.
    """
    if item.value.get("format", FORMAT) > FORMAT:
        msg = (
            f"a record in the store has format {item.value['format']}, newer than the {FORMAT} this "
            "version of langchain-hybrid-memory knows. Upgrade the package"
        )
        raise StorageError(msg)
    if MARK not in item.key and not _is_marked(item.value):
        return item
    read = copy.copy(item)
    read.key, read.value = _read(item.key), as_written(item.value)
    return read


def _is_marked(value: dict[str, Any] | list[Any]) -> bool:
    """Whether a string in a JSON object or array, keys included, may have been written another way."""
    if isinstance(value, dict) and MARK in "".join(value):
        return True
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, str):  # the most, and all that is read comes by here
            if not each.isascii() and MARK in each:
                return True
        elif isinstance(each, (dict, list)) and _is_marked(each):
            return True
    return False


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        pairs = {change(key): _mapped(each, change) for key, each in value.items()}
        is_same = all(new is old for new, old in zip(pairs.values(), value.values(), strict=False))
        return value if is_same and pairs.keys() == value.keys() else pairs
    if isinstance(value, list):
        changed = [_mapped(each, change) for each in value]
        return value if all(new is old for new, old in zip(changed, value, strict=True)) else changed
    return value


def _write(text: str) -> str:
    if text.isascii() and "\x00" not in text:
        return text
    return REFUSED.sub(lambda found: MARK + "".join(DIGITS[int(d, 16)] for d in f"{ord(found[0]):04x}"), text)


def _read(text: str) -> str:
    if text.isascii() or MARK not in text:
        return text
    return WRITTEN.sub(lambda found: chr(int("".join(f"{DIGITS.index(d):x}" for d in found[1]), 16)), text)
