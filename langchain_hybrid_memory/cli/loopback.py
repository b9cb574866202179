"""A chat model behind an OpenAI-compatible server on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages.utils import count_tokens_approximately
from langchain_openai import ChatOpenAI

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.tools import BaseTool

NO_KEY = "none"  # the client insists on a key, these servers do not look at it


class LoopbackChatModel(ChatOpenAI):
    """`ChatOpenAI` that never leaves this machine: no proxy, no download of token tables, and patience."""

    def get_num_tokens(self, text: str) -> int:
        """Estimate, since the exact tables would have to be downloaded."""
        return count_tokens_approximately([text])

    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
        **_: object,
    ) -> int:
        """Estimate, since the exact tables would have to be downloaded."""
        described = [tool for tool in tools or () if not isinstance(tool, type) and not callable(tool)]
        return count_tokens_approximately(messages, tools=described)


def loopback_settings(base_url: str, *, api_key: str = NO_KEY) -> dict[str, Any]:
    """Arguments of a `LoopbackChatModel` that suit a slow server close by.

    Each request opens its own connection, so one model serves several event loops; a proxy of the environment is not
    asked for an address of this machine; the first token of a long prompt may take minutes on a small processor.
    """
    from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

    return {
        "base_url": base_url,
        "api_key": api_key,
        "default_headers": {"Connection": "close"},
        "http_client": DefaultHttpxClient(trust_env=False),
        "http_async_client": DefaultAsyncHttpxClient(trust_env=False),
        "max_retries": 0,
        "stream_chunk_timeout": None,
        "stream_usage": True,
    }
