"""A process that talks: `python -m tests.integration_tests.talk MODE DIRECTORY THREAD SEED`, one message a line.

After each turn it prints what its model was shown, as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tests.doubles.life import learning_model, open_life

if TYPE_CHECKING:
    from tests.doubles.doors import Mode


async def main(mode: Mode, path: Path, thread: str, seed: int) -> None:
    async with open_life(mode, path, brain=learning_model(seed=seed)) as life:
        for line in sys.stdin:
            await life.say(line.strip(), thread=thread)
            sys.stdout.write(json.dumps(life.prompt) + "\n")
        await life.flush()


if __name__ == "__main__":
    asyncio.run(main(cast("Mode", sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
