"""The word embedding is deterministic and near for shared words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from tests.doubles.embedding import WordEmbedding

if TYPE_CHECKING:
    from tests.doubles.doors import Door


def cosine(left: list[float], right: list[float]) -> float:
    """Multiply; the vectors have length one."""
    return math.sumprod(left, right) if hasattr(math, "sumprod") else sum(map(float.__mul__, left, right))


async def test_shared_words_are_near(call: Door, embedding: WordEmbedding) -> None:
    asked = await call(embedding, "embed_query", "Where does Sarah work?")
    texts = ["Sarah does work at Google", "A trip to Japan in March", ""]
    near, far, empty = await call(embedding, "embed_documents", texts)
    assert cosine(asked, near) > 0.5 > abs(cosine(asked, far))
    assert cosine(empty, empty) == pytest.approx(1.0)
    assert embedding.calls == [("Where does Sarah work?",), tuple(texts)]


async def test_error_is_raised_while_set(call: Door, embedding: WordEmbedding) -> None:
    embedding.error = ConnectionError("down")
    with pytest.raises(ConnectionError, match="down"):
        await call(embedding, "embed_query", "hello")
    embedding.error = None
    assert await call(embedding, "embed_query", "hello") == WordEmbedding().embed_query("hello")
