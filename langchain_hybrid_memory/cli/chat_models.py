"""Chooses the chat model of a command line: what was asked for, else what this machine has."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_hybrid_memory.chat_model import create_chat_model
from langchain_hybrid_memory.cli.local_model import NAME as LOCAL_NAME
from langchain_hybrid_memory.cli.local_model import LocalChatModel, create_local_model
from langchain_hybrid_memory.cli.loopback import NO_KEY, LoopbackChatModel, loopback_settings
from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.errors import ConfigurationError, ModelUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from langchain_core.language_models import BaseChatModel

OPENAI_DEFAULT = "gpt-5-mini"
OLLAMA_URL = "http://127.0.0.1:11434"
OLLAMA_SECONDS = 1.0
SERVER_SECONDS = 5.0
ACCEPTED = '"provider:model" such as "openai:gpt-5-mini", "local" (embedded) or "none" (recall only)'


SMALL_STEPS = ExtractConfig(roles=("user",), batch_tokens=160, neighbors=4, max_facts=4)
"""A small model reads what the user said, a few sentences at a time: it repeats itself over more."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that was taken, and a line that says which and why; no model means recall only."""

    model: BaseChatModel | None
    description: str

    @property
    def extract(self) -> ExtractConfig:
        """How facts are best extracted with this model."""
        return SMALL_STEPS if isinstance(self.model, LocalChatModel) else ExtractConfig()

    def close(self) -> None:
        """Stop the embedded model's server, if that is what was taken."""
        if isinstance(self.model, LocalChatModel):
            self.model.close()


def choose_chat_model(
    name: str | None,
    *,
    environment: Mapping[str, str] | None = None,
    ollama_url: str = OLLAMA_URL,
    folder: Path | None = None,
) -> Choice:
    """Take the named model, else OpenAI or what speaks its language, else Ollama, else the embedded model.

    Args:
        name: What `--model` says: an `init_chat_model` string, `local` or `none`.
        environment: Where `OPENAI_*` are looked up; the process's environment unless given.
        ollama_url: Where an Ollama would answer.
        folder: Where model files are kept; the user's cache folder unless given.

    Raises:
        ConfigurationError: If the model is unknown, or its package or key is missing.
        ModelUnavailableError: If a server does not answer, or the embedded model's file cannot be had.
    """
    if name is not None:
        return _named(name, folder)
    settings = os.environ if environment is None else environment
    if settings.get("OPENAI_BASE_URL") or settings.get("OPENAI_API_KEY"):
        return _openai(settings)
    if found := _ollama(ollama_url):
        return found
    return Choice(create_local_model(folder=folder), f"{LOCAL_NAME}, embedded (no OPENAI_API_KEY, no Ollama)")


def _named(name: str, folder: Path | None) -> Choice:
    if name == "none":
        return Choice(None, "no chat model, recall only (--model none)")
    if name == "local":
        return Choice(create_local_model(folder=folder), f"{LOCAL_NAME}, embedded (--model local)")
    if not name.strip():
        msg = f"--model is empty. It takes {ACCEPTED}"
        raise ConfigurationError(msg)
    try:
        return Choice(create_chat_model(name), f"{name} (--model)")
    except ConfigurationError as error:
        msg = f"{str(error).rstrip('.')}. --model takes {ACCEPTED}"
        raise ConfigurationError(msg) from error


def _openai(settings: Mapping[str, str]) -> Choice:
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    key, base_url = settings.get("OPENAI_API_KEY") or NO_KEY, settings.get("OPENAI_BASE_URL")
    wanted = settings.get("OPENAI_MODEL")
    if not base_url:
        model = wanted or OPENAI_DEFAULT
        return Choice(ChatOpenAI(model=model, api_key=SecretStr(key)), f"{model} of OpenAI (OPENAI_API_KEY is set)")
    model = wanted or _first_model(base_url, key)
    description = f"{model} at {base_url} (OPENAI_BASE_URL is set)"
    if _is_loopback(base_url):
        return Choice(LoopbackChatModel(**loopback_settings(base_url, api_key=key), model=model), description)
    return Choice(ChatOpenAI(model=model, api_key=SecretStr(key), base_url=base_url), description)


def _first_model(base_url: str, key: str) -> str:
    """Ask a server what it serves; one that does not tell is given the default name."""
    try:
        listed = _get_json(f"{base_url.rstrip('/')}/models", seconds=SERVER_SECONDS, key=key)
        return str(listed["data"][0]["id"])
    except (urllib.error.HTTPError, LookupError, TypeError, json.JSONDecodeError):
        return OPENAI_DEFAULT
    except (OSError, http.client.HTTPException) as error:
        msg = (
            f"no such server answers at OPENAI_BASE_URL {base_url!r} ({error}): start that server or unset the variable"
        )
        raise ModelUnavailableError(msg) from error
    except ValueError as error:
        msg = f"OPENAI_BASE_URL {base_url!r} is not an address such as http://127.0.0.1:8000/v1"
        raise ConfigurationError(msg) from error


def _ollama(url: str) -> Choice | None:
    try:
        listed = _get_json(f"{url}/api/tags", seconds=OLLAMA_SECONDS)
        names = [entry["name"] for entry in listed["models"] if _can_chat(entry)]
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return None  # something else, or nothing, is on that port
    if not names:
        return None
    model = LoopbackChatModel(**loopback_settings(f"{url}/v1"), model=names[0])
    return Choice(model, f"{names[0]} of Ollama (it answers at {url})")


def _can_chat(entry: Mapping[str, Any]) -> bool:
    family = (entry.get("details") or {}).get("family") or ""
    return "bert" not in family and "embed" not in entry["name"]


def _get_json(url: str, *, seconds: float, key: str = NO_KEY) -> Any:
    if urlsplit(url).scheme not in {"http", "https"}:
        msg = f"not an HTTP address: {url!r}"
        raise ValueError(msg)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - checked above
    proxies = [urllib.request.ProxyHandler({})] if _is_loopback(url) else []
    with urllib.request.build_opener(*proxies).open(request, timeout=seconds) as answer:
        return json.load(answer)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
