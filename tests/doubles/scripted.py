"""A chat model that answers from a script: it streams, calls tools, gives structured output, rewords and fails."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from tests.doubles.wording import Reword

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun

Schema: TypeAlias = type[BaseModel] | dict[str, Any]
Kind: TypeAlias = Literal["chat", "structured"]
Reply: TypeAlias = str | AIMessage
Structure: TypeAlias = Mapping[str, Any] | BaseModel | str
Method: TypeAlias = Literal["function_calling", "json_mode", "json_schema"]

CUT = 0.6  # the part of an answer that survives truncation


class Fault(StrEnum):
    """A way an answer arrives broken without an exception."""

    MALFORMED = "malformed"
    EMPTY = "empty"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Break:
    """A stream that raises after so many tokens; a call that does not stream raises at once."""

    error: BaseException
    after_tokens: int = 1


Failure: TypeAlias = BaseException | Break | Fault


class ScriptExhaustedError(AssertionError):
    """The model was called more often than the test expected."""


@dataclass(slots=True)
class ModelCall:
    """One call as the model saw it; `usage` and `answer` stay None when it raised before the first token."""

    kind: Kind
    number: int
    messages: tuple[BaseMessage, ...]
    schema: Schema | None = None
    method: Method | None = None
    tools: tuple[str, ...] = ()
    streamed: bool = False
    answer: AIMessage | None = None
    usage: UsageMetadata | None = None

    @property
    def prompt(self) -> str:
        """The whole prompt as text, one message a paragraph."""
        return "\n\n".join(message.text for message in self.messages)


def echo(messages: Sequence[BaseMessage]) -> str:
    """Answer with the last message, so that a test without a script still reads well."""
    return f"You said: {messages[-1].text}"


class ScriptedChatModel(BaseChatModel):
    """Answers chat calls from `replies` and structured calls from `structured`.

    Either is a list, used up in order (`ScriptExhaustedError` beyond its end), or a function of the messages (and the
    schema). A structured answer is a dict, a pydantic object, or the raw text a broken model would send. `failures`
    names calls by kind and ordinal: `{("structured", 0): Fault.MALFORMED, ("chat", 1): TimeoutError()}`. `reword` gets
    every answer but an `AIMessage` and raw structured text.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    replies: list[Reply] | Callable[[Sequence[BaseMessage]], Reply] = echo
    structured: list[Structure] | Callable[[Sequence[BaseMessage], Schema], Structure] = Field(default_factory=list)
    reword: Reword | None = None
    seed: int = 0
    failures: dict[tuple[Kind, int], Failure] = Field(default_factory=dict)
    token_delay_seconds: float = 0.0

    _calls: list[ModelCall] = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @property
    def calls(self) -> list[ModelCall]:
        """Every call so far, oldest first; bound copies (`bind_tools`) record here too."""
        return self._calls

    def calls_of(self, kind: Kind) -> list[ModelCall]:
        """The calls of one kind, oldest first."""
        return [call for call in self._calls if call.kind == kind]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self, schema: Schema, *, include_raw: bool = False, method: Method = "json_schema", **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Give what LangChain's own models give: with `include_raw`, a dict of raw, parsed and parsing_error."""
        model = self.bind(structured_schema=schema, structured_method=method, **kwargs)
        parser = _parser(schema, method)
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        message, _ = self._respond(messages, kwargs, streamed=False)
        time.sleep(self.token_delay_seconds * len(_tokens(message)))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's signature
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        message, _ = self._respond(messages, kwargs, streamed=False)
        await asyncio.sleep(self.token_delay_seconds * len(_tokens(message)))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's signature
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._respond_in_chunks(messages, kwargs):
            time.sleep(self.token_delay_seconds)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's signature
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._respond_in_chunks(messages, kwargs):
            await asyncio.sleep(self.token_delay_seconds)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _respond_in_chunks(
        self, messages: list[BaseMessage], kwargs: Mapping[str, Any]
    ) -> Iterator[ChatGenerationChunk]:
        message, failure = self._respond(messages, kwargs, streamed=True)
        for count, chunk in enumerate(_chunks(message)):
            if isinstance(failure, Break) and count >= failure.after_tokens:
                raise failure.error
            yield ChatGenerationChunk(message=chunk)

    def _respond(
        self, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any], *, streamed: bool
    ) -> tuple[AIMessage, Failure | None]:
        call = self._record(messages, kwargs, streamed=streamed)
        failure = self.failures.get((call.kind, call.number))
        if isinstance(failure, BaseException):
            raise failure
        if isinstance(failure, Break) and not streamed:
            raise failure.error
        fault = failure if isinstance(failure, Fault) else None
        message = self._chat(call, fault) if call.schema is None else self._structure(call, call.schema, fault)
        call.usage = message.usage_metadata = _usage(call, message)
        call.answer = message
        return message, failure

    def _record(self, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any], *, streamed: bool) -> ModelCall:
        schema = kwargs.get("structured_schema")
        kind: Kind = "chat" if schema is None else "structured"
        tools = tuple(tool["function"]["name"] for tool in kwargs.get("tools") or ())
        with self._lock:
            call = ModelCall(
                kind=kind,
                number=len(self.calls_of(kind)),
                messages=tuple(messages),
                schema=schema,
                method=kwargs.get("structured_method"),
                tools=tools,
                streamed=streamed,
            )
            self._calls.append(call)
        return call

    def _chat(self, call: ModelCall, fault: Fault | None) -> AIMessage:
        reply = self.replies(call.messages) if callable(self.replies) else _next(self.replies, call)
        if isinstance(reply, AIMessage):
            return reply.model_copy()
        text = self.reword(reply, self.seed + call.number) if self.reword else reply
        return AIMessage(content=_spoil(text, fault), response_metadata=_metadata(fault))

    def _structure(self, call: ModelCall, schema: Schema, fault: Fault | None) -> AIMessage:
        script = self.structured
        answer = script(call.messages, schema) if callable(script) else _next(script, call)
        if self.reword and not isinstance(answer, str):
            answer = self.reword(answer, self.seed + call.number)
        text = _spoil(_dump(answer), fault)
        if call.method == "function_calling":
            return _tool_message(_schema_name(schema), text, fault)
        return AIMessage(content=text, response_metadata=_metadata(fault))


