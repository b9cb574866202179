"""The names that users may rely on."""

from __future__ import annotations

import importlib
import inspect

import pytest

import langchain_hybrid_memory as package
from langchain_hybrid_memory import errors

PUBLIC = [
    "AmbiguousNameError",
    "BufferConfig",
    "ChromaStore",
    "ConcurrentTurnError",
    "ConfigurationError",
    "EmbeddingMismatchError",
    "Entity",
    "ExtractConfig",
    "ExtractionError",
    "Fact",
    "FilterError",
    "Hit",
    "HybridItem",
    "HybridMemory",
    "HybridMemoryError",
    "HybridMemoryMiddleware",
    "ImportFormatError",
    "MemorizeConfig",
    "MemoryRetriever",
    "Message",
    "MissingUserError",
    "ModelUnavailableError",
    "Moment",
    "Provenance",
    "Rebuilt",
    "RankingWeights",
    "RecallConfig",
    "Receipt",
    "RecordConfig",
    "Status",
    "StorageError",
    "StoreInUseError",
    "SummaryConfig",
    "UnknownFactError",
    "UserMemory",
    "create_embedding",
    "without_secrets",
]


def test_public_names_are_these() -> None:
    assert package.__all__ == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_exists_and_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(package, name))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_member_is_documented(name: str) -> None:
    given = vars(package)[name]
    bases = inspect.getmro(given) if inspect.isclass(given) else ()
    own = [base for base in bases if base.__module__.startswith(package.__name__)]
    members = {key: value for base in own for key, value in vars(base).items() if not key.startswith("_")}
    called = {key: value for key, value in members.items() if inspect.isroutine(value) or isinstance(value, property)}
    assert [key for key, value in called.items() if not value.__doc__] == []


def test_nothing_else_is_public() -> None:
    names = {name for name, value in vars(package).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert names == set(PUBLIC)


def test_every_error_has_one_root() -> None:
    raised = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(raised) > 5
    assert all(issubclass(error, errors.HybridMemoryError) for error in raised)


@pytest.mark.parametrize("name", ["ConfigurationError", "FilterError", "ImportFormatError"])
def test_bad_values_are_value_errors_too(name: str) -> None:
    assert issubclass(getattr(errors, name), ValueError)


def test_types_ship_with_the_package() -> None:
    module = importlib.import_module("langchain_hybrid_memory")
    assert importlib.resources.files(module).joinpath("py.typed").is_file()
