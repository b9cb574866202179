"""Turns an `init_chat_model` string into a chat model, or says why it cannot."""

from __future__ import annotations

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from openai import OpenAIError

from langchain_hybrid_memory.errors import ConfigurationError


def create_chat_model(model: str) -> BaseChatModel:
    """Set up a chat model from an `init_chat_model` string such as `openai:gpt-5-mini`.

    Raises:
        ConfigurationError: If the string is empty or unknown, or the provider's package or key is missing.
    """
    if not model:  # else a model comes back that asks for its name in every run
        msg = "the chat model has no name; choose one such as 'openai:gpt-5-mini'"
        raise ConfigurationError(msg)
    try:
        return init_chat_model(model)
    except (ValueError, ImportError, OpenAIError) as error:
        reason = " ".join(str(error).split())
        msg = f"cannot use the chat model {model!r}: {reason}"
        raise ConfigurationError(msg) from error
