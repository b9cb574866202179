"""Faults of a model, an embedding and a store, by a seed: the same run fails in the same places every time."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from langchain_hybrid_memory import StorageError
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import learning_model, talking_model
from tests.doubles.scripted import Fault, ScriptedChatModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph.store.base import Op

    from tests.doubles.scripted import Failure, Kind

RATE = 0.3
"""Of model calls, embeddings and store writes, so many fail."""
READ_RATE = 0.03
"""Of store reads; one memorize run makes a dozen of them."""
CALLS = 100_000


class RateLimitError(Exception):
    """What a provider's client raises."""

    status_code = 429


class ServerError(Exception):
    """What a provider's client raises."""

    status_code = 503


def failures(kind: Kind, rng: Random, *kinds: Failure) -> dict[tuple[Kind, int], Failure]:
    """Choose which calls fail, and how."""
    return {(kind, number): rng.choice(kinds) for number in range(CALLS) if rng.random() < RATE}


def faulty_brain(seed: int) -> ScriptedChatModel:
    """Make a brain that fails in every way a provider does."""
    rng = Random(seed)  # noqa: S311 - to be repeated, not to be secret
    raised = (TimeoutError(), RateLimitError(), ServerError(), ConnectionError())
    return learning_model(
        seed=seed,
        failures={**failures("structured", rng, *raised, *Fault), **failures("chat", rng, *raised, Fault.EMPTY)},
    )


def faulty_chat(seed: int) -> ScriptedChatModel:
    """Make an agent's model that raises."""
    return talking_model(failures=failures("chat", Random(seed), TimeoutError(), ConnectionError()))  # noqa: S311


class FaultyEmbedding(WordEmbedding):
    """An embedding that is away at times."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.is_broken = True
        self._rng = Random(seed)  # noqa: S311

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        if self.is_broken and self._rng.random() < RATE:
            raise ConnectionError
        return super().embed_documents(texts)


class FaultyStore:
    """Makes batches of a watched store fail, before they are run or, worse, after."""

    def __init__(self, seed: int) -> None:
        self.is_broken = True
        self.count = 0
        self._rng = Random(seed)  # noqa: S311
        self._when = ""

    def __call__(self, when: str, ops: Sequence[Op]) -> None:
        """Fail now or when the batch is done, or not at all."""
        if when == "before":
            rate = RATE if any(hasattr(op, "value") for op in ops) else READ_RATE
            is_hit = self.is_broken and self._rng.random() < rate
            self._when = self._rng.choice(("before", "after")) if is_hit else ""
        if when == self._when:
            self.count += 1
            raise self._rng.choice((ConnectionError("gone"), OSError("disk full"), StorageError("locked")))
