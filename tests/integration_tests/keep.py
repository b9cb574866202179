"""Makes the data that later versions must open: `python -m tests.integration_tests.keep 0.1.0`, at each release.

Writes `kept/<version>.tar.gz`: the directory of a `ChromaStore` and the SQLite checkpoints of two conversations, in
which something was learned, superseded, pinned and summarized. What is kept already stays as it is: it stands for the
files that people have.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import sys
import tarfile
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from langchain_hybrid_memory import SummaryConfig
from tests.doubles.life import INTRODUCTION, learning_model, open_life

KEPT = Path(__file__).parent / "kept"
FIRST_DAY = datetime(2026, 5, 4, 9, tzinfo=UTC)
MOVE = "I moved to Porto."
SUMMARY = SummaryConfig(after_messages=6, keep_messages=2)


async def live(path: Path) -> None:
    """Have the conversations, at fixed times."""
    minutes = count()
    options: dict[str, Any] = {"now": lambda: FIRST_DAY + timedelta(minutes=next(minutes)), "summary": SUMMARY}
    async with open_life("sync", path, brain=learning_model(), **options) as life:
        for text in INTRODUCTION:
            await life.say(text)
        await life.flush()
        pinned = next(fact for fact in await life.facts() if fact.attribute == "name")
        await life.call(life.memory.for_user("alex"), "pin", pinned.id)
        await life.say(MOVE, thread="second")
        await life.flush()


def pack(path: Path) -> bytes:
    """Put a directory into an archive that says nothing of this machine or this moment."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as squeezed, tarfile.open(fileobj=squeezed, mode="w") as tar:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                info = tarfile.TarInfo(str(file.relative_to(path)))
                info.size = file.stat().st_size
                with file.open("rb") as content:
                    tar.addfile(info, content)
    return packed.getvalue()


def main(version: str) -> None:
    """Keep this version's data, unless it is kept already."""
    target = KEPT / f"{version}.tar.gz"
    if target.exists():
        message = f"{target.name} is kept already; files that people have do not change"
        raise SystemExit(message)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))
        target.write_bytes(pack(Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1])
