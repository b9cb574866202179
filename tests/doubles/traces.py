"""Looks for what was forgotten in the bytes of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray


def holds_vector(data: bytes, vector: NDArray[np.float32]) -> bool:
    """Whether the first numbers of a vector stand in a row in the data, as they are or scaled to length one."""
    for scaled in (vector, vector / np.linalg.norm(vector)):
        for start in range(4):
            numbers = np.frombuffer(data[start : start + (len(data) - start) // 4 * 4], dtype=np.float32)
            if len(numbers) < 6:
                continue
            near = np.ones(len(numbers) - 5, dtype=bool)
            with np.errstate(invalid="ignore"):
                for offset in range(6):
                    near &= np.abs(numbers[offset : len(numbers) - 5 + offset] - scaled[offset]) < 2e-6
            if near.any():
                return True
    return False


def files_with(path: Path, words: Iterable[str], vectors: Iterable[Iterable[float]] = ()) -> list[str]:
    """The files below a directory that hold one of the words or vectors, however deep."""
    encoded, arrays = [word.encode() for word in words], [np.asarray(vector, dtype=np.float32) for vector in vectors]
    found = []
    for file in path.rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        if any(word in data for word in encoded) or any(holds_vector(data, vector) for vector in arrays):
            found.append(file.name)
    return sorted(found)
