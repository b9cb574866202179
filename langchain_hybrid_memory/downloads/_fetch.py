"""The cache of model files: what is in it, what is whole, and how a missing file gets there."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from langchain_hybrid_memory.downloads._progress import QUIET_SECONDS, say, show_arrival
from langchain_hybrid_memory.errors import ModelUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Source(Protocol):
    """Somewhere a file can be had; its `str` names it to a person."""

    def download(self, folder: Path) -> Path:
        """Put the file somewhere below `folder`, going on where a killed try stopped, and return where it lies.

        Raises:
            ModelUnavailableError: If this source does not give the file; the message is the short reason.
        """


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file, known by its bytes: every source must give exactly these.

    Attributes:
        name: The file's name, readable by a person.
        sha256: Digest of the whole file, in hexadecimal.
        size: Length in bytes.
        sources: Where to look, in this order.
    """

    name: str
    sha256: str
    size: int
    sources: tuple[Source, ...]

    def path(self, folder: Path) -> Path:
        """Where the file lies once it is whole; a person may put it there by hand."""
        return folder / f"{self.sha256[:12]}-{self.name}"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A verified file on this machine."""

    path: Path
    sha256: str


def default_folder() -> Path:
    """Where model files are kept for this user."""
    import platformdirs

    return platformdirs.user_cache_path("langchain-hybrid-memory")


def fetch(choices: Sequence[Artifact], *, otherwise: str, folder: Path | None = None) -> ModelFile:
    """Return the first of several equally good files that can be had, downloading only what is not in the cache.

    Safe for two processes at once. A progress bar on standard error shows downloads that take longer than a second.

    Args:
        choices: Files that serve the same purpose; one already in the cache is taken before any is downloaded.
        otherwise: What a person can do without the file; it ends the error's message.
        folder: The cache; the user's own cache folder unless given.

    Raises:
        ModelUnavailableError: If no source gives any of them; the message says what was tried.
    """
    place = folder or default_folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        if found := _cached(choices, place):
            return found
        with _only_process(place / f"{choices[0].name}.lock"):
            return _cached(choices, place) or _download_any(choices, place, otherwise)
    except OSError as error:
        msg = f"cannot keep {choices[0].name} in {str(place)!r}: {error}. Make the folder writable, or {otherwise}"
        raise ModelUnavailableError(msg) from error


def _cached(choices: Sequence[Artifact], folder: Path) -> ModelFile | None:
    for artifact in choices:
        path = artifact.path(folder)
        if path.is_file() and _is_whole(path, artifact):
            return ModelFile(path, artifact.sha256)
    return None


def _is_whole(path: Path, artifact: Artifact) -> bool:
    """Say whether the bytes are the right ones; a seal beside the file spares reading it all at every start."""
    if path.stat().st_size != artifact.size:
        return False
    seal = _seal_path(path)
    if seal.is_file() and seal.read_text(encoding="utf-8") == _seal(path, artifact):
        return True
    if _digest(path) != artifact.sha256:
        return False
    _write_seal(path, artifact)
    return True


def _seal_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified")


def _seal(path: Path, artifact: Artifact) -> str:
    facts = path.stat()
    return f"{artifact.sha256} {facts.st_size} {facts.st_mtime_ns}"


def _write_seal(path: Path, artifact: Artifact) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written is read in full at every start
        _seal_path(path).write_text(_seal(path, artifact), encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download_any(choices: Sequence[Artifact], folder: Path, otherwise: str) -> ModelFile:
    failures = []
    for artifact in choices:
        for source in artifact.sources:
            try:
                return _download(artifact, source, folder)
            except ModelUnavailableError as error:
                failures.append(f"{source}: {error}")
                with contextlib.suppress(OSError):  # what did arrive is kept for the next try
                    _partial(artifact, folder).rmdir()
    first = choices[0]
    msg = (
        f"cannot fetch {first.name}. Tried {'; '.join(failures) or 'nothing'}. "
        f"Put the file at {str(first.path(folder))!r} (sha256 {first.sha256}), or {otherwise}"
    )
    raise ModelUnavailableError(msg)


def _download(artifact: Artifact, source: Source, folder: Path) -> ModelFile:
    partial = _partial(artifact, folder)
    partial.mkdir(exist_ok=True)
    with show_arrival(artifact.name, artifact.size, partial):
        arrived = source.download(partial)
        if arrived.stat().st_size != artifact.size or _digest(arrived) != artifact.sha256:
            shutil.rmtree(partial)
            msg = "what arrived does not have the pinned checksum"
            raise ModelUnavailableError(msg)
    path = artifact.path(folder)
    arrived.replace(path)
    _write_seal(path, artifact)
    shutil.rmtree(partial)
    return ModelFile(path, artifact.sha256)


def _partial(artifact: Artifact, folder: Path) -> Path:
    """Where a download is put together; it stays when the process is killed, so that the next one goes on from it."""
    path = artifact.path(folder)
    return path.with_name(f"{path.name}.partial")


@contextlib.contextmanager
def _only_process(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=QUIET_SECONDS)
    except Timeout:
        say(f"another process is fetching {path.stem}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
