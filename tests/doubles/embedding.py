"""An embedding in which texts that share words are near, made from nothing but a hash of each word."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from langchain_hybrid_memory.store._embedder import PROBE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WORD = re.compile(r"\w+")
LONGEST = 8  # a word weighs its length up to this, so `Lisbon` counts more than `the`


def words(text: str) -> list[str]:
    """Split into casefolded words."""
    return WORD.findall(text.casefold())


def word_vector(terms: Iterable[str], *, dimensions: int = 256) -> list[float]:
    """Add one signed, weighted basis vector a word; the result has length one, also for no words at all."""
    vector = [0.0] * dimensions
    for term in terms:
        digest = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest())
        vector[digest % dimensions] += min(len(term), LONGEST) * (1 if digest >> 63 else -1)
    length = math.hypot(*vector)
    return [value / length for value in vector] if length else [1.0] + [0.0] * (dimensions - 1)


class WordEmbedding(Embeddings):
    """Embed by words, remember each call but the probe, fail while `error` is set."""

    def __init__(self, *, dimensions: int = 256) -> None:
        self.dimensions = dimensions
        self.calls: list[tuple[str, ...]] = []
        self.error: Exception | None = None

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        if list(texts) != [PROBE]:
            self.calls.append(tuple(texts))
        if self.error:
            raise self.error
        return [word_vector(words(text), dimensions=self.dimensions) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)


class ExactEmbedding(Embeddings):
    """Embed so that every cosine is a multiple of 1/4, exactly: four of sixteen numbers are 1/2 or -1/2, the rest 0."""

    dimensions = 16

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return [exact_vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return exact_vector(text)


def exact_vector(text: str) -> list[float]:
    """Set a place for each of the first four words, and places no word has where there are fewer."""
    vector = [0.0] * ExactEmbedding.dimensions
    for term in words(text):
        digest = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest())
        if sum(map(bool, vector)) < 4:
            vector[digest % 12] = 0.5 if digest >> 63 else -0.5
    for place in range(12, 16 - sum(map(bool, vector))):
        vector[place] = 0.5
    return vector
