"""The command line as a person runs it: real processes, real files, a model behind real HTTP."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.doubles.extractor import extract_by_rules
from tests.doubles.openai_answers import Answer, Failed
from tests.doubles.openai_stub import OpenAIStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.doubles.openai_wire import Body

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "langchain_hybrid_memory.cli"]
SECONDS = 60.0
INTRODUCTION = """\
Hi, I'm Alex and I live in Lisbon.
My friend Sarah works at Google as a software engineer.
I'm planning a trip to Japan in March.
"""


@dataclass
class _Said:
    """A message as the scripted extractor reads it."""

    text: str


def brain(body: Body) -> Any:
    """Extract by rule, and answer with how many words the prompt held about what was asked."""
    if "response_format" in body:
        messages: Any = [_Said(message["content"]) for message in body["messages"]]
        return extract_by_rules(messages, {})
    prompt = body["messages"][-1]["content"]
    return "You live in " + (" then ".join(town for town in ("Lisbon", "Porto") if town in prompt) or "nowhere I know")


def slow(body: Body) -> Any:
    return brain(body) if "response_format" in body else Answer("word " * 60, slow_seconds=0.25)


@dataclass
class Shell:
    """Runs the program on one memory directory."""

    stub: OpenAIStub
    path: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "OPENAI_BASE_URL": self.stub.base_url,
            "OPENAI_API_KEY": "stub",
            "OPENAI_MODEL": "stub",
            "PYTHONWARNINGS": "default",
        }

    def line(self, command: str, *arguments: str) -> list[str]:
        where = ["--path", str(self.path), "--embedding", "openai:text-embedding-3-small", "--user", "alex"]
        return [*PROGRAM, command, *arguments, *where]

    def run(self, command: str, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own program
            self.line(command, *arguments),
            input=said,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            cwd=ROOT,
            env=self.environment,
            check=False,
        )

    def start(self, command: str, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own program
            self.line(command, *arguments), cwd=ROOT, env=self.environment, **streams
        )


@pytest.fixture
def shell(tmp_path: Path, openai_stub: OpenAIStub) -> Shell:
    openai_stub.brain = brain
    return Shell(openai_stub, tmp_path / "memory")


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < end, "nothing happened for too long"
        time.sleep(0.02)


def write_lines(path: Path, count: int) -> Path:
    records = (
        {"thread": f"t{n % 3}", "role": "user", "text": f"message number {n}", "id": str(n)} for n in range(count)
    )
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_person_is_remembered_by_the_next_processes(shell: Shell) -> None:
    first = shell.run("chat", said=INTRODUCTION)
    assert (first.returncode, first.stdout.count("> ")) == (0, 3)
    assert "learned: " in first.stdout
    assert "stub at http://127.0.0.1" in first.stderr
    second = shell.run("chat", said="Where do I live?\nActually I moved to Porto last week.\n")
    assert "recalled " in second.stdout
    assert "You live in Lisbon" in second.stdout
    assert "superseded" in second.stdout
    third = shell.run("chat", said="Where do I live?\n/memory\n")
    assert "Porto" in third.stdout
    assert "lives in Lisbon" not in third.stdout.split("> /memory")[1]
    assert "Warning" not in first.stderr + second.stderr + third.stderr


def test_interrupting_a_reply_keeps_the_message(shell: Shell) -> None:
    shell.stub.brain = slow
    process = shell.start("chat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"My boat is red.\nnever sent\n")
    process.stdin.flush()
    while b"word" not in process.stdout.readline(30):
        assert process.poll() is None
    interrupted_at = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert time.monotonic() - interrupted_at < 10
    assert b"stopped; nothing is lost" in err
    assert b"Traceback" not in err
    assert b"never sent" not in out
    found = shell.run("search", "boat")
    assert found.stdout.count("My boat is red.") == 1
    shell.stub.brain = brain
    shell.run(
        "chat",
        said="What about my boat?\n",
    )
    (asked,) = [r.body for r in shell.stub.requests if "boat?" in json.dumps(r.body) and r.body.get("stream")]
    assert "My boat is red." in asked["messages"][-1]["content"]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


@dataclass
class Typist:
    """A person at a terminal."""

    process: subprocess.Popen[bytes]
    screen: int
    shown: str = ""

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def sees(self, text: str) -> None:
        """Wait until a text is on the screen; what stands before it is not looked at again."""
        until(lambda: text in self.reads())
        self.shown = self.shown.split(text, 1)[1]

    def asks_until(self, question: str, answer: str) -> None:
        """Type a question now and then until the answer is on the screen."""
        asked = [0.0]

        def is_answered() -> bool:
            if time.monotonic() - asked[-1] > 1:
                asked.append(time.monotonic())
                self.type(question)
            return answer in self.reads()

        until(is_answered)
        self.sees(answer)

    def reads(self) -> str:
        os.set_blocking(self.screen, False)
        try:
            self.shown += os.read(self.screen, 65_536).decode(errors="replace")
        except BlockingIOError:
            assert self.process.poll() is None, self.shown
        return self.shown

    def interrupts(self) -> None:
        self.process.send_signal(signal.SIGINT)


def test_a_person_at_a_terminal_can_stop_replies_and_leave(shell: Shell, terminal: tuple[int, int]) -> None:
    screen, inner = terminal
    process = shell.start("chat", stdin=inner, stdout=inner, stderr=inner)
    person = Typist(process, screen)
    person.sees("> ")
    person.type("I live in Lisbon.\n")
    person.sees("You live in ")
    person.sees("> ")
    shell.stub.brain = slow
    person.type("Tell me a long story.\n")
    person.sees("word word")
    person.interrupts()
    person.sees("stopped; nothing is lost")
    person.sees("> ")
    shell.stub.brain = brain
    person.type("/forget everything\n")
    person.sees("Type yes: ")
    person.type("no\n")
    person.sees("nothing was forgotten")
    person.asks_until("/memory\n", "  1. ")  # a moment after the last turn
    person.sees("> ")
    person.interrupts()
    assert process.wait(SECONDS) == 0
    assert "Tell me a long story." in shell.run("search", "story").stdout


def test_a_second_interrupt_leaves_at_once_and_the_rest_stays_queued(shell: Shell, terminal: tuple[int, int]) -> None:
    screen, inner = terminal
    shell.stub.brain = lambda body: Answer("{}", slow_seconds=9) if "response_format" in body else "Hello"
    process = shell.start("chat", stdin=inner, stdout=inner, stderr=inner)
    person = Typist(process, screen)
    person.sees("> ")
    person.type("I live in Lisbon.\n")
    person.sees("Hello")
    person.sees("> ")
    person.interrupts()
    person.sees("learning from 1 turn")
    person.interrupts()
    person.sees("1 turn stays queued")
    person.interrupts()
    interrupted_at = time.monotonic()
    process.wait(SECONDS)
    assert time.monotonic() - interrupted_at < 3
    shell.stub.brain = brain
    assert "learned: " in shell.run("chat", said="Hello\n").stdout


def test_a_failing_endpoint_costs_one_line_and_the_conversation_goes_on(shell: Shell) -> None:
    shell.stub.chat += [Failed(400, "no such model")]
    result = shell.run("chat", said="My boat is red.\nHello\n")
    assert result.returncode == 0
    (line,) = [line for line in result.stderr.splitlines() if "no such model" in line]
    assert line.startswith("no reply: ")
    assert "You live in nowhere I know" in result.stdout
    assert "Traceback" not in result.stderr
    assert "My boat is red." in shell.run("search", "boat").stdout


def test_a_killed_import_is_finished_by_the_next_without_duplicates(shell: Shell, tmp_path: Path) -> None:
    count = 2_000
    history = write_lines(tmp_path / "history.jsonl", count)
    process = shell.start("import", str(history), "--no-extract", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    until(lambda: len(shell.stub.requests_to("/v1/embeddings")) >= 2 or process.poll() is not None)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    result = shell.run("import", str(history), "--no-extract")
    assert result.returncode == 0, result.stderr
    known = int(result.stdout.split("(")[1].split(" were known")[0].replace(",", ""))
    assert 0 < known < count
    again = shell.run("import", str(history), "--no-extract")
    assert again.stdout == f"imported 0 messages of 3 threads ({count:,} were known already), indexed 0\n"
    found = shell.run("search", "message number", "--limit", str(2 * count))
    assert found.stdout.count("message number ") == count


def test_an_import_learns_facts_unless_told_not_to(shell: Shell, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text('{"thread": "t", "role": "user", "text": "I live in Lisbon.", "time": "2024-05-01"}\n')
    assert shell.run("import", str(history), "--no-extract").returncode == 0
    assert shell.stub.requests_to("/v1/chat/completions") == []
    history.write_text('{"thread": "t2", "role": "user", "text": "I moved to Porto.", "time": "2024-06-01"}\n')
    result = shell.run("import", str(history))
    assert "learned: " in result.stdout
    assert "learning from turns" in result.stderr
    assert "fact from t2" in shell.run("search", "Porto").stdout


def test_an_error_of_ours_is_one_line_without_a_traceback(shell: Shell) -> None:
    result = shell.run("chat", "--model", "nonsense")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: cannot use the chat model 'nonsense'")


def test_an_unreadable_line_is_named_and_nothing_before_it_is_lost(shell: Shell, tmp_path: Path) -> None:
    history = write_lines(tmp_path / "history.jsonl", 3)
    with history.open("a") as file:
        file.write('{"thread": "t", "role": "user"}\n')
    result = shell.run("import", str(history), "--no-extract")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert f'{history}, line 4: no "text"; expected a line such as' in last
    assert "The 3 messages before it are imported" in last
    assert shell.run("search", "message number").stdout.count("message number") == 3


def test_a_memory_in_use_is_refused_with_the_process_that_has_it(shell: Shell) -> None:
    holder = shell.start("chat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert holder.stderr
    assert b"chat model" in holder.stderr.readline()
    result = shell.run("search", "boat")
    assert result.returncode == 1
    assert f"in use by process {holder.pid}" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    holder.communicate()
    assert holder.returncode == 0
