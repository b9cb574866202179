"""The command line takes the chat model that was asked for, else what this machine has."""

from __future__ import annotations

import json
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI

from langchain_hybrid_memory.cli.chat_models import choose_chat_model
from langchain_hybrid_memory.cli.loopback import LoopbackChatModel
from langchain_hybrid_memory.errors import ConfigurationError, ModelUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOTHING = "http://127.0.0.1:9"  # the discard port: nothing listens
OLLAMA = {
    "models": [
        {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
        {"name": "all-minilm:latest", "details": {"family": "bert"}},
        {"name": "llama3.2:3b", "details": {"family": "llama"}},
    ]
}


class _Lists(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        served = cast("_Server", self.server).served
        self.send_response(HTTPStatus.OK if self.path in served else HTTPStatus.NOT_FOUND)
        self.end_headers()
        self.wfile.write(served.get(self.path, "").encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's signature
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Lists)
        self.served: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[_Server]:
    """Answers GET with what the test put into `served`."""
    with _Server() as lists:
        thread = threading.Thread(target=lists.serve_forever, args=(0.01,))
        thread.start()
        yield lists
        lists.shutdown()
        thread.join()


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> FakeListChatModel:
    """Stands in for the embedded model."""
    model = FakeListChatModel(responses=["hi"])
    monkeypatch.setattr("langchain_hybrid_memory.cli.chat_models.create_local_model", lambda **_: model)
    return model


def environment(**settings: str) -> Mapping[str, str]:
    return settings


def as_openai(model: Any) -> ChatOpenAI:
    assert isinstance(model, ChatOpenAI)
    return model


def test_none_is_recall_only_whatever_the_environment_has() -> None:
    choice = choose_chat_model("none", environment=environment(OPENAI_API_KEY="key"))
    assert choice.model is None
    assert "recall only" in choice.description
    choice.close()


def test_local_is_the_embedded_model(embedded: FakeListChatModel) -> None:
    choice = choose_chat_model("local", environment=environment(OPENAI_API_KEY="key"))
    assert choice.model is embedded
    assert "--model local" in choice.description


def test_named_model_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "stub")
    choice = choose_chat_model("openai:gpt-test", environment=environment(OPENAI_MODEL="other"))
    assert as_openai(choice.model).model_name == "gpt-test"
    assert choice.description == "openai:gpt-test (--model)"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no-such-model", "provider"),
        ("nobody:model", "nobody"),
        ("mistralai:small", "pip install langchain-mistralai"),
        ("openai:gpt-5-mini", "OPENAI_API_KEY"),
        (" ", "empty"),
    ],
)
def test_model_that_cannot_be_used_is_refused_in_one_line(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        choose_chat_model(name)
    assert "\n" not in str(caught.value)
    assert '"none"' in str(caught.value)


def test_key_in_the_environment_means_openai() -> None:
    choice = choose_chat_model(None, environment=environment(OPENAI_API_KEY="key"))
    assert as_openai(choice.model).model_name == "gpt-5-mini"
    assert choice.description == "gpt-5-mini of OpenAI (OPENAI_API_KEY is set)"


def test_model_name_can_be_set_in_the_environment() -> None:
    settings = environment(OPENAI_API_KEY="key", OPENAI_MODEL="gpt-other")
    assert as_openai(choose_chat_model(None, environment=settings).model).model_name == "gpt-other"


def test_base_url_alone_is_enough(server: _Server) -> None:
    server.served["/v1/models"] = json.dumps({"data": [{"id": "served-here"}]})
    choice = choose_chat_model(None, environment=environment(OPENAI_BASE_URL=f"{server.url}/v1"))
    assert as_openai(choice.model).model_name == "served-here"
    assert choice.description == f"served-here at {server.url}/v1 (OPENAI_BASE_URL is set)"


def test_server_that_lists_no_models_gets_the_default_name(server: _Server) -> None:
    choice = choose_chat_model(None, environment=environment(OPENAI_BASE_URL=f"{server.url}/v1/"))
    assert as_openai(choice.model).model_name == "gpt-5-mini"


def test_named_server_model_is_not_asked_for() -> None:
    settings = environment(OPENAI_BASE_URL="https://gateway.example/v1", OPENAI_MODEL="theirs", OPENAI_API_KEY="key")
    model = choose_chat_model(None, environment=settings).model
    assert type(model) is ChatOpenAI
    assert model.openai_api_base == "https://gateway.example/v1"


def test_base_url_where_nothing_answers_is_refused() -> None:
    with pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1:9.*unset"):
        choose_chat_model(None, environment=environment(OPENAI_BASE_URL=f"{NOTHING}/v1"))


@pytest.mark.parametrize("address", ["localhost:8000/v1", "file:///etc/passwd", "nonsense"])
def test_base_url_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="not an address"):
        choose_chat_model(None, environment=environment(OPENAI_BASE_URL=address))


def test_ollama_gives_its_first_model_that_can_chat(server: _Server) -> None:
    server.served["/api/tags"] = json.dumps(OLLAMA)
    choice = choose_chat_model(None, environment={}, ollama_url=server.url)
    assert isinstance(choice.model, LoopbackChatModel)
    assert choice.model.model_name == "llama3.2:3b"
    assert choice.model.openai_api_base == f"{server.url}/v1"
    assert "Ollama" in choice.description


@pytest.mark.parametrize("tags", ["", "[]", "{}", '{"models": []}', '{"models": [{}]}', '{"models": 1}'])
def test_ollama_without_a_chat_model_is_passed_over(server: _Server, embedded: FakeListChatModel, tags: str) -> None:
    server.served["/api/tags"] = tags
    assert choose_chat_model(None, environment={}, ollama_url=server.url).model is embedded


def test_something_else_on_that_port_is_passed_over(embedded: FakeListChatModel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-hello\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert choose_chat_model(None, environment={}, ollama_url=url).model is embedded
        thread.join()


def test_nothing_else_means_the_embedded_model(embedded: FakeListChatModel) -> None:
    choice = choose_chat_model(None, environment={}, ollama_url=NOTHING, folder=Path("unused"))
    assert choice.model is embedded
    assert "no OPENAI_API_KEY, no Ollama" in choice.description