def _next(script: Sequence[Any], call: ModelCall) -> Any:
    if call.number < len(script):
        return script[call.number]
    msg = f"{call.kind} call {call.number} has no answer: the script holds {len(script)}"
    raise ScriptExhaustedError(msg)


def _dump(answer: Structure) -> str:
    if isinstance(answer, str):
        return answer
    return answer.model_dump_json() if isinstance(answer, BaseModel) else json.dumps(answer, default=str)


def _spoil(text: str, fault: Fault | None) -> str:
    match fault:
        case Fault.EMPTY:
            return ""
        case Fault.TRUNCATED:
            return text[: int(len(text) * CUT)]
        case Fault.MALFORMED:
            return f"Here you go: {text.replace(':', '=')} }}"
        case None:
            return text


def _metadata(fault: Fault | None) -> dict[str, Any]:
    return {"model_name": "scripted", "finish_reason": "length" if fault is Fault.TRUNCATED else "stop"}


def _tool_message(name: str, arguments: str, fault: Fault | None) -> AIMessage:
    """Carry an answer as a tool call; arguments that are no JSON become an invalid tool call, as with ChatOpenAI."""
    call_id = f"call_{uuid.uuid4().hex[:12]}"
    metadata = _metadata(fault)
    try:
        calls = [ToolCall(name=name, args=json.loads(arguments), id=call_id)] if arguments else []
    except json.JSONDecodeError as error:
        invalid = invalid_tool_call(name=name, args=arguments, id=call_id, error=str(error))
        return AIMessage(content="", invalid_tool_calls=[invalid], response_metadata=metadata)
    return AIMessage(content="", tool_calls=calls, response_metadata=metadata)


def _schema_name(schema: Schema) -> str:
    name: str = convert_to_openai_tool(schema)["function"]["name"]
    return name


def _parser(schema: Schema, method: Method) -> BaseOutputParser[Any]:
    if isinstance(schema, dict):
        named = JsonOutputKeyToolsParser(key_name=_schema_name(schema), first_tool_only=True)
        return named if method == "function_calling" else JsonOutputParser()
    if method == "function_calling":
        return PydanticToolsParser(tools=[schema], first_tool_only=True)
    return PydanticOutputParser(pydantic_object=schema)


def _usage(call: ModelCall, message: AIMessage) -> UsageMetadata:
    """Count words, the way a bill counts tokens."""
    asked, answered = len(call.prompt.split()), len(_tokens(message))
    return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)


def _tokens(message: AIMessage) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", message.text)


def _chunks(message: AIMessage) -> Iterator[AIMessageChunk]:
    for token in _tokens(message):
        yield AIMessageChunk(content=token, id=message.id)
    yield AIMessageChunk(
        content="",
        id=message.id,
        tool_call_chunks=[
            *(
                tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
                for index, call in enumerate(message.tool_calls)
            ),
            *(
                tool_call_chunk(name=call["name"], args=call["args"], id=call["id"], index=index)
                for index, call in enumerate(message.invalid_tool_calls, len(message.tool_calls))
            ),
        ],
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
        chunk_position="last",
    )
