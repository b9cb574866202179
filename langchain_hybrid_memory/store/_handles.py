"""One open backend for each directory and process, shared by every store that names the directory."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.store._embedded import EmbeddedBackend

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class _Handle:
    backend: EmbeddedBackend
    users: int = 0


# A process may own a directory only once, so who has it is a fact about the process. A forked child is another process:
# it must not use its parent's connections, hence the pid. Reentrant, because the garbage collector may release a store
# while this thread opens another.
_LOCK: Final = threading.RLock()
_OPEN: Final[dict[tuple[int, Path], _Handle]] = {}


def acquire(path: Path) -> EmbeddedBackend:
    """The backend of a directory, opened if nobody in this process has it open."""
    with _LOCK:
        where = (os.getpid(), path)
        handle = _OPEN.get(where)
        if handle is None:
            handle = _OPEN[where] = _Handle(EmbeddedBackend(path))
        handle.users += 1
        return handle.backend


def release(path: Path) -> None:
    """Give a backend back; the last one to do so closes it."""
    with _LOCK:
        where = (os.getpid(), path)
        handle = _OPEN.get(where)
        if handle is None:
            return
        handle.users -= 1
        if handle.users == 0:
            del _OPEN[where]
            handle.backend.close()
