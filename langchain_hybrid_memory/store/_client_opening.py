"""Finds or creates the collection of a store at a Chroma client, and makes sure that it is the store's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import httpx
from chromadb.api import ClientAPI
from chromadb.errors import NotFoundError

from langchain_hybrid_memory.errors import ConfigurationError, EmbeddingMismatchError, StorageError
from langchain_hybrid_memory.store._client_collection import ItemCollection, ask
from langchain_hybrid_memory.store._collections import names_embedding_function
from langchain_hybrid_memory.store._embedder import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chromadb import Collection
    from chromadb.api.collection_configuration import CreateHNSWConfiguration

FORMAT: Final = 1
HNSW: Final[CreateHNSWConfiguration] = {"space": "cosine", "ef_search": 200, "ef_construction": 200}
CLOUD: Final = "trychroma.com"
CLOUD_PAGE: Final = 300  # what Chroma Cloud takes and answers at once


class CollectionOpener:
    """The way to one collection; remembers its id and vector size once it is found, and nothing that can change.

    Attributes:
        place: The server in words, for messages.
        dimensions: The size of the collection's vectors; 0 until it is found.
    """

    def __init__(self, client: ClientAPI, name: str, *, timeout_seconds: float) -> None:
        """Use a client; nothing is asked of the server yet.

        Args:
            client: Any synchronous Chroma client.
            name: Name of the collection.
            timeout_seconds: How long a request may take, where the client sets no limit itself.

        Raises:
            ConfigurationError: If this is not a synchronous Chroma client.
        """
        given: object = client
        if not isinstance(given, ClientAPI):
            msg = (
                f"{given!r:.80} is not a synchronous Chroma client; give chromadb.HttpClient(...) or the like, for "
                "asynchronous use too, or open a directory with ChromaStore.open(path)"
            )
            raise ConfigurationError(msg)
        self.place = f"{_describe(client)}, collection {name!r}"
        self.dimensions = 0
        self._client = client
        self._name = name
        self._items: ItemCollection | None = None
        self._model: Fingerprint | None = None
        self._known: Fingerprint | None = None
        self._turn = threading.Lock()
        _limit_waiting(client, timeout_seconds)

    def find(self) -> ItemCollection | None:
        """The collection, or `None` as long as nobody has created it.

        Raises:
            ConfigurationError: If it is another model's or another program's.
            StorageError: If a newer version of this package made it.
        """
        with self._turn:
            if self._items is None:
                try:
                    # no embedding function, ever: one built from what the server holds would be the server's choice
                    collection = ask(self._client.get_collection, self._name, embedding_function=None)
                except NotFoundError:
                    return None
                self._accept(collection)
            return self._items

    def create(self, dimensions: int) -> ItemCollection:
        """Create the collection for vectors of a size, unless another process was faster.

        Raises:
            ConfigurationError: If it was, with vectors of another size or model.
        """
        with self._turn:
            collection = ask(
                self._client.get_or_create_collection,
                self._name,
                embedding_function=None,
                configuration={"hnsw": HNSW},
                metadata={"format": FORMAT, "dimensions": dimensions, **_as_metadata(self._model)},
            )
            items = self._accept(collection)
        self.check([dimensions])
        return items

    def expect(self, model: Fingerprint) -> None:
        """Take the collection for vectors of a model.

        Raises:
            EmbeddingMismatchError: If it holds another's.
        """
        self.find()
        self._compare(model)
        self._model = model

    def _compare(self, model: Fingerprint) -> None:
        if self._known is not None and not self._known.is_same(model):
            msg = (
                f"{self.place} was embedded by {self._known}, but this store has {model}; use the first, or another "
                "`collection`"
            )
            raise EmbeddingMismatchError(msg)

    def forget(self) -> None:
        """Look for the collection anew: what was known of it is no longer true."""
        with self._turn:
            self._items = None
            self._known = None
            self.dimensions = 0

    def check(self, sizes: Sequence[int]) -> None:
        """Refuse vectors of another size or model than the collection's, which another process may have made anew.

        Args:
            sizes: How many numbers each vector has.

        Raises:
            EmbeddingMismatchError: If there is one.
        """
        known = {self.dimensions} if self.dimensions else set()
        if len({*sizes, *known}) > 1:
            msg = (
                f"the embedding returned vectors of {sorted({*sizes})} numbers, {self.place} holds "
                f"{sorted(known) or 'none'}; use the embedding model it was filled with, or another `collection`"
            )
            raise EmbeddingMismatchError(msg)
        if sizes and self._model is not None:
            self._compare(self._model)

    def _accept(self, collection: Collection) -> ItemCollection:
        metadata: dict[str, Any] = dict(collection.metadata or {})
        if not {"format", "dimensions"} <= metadata.keys():
            msg = f"{self.place} was not made by a ChromaStore; name another `collection`"
            raise ConfigurationError(msg)
        if names_embedding_function(collection):
            msg = (
                f"{self.place} names an embedding function, which Chroma's client would build and run in this process "
                "at every write; a ChromaStore embeds by itself. Name another `collection`"
            )
            raise ConfigurationError(msg)
        if metadata["format"] > FORMAT:
            msg = (
                f"{self.place} has format {metadata['format']}, newer than the {FORMAT} this version of "
                "langchain-hybrid-memory knows. Upgrade the package"
            )
            raise StorageError(msg)
        self.dimensions = int(metadata["dimensions"])
        self._known = Fingerprint(str(metadata.get("embedding")), bytes.fromhex(str(metadata.get("probe", ""))))
        self._items = ItemCollection(collection, page=_page(self._client))
        return self._items


def _as_metadata(model: Fingerprint | None) -> dict[str, str]:
    return {"embedding": model.name, "probe": model.probe.hex()} if model else {}


def _describe(client: ClientAPI) -> str:
    settings = client.get_settings()
    if settings.chroma_server_host:
        return f"the Chroma server at {settings.chroma_server_host}:{settings.chroma_server_http_port}"
    return f"Chroma in {settings.persist_directory!r}" if settings.is_persistent else "Chroma in this process"


def _page(client: ClientAPI) -> int:
    is_cloud = CLOUD in (client.get_settings().chroma_server_host or "")
    return CLOUD_PAGE if is_cloud else client.get_max_batch_size()


def _limit_waiting(client: ClientAPI, seconds: float) -> None:
    """Let no request wait for ever: Chroma's HTTP client has neither a limit nor a setting for one."""
    session = getattr(getattr(client, "_server", None), "_session", None)
    if isinstance(session, httpx.Client) and session.timeout == httpx.Timeout(None):
        session.timeout = httpx.Timeout(seconds)
