"""Embeddings computed on this machine by onnxruntime."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.embeddings import Embeddings

from langchain_hybrid_memory.downloads import fetch
from langchain_hybrid_memory.embedding._models import BATCH_SAFE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from langchain_hybrid_memory.downloads import ModelFile
    from langchain_hybrid_memory.embedding._models import OnnxModel

BATCH_LIMIT = 16


class OnnxEmbedding(Embeddings):
    """A sentence encoder in this process: unit vectors, no torch, no service.

    Nothing is downloaded or loaded before the first text; `load` does it at a moment of the caller's choice. Threads
    may share one instance. The asynchronous methods are those of `Embeddings`, which run these in a thread.
    """

    def __init__(self, model: OnnxModel, *, folder: Path | None = None) -> None:
        """Remember which model; see the class for when it is loaded.

        Args:
            model: The files and how to use them.
            folder: Where model files are kept; the user's cache folder unless given.
        """
        self._model = model
        self._folder = folder
        self._lock = threading.Lock()
        self._encoder: _Encoder | None = None

    @property
    def identity(self) -> str:
        """Which vectors these are: two embeddings may share a store if this is equal.

        Asking for it loads the model, since the file that was to be had decides.
        """
        return f"{self._model.name}/{self._load().sha256[:12]}"

    def load(self) -> None:
        """Fetch and load the model now; further calls do nothing.

        Raises:
            ModelUnavailableError: If the files cannot be had.
        """
        self._load()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that will be searched; the vectors keep the order of the texts."""
        return self._load().encode([self._model.text_prefix + text for text in texts])

    def embed_query(self, text: str) -> list[float]:
        """Embed a text that searches."""
        return self._load().encode([self._model.query_prefix + text])[0]

    def __repr__(self) -> str:
        """Name the model and whether it is in memory."""
        state = "loaded" if self._encoder else "not loaded"
        return f"{type(self).__name__}({self._model.name!r}, {state})"

    def _load(self) -> _Encoder:
        with self._lock:
            if self._encoder is None:
                otherwise = self._model.otherwise
                weights = fetch(self._model.weights, otherwise=otherwise, folder=self._folder)
                tokenizer = fetch(self._model.tokenizer, otherwise=otherwise, folder=self._folder)
                self._encoder = _open_encoder(weights, tokenizer, token_limit=self._model.token_limit)
            return self._encoder


@dataclass(frozen=True, slots=True)
class _Encoder:
    """A loaded model."""

    session: Any
    tokenizer: Any
    sha256: str

    def encode(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts of similar length together, so that little is spent on padding."""
        # a lone surrogate, as broken exports hold them, is not text to the tokenizer
        tokens = [self.tokenizer.encode(text.encode(errors="replace").decode()).ids for text in texts]
        order = sorted(range(len(tokens)), key=lambda position: len(tokens[position]))
        limit = BATCH_LIMIT if self.sha256 in BATCH_SAFE else 1
        vectors: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(order), limit):
            batch = order[start : start + limit]
            for position, vector in zip(batch, self._run([tokens[position] for position in batch]), strict=True):
                vectors[position] = vector.tolist()
        return vectors

    def _run(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, line in enumerate(tokens):
            ids[row, : len(line)] = line
            mask[row, : len(line)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {entry.name for entry in self.session.get_inputs()}
        states = self.session.run(None, {name: value for name, value in given.items() if name in wanted})[0]
        return _pool(states, mask)


def _pool(states: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    """Average each text's own tokens and scale the result to length one."""
    weights = mask[..., None].astype(np.float32)
    mean = (states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
    unit: NDArray[np.float32] = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    return unit


def _open_encoder(weights: ModelFile, tokenizer: ModelFile, *, token_limit: int) -> _Encoder:
    # the one variable set outside the command line: at import onnxruntime writes a device id unless it says no
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # type: ignore[import-untyped]  # ships no types
    from tokenizers import Tokenizer

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # waiting threads that spin would take the cores from a chat model on the same machine
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(weights.path), options, providers=["CPUExecutionProvider"])
    words = Tokenizer.from_file(str(tokenizer.path))
    words.no_padding()
    words.enable_truncation(token_limit)
    return _Encoder(session, words, weights.sha256)
