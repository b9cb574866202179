"""Opens what every command needs: the embedding, and the store in a directory."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import typer
from langchain_core.embeddings import Embeddings

from langchain_hybrid_memory.embedding import OnnxEmbedding, create_embedding
from langchain_hybrid_memory.errors import ConfigurationError, StorageError
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.store import ChromaStore

DEFAULT_EMBEDDING = "minilm"
OPENAI = "openai:"


def open_memory(path: Path, embedding: Embeddings, *, is_new: bool = True) -> ChromaStore:
    """Open the store in a directory.

    Args:
        path: The directory.
        embedding: See `choose_embedding`.
        is_new: Whether it may be created.

    Raises:
        StorageError: If the directory cannot be opened, or is missing and may not be created.
    """
    if not is_new and not path.is_dir():
        msg = f"there is no memory in {str(path)!r}: start one with `hybrid-memory chat`, or name another --path"
        raise StorageError(msg)
    return open_store(path, embedding=embedding)


def load(embedding: Embeddings) -> None:
    """Fetch a local embedding now, where its progress can be seen, rather than in the middle of a conversation.

    Raises:
        ModelUnavailableError: If its files cannot be had.
    """
    if isinstance(embedding, OnnxEmbedding):
        embedding.load()


def choose_embedding(name: str) -> Embeddings:
    """Turn what `--embedding` says into embeddings.

    Where `OPENAI_BASE_URL` names a server, it is sent texts: servers other than OpenAI's own do not read the token ids
    that LangChain would send, and the tables for them would have to be downloaded.

    Raises:
        ConfigurationError: If the name is unknown, or its provider's package or key is missing.
    """
    base_url = os.environ.get("OPENAI_BASE_URL")
    if not (base_url and name.startswith(OPENAI)):
        return create_embedding(name)
    from langchain_openai import OpenAIEmbeddings
    from openai import OpenAIError

    try:
        return OpenAIEmbeddings(model=name.removeprefix(OPENAI), base_url=base_url, check_embedding_ctx_length=False)
    except OpenAIError as error:
        msg = f"cannot use the embedding {name!r}: set OPENAI_API_KEY, any word where the server asks for none"
        raise ConfigurationError(msg) from error


def current_user() -> str:
    """The name of the person at this computer.

    Raises:
        BadParameter: If the computer does not know.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        msg = "this computer does not say who you are; name yourself with --user"
        raise typer.BadParameter(msg) from error
