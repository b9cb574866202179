"""Blanks the unused ends of Chroma's index files, which hold whatever was in the process's memory before."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER: Final = struct.Struct("<iQQQQ")
VERSION: Final = 1
NORM_BYTES: Final = 4
BLOCK: Final = 1 << 20


class Part(NamedTuple):
    """A file and how much of it is in use, in bytes."""

    path: Path
    used: int


def blank_remains(directory: Path) -> None:
    """Overwrite with zeros what the index files hold beyond their last element; nobody may have them open.

    Chroma allocates an index for more elements than it has, and writes out the rest as it is: often pieces of texts and
    vectors that were handled, and deleted, long before. The layout is that of the header of hnswlib as Chroma 1.5
    builds it: version, offset of the first element, elements there is room for, elements there are, bytes of each. A
    file of another layout is left alone.
    """
    for header in directory.glob("*/header.bin"):
        for part in _parts(header):
            _blank(part)


def _parts(header: Path) -> Iterator[Part]:
    start = header.read_bytes()[: HEADER.size]
    if len(start) < HEADER.size:
        return
    version, offset, room, count, size = HEADER.unpack(start)
    elements, norms = header.with_name("data_level0.bin"), header.with_name("length.bin")
    if version == VERSION and offset == 0 and count * size <= elements.stat().st_size <= room * size:
        yield Part(elements, count * size)
        yield Part(norms, count * NORM_BYTES)


def _blank(part: Part) -> None:
    rest = part.path.stat().st_size - part.used
    if rest <= 0:
        return
    with part.path.open("r+b") as file:
        file.seek(part.used)
        for start in range(0, rest, BLOCK):
            file.write(bytes(min(BLOCK, rest - start)))
