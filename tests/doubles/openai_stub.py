"""An OpenAI-compatible server on loopback: real sockets, scripted answers, scripted failures.

    with OpenAIStub() as stub:
        stub.chat += [rate_limited(), "Hello", {"city": "Lisbon"}]
        model = ChatOpenAI(model="stub", base_url=stub.base_url, api_key="stub", stream_usage=True)
        embeddings = OpenAIEmbeddings(
            model="stub", base_url=stub.base_url, api_key="stub", check_embedding_ctx_length=False
        )

`check_embedding_ctx_length=False` keeps OpenAIEmbeddings from fetching tiktoken's tables; without it the server gets
token ids, which it embeds too. Every connection closes after its answer, so no client is left with an open socket.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeAlias, cast

from tests.doubles import openai_wire
from tests.doubles.openai_answers import Answer, Failed, HungUp, Raw, Scripted
from tests.doubles.openai_wire import Body

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
LONGEST_SECONDS = 10.0  # no request and no scripted wait outlives this

Brain: TypeAlias = Callable[[Body], Scripted]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names are lower case, `arrived_at` is monotonic."""

    path: str
    body: Body
    headers: Mapping[str, str]
    arrived_at: float


def echo(body: Body) -> str:
    """Answer with the last message."""
    return f"You said: {body['messages'][-1]['content']}"


class OpenAIStub:
    """Serves while it is entered; afterwards every thread and socket of it is gone.

    `chat` and `embeddings` are the scripts: what comes next, first in, first out. When `chat` is empty, `brain` answers
    from the request's body; when `embeddings` is empty, texts are embedded by their words. `requests` keeps what came.
    """

    def __init__(self, brain: Brain = echo) -> None:
        self.brain = brain
        self.chat: deque[Scripted] = deque()
        self.embeddings: deque[Failed | Raw | HungUp] = deque()
        self.requests: list[Request] = []
        self.errors: list[Exception] = []
        self.stopping = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="openai-stub")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self.errors:
            msg = "the stub itself failed"
            raise ExceptionGroup(msg, self.errors)

    @property
    def base_url(self) -> str:
        """What a client is given as `base_url`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def requests_to(self, path: str) -> list[Request]:
        """The requests to `CHAT` or `EMBEDDINGS`, oldest first."""
        return [request for request in self.requests if request.path == path]

    def reply(self, path: str, body: Body) -> Scripted:
        """Take the next scripted answer, or make one."""
        if path == CHAT:
            return self.chat.popleft() if self.chat else self.brain(body)
        if path == EMBEDDINGS:
            return self.embeddings.popleft() if self.embeddings else _embed(body)
        return Failed(HTTPStatus.NOT_FOUND, f"the stub does not serve {path}")


def _embed(body: Body) -> Failed | Raw:
    rendered = openai_wire.embeddings(body)
    return rendered if isinstance(rendered, Failed) else Raw(json.dumps(rendered))


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for every handler

    def __init__(self, stub: OpenAIStub) -> None:
        self.stub = stub
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the standard library's signature
        """Keep what went wrong in here; a client that hangs up is no error."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, ConnectionError):
            self.stub.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = LONGEST_SECONDS

    def do_POST(self) -> None:
        stub = cast("_Server", self.server).stub
        body: Body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        stub.requests.append(Request(self.path, body, headers, time.monotonic()))
        self._send(stub.reply(self.path, body), body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's signature
        """Say nothing."""

    def _send(self, reply: Scripted, body: Body) -> None:
        match reply:
            case Failed():
                self._send_body(json.dumps(openai_wire.error(reply)), status=reply.status, headers=reply.headers)
            case Raw():
                self._send_body(reply.body, content_type=reply.content_type)
            case HungUp(after_chunks=0):
                self.close_connection = True
            case HungUp():
                self._send_stream(Answer(reply.text), body, limit=reply.after_chunks)
            case _:
                self._send_answer(openai_wire.as_answer(reply, body), body)

    def _send_answer(self, answer: Answer, body: Body) -> None:
        if body.get("stream"):
            self._send_stream(answer, body)
        else:
            self._wait(answer.slow_seconds)
            self._send_body(json.dumps(openai_wire.completion(answer, body)))

    def _send_body(
        self,
        text: str,
        *,
        status: int = HTTPStatus.OK,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        payload = text.encode()
        self._send_head(status, {"content-type": content_type, "content-length": str(len(payload)), **(headers or {})})
        self.wfile.write(payload)

    def _send_stream(self, answer: Answer, body: Body, *, limit: int | None = None) -> None:
        """Send server-sent events in HTTP chunks, so that a cut stream is known to be cut."""
        self._send_head(HTTPStatus.OK, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        for count, event in enumerate(_events(answer, body)):
            if count == limit:
                return
            self._wait(answer.slow_seconds)
            payload = f"data: {event}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(payload), payload))
        self.wfile.write(b"0\r\n\r\n")

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _wait(self, seconds: float) -> None:
        """Wait, though never beyond the end of the test."""
        cast("_Server", self.server).stub.stopping.wait(min(seconds, LONGEST_SECONDS))


def _events(answer: Answer, body: Body) -> Iterator[str]:
    for chunk in openai_wire.chunks(answer, body):
        yield json.dumps(chunk)
    yield "[DONE]"
