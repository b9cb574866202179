"""Renders answers in the words of OpenAI's HTTP interface."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.doubles.embedding import word_vector, words
from tests.doubles.openai_answers import Answer, Failed, Tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Body: TypeAlias = dict[str, Any]

CREATED = 1_700_000_000
DIMENSIONS = 256
ARGUMENT_PIECE = 7  # characters of a tool call's arguments in one chunk


def as_answer(reply: str | Mapping[str, Any] | Answer, request: Body) -> Answer:
    """Turn a script's shorthand into an answer: a dict suits what the request asks for, a tool call or JSON text."""
    if isinstance(reply, Answer):
        return reply
    if isinstance(reply, str):
        return Answer(reply)
    forced = request.get("tool_choice")
    if isinstance(forced, dict):
        return Answer(tools=(Tool(forced["function"]["name"], reply),))
    return Answer(json.dumps(reply))


def completion(answer: Answer, request: Body) -> Body:
    """Render a whole chat completion."""
    message: Body = {"role": "assistant", "content": answer.text, "refusal": answer.refusal}
    if answer.tools:
        message["tool_calls"] = [_tool_call(index, tool) for index, tool in enumerate(answer.tools)]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(answer), "logprobs": None}
    return {**_envelope(request, "chat.completion"), "choices": [choice], "usage": _usage(answer, request)}


def chunks(answer: Answer, request: Body) -> Iterator[Body]:
    """Render a chat completion as the chunks of a stream; usage comes last, and only when asked for."""
    envelope = _envelope(request, "chat.completion.chunk")
    for delta in _deltas(answer):
        yield {**envelope, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**envelope, "choices": [{"index": 0, "delta": {}, "finish_reason": _finish_reason(answer)}]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**envelope, "choices": [], "usage": _usage(answer, request)}


def embeddings(request: Body) -> Body | Failed:
    """Embed text or token ids; an empty input is an error here as it is at OpenAI."""
    inputs = _inputs(request["input"])
    if not inputs or not all(inputs):
        return Failed(400, "'$.input' is invalid: it must not be empty")
    dimensions = request.get("dimensions") or DIMENSIONS
    vectors = [word_vector(_terms(item), dimensions=dimensions) for item in inputs]
    encoded = [_encode(vector) if request.get("encoding_format") == "base64" else vector for vector in vectors]
    tokens = sum(len(_terms(item)) for item in inputs)
    return {
        "object": "list",
        "model": request["model"],
        "data": [{"object": "embedding", "index": index, "embedding": value} for index, value in enumerate(encoded)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def error(failed: Failed) -> Body:
    """Render an error."""
    return {"error": {"message": failed.message, "type": "stub_error", "param": None, "code": None}}


def _envelope(request: Body, kind: str) -> Body:
    return {"id": "chatcmpl-stub", "object": kind, "created": CREATED, "model": request.get("model", "stub")}


def _tool_call(index: int, tool: Tool) -> Body:
    arguments = tool.arguments if isinstance(tool.arguments, str) else json.dumps(tool.arguments)
    return {"id": f"call_{index}", "type": "function", "function": {"name": tool.name, "arguments": arguments}}


def _finish_reason(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.tools else "stop")


def _usage(answer: Answer, request: Body) -> Body:
    """Count words, the way a bill counts tokens."""
    asked = len(json.dumps(request["messages"]).split())
    answered = len((answer.text or answer.refusal or "").split()) + len(answer.tools)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _deltas(answer: Answer) -> Iterator[Body]:
    yield {"role": "assistant", "content": None if answer.tools else ""}
    for token in re.findall(r"\s*\S+|\s+$", answer.text or ""):
        yield {"content": token}
    if answer.refusal:
        yield {"refusal": answer.refusal}
    for index, tool in enumerate(answer.tools):
        yield from _tool_deltas(index, _tool_call(index, tool))


def _tool_deltas(index: int, call: Body) -> Iterator[Body]:
    arguments = call["function"]["arguments"]
    opening = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
    yield {"tool_calls": [opening]}
    for start in range(0, len(arguments), ARGUMENT_PIECE):
        piece = arguments[start : start + ARGUMENT_PIECE]
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _inputs(value: str | Sequence[Any]) -> list[Any]:
    """Return one item an embedding, each a text or a list of token ids."""
    single = isinstance(value, str) or (bool(value) and isinstance(value[0], int))
    return [value] if single else list(value)


def _terms(item: str | list[int]) -> list[str]:
    return words(item) if isinstance(item, str) else [f"token {number}" for number in item]


def _encode(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
