"""What every test may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import settings

from tests.doubles.chroma_server import ChromaServer
from tests.doubles.doors import Door, Mode
from tests.doubles.embedding import WordEmbedding
from tests.doubles.openai_stub import OpenAIStub
from tests.doubles.postgres import create_database, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chromadb.api import ClientAPI

settings.register_profile("long", max_examples=5_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the long runs be as long as they are meant to be."""
    parser.addoption("--full", action="store_true", help="run the fault, kill and concurrency runs in full")


@pytest.fixture(scope="session")
def is_full(request: pytest.FixtureRequest) -> bool:
    """Whether long runs are wanted in full, as `make fault-run` and `make kill-matrix` want them."""
    return bool(request.config.getoption("--full"))


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


@pytest.fixture(scope="session")
def postgres_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a Postgres server listens; its own databases are made by `create_database`."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as uri:
        yield uri


@pytest.fixture
def postgres(postgres_uri: str) -> str:
    """Where an empty Postgres database is."""
    return create_database(postgres_uri)


@pytest.fixture
def openai_stub() -> Iterator[OpenAIStub]:
    """An OpenAI-compatible server on loopback, gone when the test ends."""
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    """A Chroma server that all tests share; each uses a collection of its own, and none stops it."""
    with ChromaServer(tmp_path_factory.mktemp("chroma")) as server:
        yield server


@pytest.fixture(scope="session")
def chroma_client(chroma_server: ChromaServer) -> ClientAPI:
    """A client of the shared server."""
    return chroma_server.client()
