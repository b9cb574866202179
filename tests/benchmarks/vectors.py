"""Embeds each text once, so that every system in a run gets the same vectors and no time is spent twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings

from langchain_hybrid_memory.records import fingerprint


class KeptVectors(Embeddings):
    """Embeddings that remember, in memory and if wished in a file."""

    def __init__(self, embedding: Embeddings, path: Path | None = None, *, model: str = "") -> None:
        """Wrap an embedding.

        Args:
            embedding: Computes what is not known yet.
            path: Where vectors are kept between runs.
            model: What the embedding is called.

        Raises:
            ValueError: If the vectors in the file are another model's.
        """
        self._model = model
        self._embedding = embedding
        self._path = path
        self._known: dict[str, list[float]] = {}
        if path is not None and path.exists():
            with np.load(path) as kept:
                if str(kept["model"]) != model:
                    msg = f"{path} holds vectors of {kept['model']}, not of {model}; name another file"
                    raise ValueError(msg)
                self._known = dict(zip(kept["keys"].tolist(), kept["vectors"].tolist(), strict=True))
        self._saved = len(self._known)

    def save(self) -> None:
        """Write what is known, if there is a file and anything is new."""
        if self._path is not None and len(self._known) > self._saved:
            vectors = np.array(list(self._known.values()), dtype=np.float32)
            np.savez(self._path, keys=np.array(list(self._known)), vectors=vectors, model=self._model)
            self._saved = len(self._known)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that will be searched."""
        missing = list(dict.fromkeys(text for text in texts if fingerprint("text", text) not in self._known))
        for text, vector in zip(missing, self._embedding.embed_documents(missing) if missing else [], strict=True):
            self._known[fingerprint("text", text)] = vector
        return [self._known[fingerprint("text", text)] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed a text that searches."""
        key = fingerprint("query", text)
        if key not in self._known:
            self._known[key] = self._embedding.embed_query(text)
        return self._known[key]
