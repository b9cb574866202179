"""A process that is done while its memory still learns: `python -m tests.integration_tests.leave MODE DIRECTORY`."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import AT_ONCE, configured, learning_model, talking_model

if TYPE_CHECKING:
    from tests.doubles.scripted import ScriptedChatModel

SLOW_SECONDS = 60.0


ASKED = {"messages": [("user", "I live in Lisbon.")]}


def agent_in(path: Path, brain: ScriptedChatModel) -> Any:
    """Make an agent with a memory in a directory."""
    memory = HybridMemory(brain, store=open_store(path, embedding=WordEmbedding()), memorize=AT_ONCE)
    return memory.graph(talking_model())


async def talk(agent: Any, brain: ScriptedChatModel) -> None:
    await agent.ainvoke(ASKED, configured("alex", None))
    while not brain.calls:  # noqa: ASYNC110 - the model knows no event
        await asyncio.sleep(0.01)


def main(mode: str, path: Path) -> None:
    brain = learning_model(token_delay_seconds=SLOW_SECONDS)
    agent = agent_in(path, brain)
    if mode == "async":
        asyncio.run(talk(agent, brain))
    else:
        agent.invoke(ASKED, configured("alex", None))
        while not brain.calls:
            time.sleep(0.01)
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
