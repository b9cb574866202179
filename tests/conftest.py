"""What every test may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import settings

from tests.doubles.doors import Door, Mode
from tests.doubles.embedding import WordEmbedding
from tests.doubles.openai_stub import OpenAIStub

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("long", max_examples=5_000)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Run the test once in each spelling."""
    return cast("Mode", request.param)


@pytest.fixture
def call(mode: Mode) -> Door:
    """`await call(graph, "invoke", value)`: the method named, in this run's spelling."""
    return Door(mode)


@pytest.fixture
def embedding() -> WordEmbedding:
    """An embedding in which texts that share words are near."""
    return WordEmbedding()


@pytest.fixture
def openai_stub() -> Iterator[OpenAIStub]:
    """An OpenAI-compatible server on loopback, gone when the test ends."""
    with OpenAIStub() as stub:
        yield stub
