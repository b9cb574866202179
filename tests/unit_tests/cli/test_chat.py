"""A conversation at the terminal is answered, remembered and shown for what it is."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.cli.chat import Setting, chat
from langchain_hybrid_memory.cli.chat_models import Choice
from langchain_hybrid_memory.cli.checkpoints import FILE
from langchain_hybrid_memory.cli.commands import HELP
from langchain_hybrid_memory.cli.learning import describe_report
from langchain_hybrid_memory.cli.talk import SYSTEM_PROMPT, describe_recalled
from langchain_hybrid_memory.errors import StorageError
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import learning_model
from tests.doubles.scripted import Break, ScriptedChatModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from langchain_hybrid_memory import Fact

INTRODUCTION = ("Hi, I'm Alex and I live in Lisbon.", "My friend Sarah works at Google as a software engineer.")


def answer(messages: Sequence[Any]) -> str:
    """Reply in a few words; a summary is asked for with a system message that says so."""
    return f"Reply to message {len(messages)}."


@dataclass
class Terminal:
    """Runs one process's worth of chat after another on the same files."""

    path: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    embedding: WordEmbedding = field(default_factory=WordEmbedding)

    def pipe(self, *lines: str, model: ScriptedChatModel | None = None, thread: str = "t1", user: str = "alex") -> str:
        """Pipe a conversation in; returns standard output."""
        self.monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        choice = Choice(model, "scripted")
        with open_store(self.path, embedding=self.embedding) as store:
            assert chat(choice, store, Setting(user_id=user, thread_id=thread, path=self.path)) == 0
        captured = self.capsys.readouterr()
        self.errors = captured.err
        return captured.out

    def facts(self, user: str = "alex") -> list[Fact]:
        with open_store(self.path, embedding=self.embedding) as store, HybridMemory(None, store=store) as memory:
            return memory.for_user(user).facts(current_only=False)

    def recall(self, query: str, user: str = "alex") -> list[str]:
        with open_store(self.path, embedding=self.embedding) as store, HybridMemory(None, store=store) as memory:
            return [hit.text for hit in memory.for_user(user).recall(query)]


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path, monkeypatch, capsys)


def talker(**options: Any) -> ScriptedChatModel:
    return learning_model(**{"replies": answer, **options})


def test_a_piped_conversation_reads_as_message_and_reply(terminal: Terminal) -> None:
    shown = terminal.pipe("Hello", "", "   ", "Bye", model=talker())
    assert shown == "> Hello\nReply to message 2.\n> Bye\nReply to message 4.\n"
    assert "chat model: scripted; embedding: minilm; memory of alex in" in terminal.errors


def test_the_end_of_a_pipe_waits_until_everything_is_learned(terminal: Terminal) -> None:
    shown = terminal.pipe(*INTRODUCTION, model=talker(token_delay_seconds=0.02))
    assert "learning from" in terminal.errors
    assert "learned: " in shown
    assert "Lisbon" in shown.split("Google as a software engineer.", 1)[1]
    assert len(terminal.facts()) == 4


def test_the_next_process_recalls_in_one_line_and_gives_it_to_the_model(terminal: Terminal) -> None:
    terminal.pipe(*INTRODUCTION, model=talker())
    model = talker()
    shown = terminal.pipe("What do you know about Sarah?", model=model, thread="t2").splitlines()
    assert shown[0] == "> What do you know about Sarah?"
    assert shown[1].startswith("recalled ")
    assert "Sarah" in shown[1]
    assert shown[2] == "Reply to message 2."
    (asked,) = [call for call in model.calls_of("chat") if call.streamed]
    assert "Sarah works at Google" in asked.prompt
    assert asked.prompt.startswith(SYSTEM_PROMPT)


def test_a_thread_goes_on_in_the_next_process(terminal: Terminal) -> None:
    terminal.pipe("Hello", model=talker())
    assert "Reply to message 4." in terminal.pipe("Hello again", model=talker())


def test_a_newer_fact_is_said_to_supersede(terminal: Terminal) -> None:
    terminal.pipe("I live in Lisbon.", model=talker())
    shown = terminal.pipe("Actually I moved to Porto last week.", model=talker(), thread="t2")
    assert "1 superseded" in shown
    assert [fact.is_superseded for fact in terminal.facts() if "Lisbon" in fact.text] == [True]


@pytest.mark.parametrize("failure", [ConnectionError("refused"), Break(ConnectionError("refused"), after_tokens=2)])
def test_a_model_that_fails_costs_one_line_and_no_message(terminal: Terminal, failure: Any) -> None:
    shown = terminal.pipe("My boat is red.", "Hello", model=talker(failures={("chat", 0): failure}))
    (line,) = [line for line in terminal.errors.splitlines() if "refused" in line]
    assert line.startswith("no reply: ConnectionError: refused; your message is kept")
    assert shown.endswith("> Hello\nReply to message 3.\n")
    assert "My boat is red." in terminal.recall("boat")
    assert terminal.recall("boat").count("My boat is red.") == 1


def test_an_embedding_that_fails_costs_neither_the_reply_nor_the_message(
    terminal: Terminal, caplog: pytest.LogCaptureFixture
) -> None:
    terminal.embedding.error = ConnectionError("no embeddings")
    shown = terminal.pipe("My boat is red.", model=talker())
    assert "memory could not be asked: ConnectionError" in shown
    assert "recall failed and was left out of this turn: ConnectionError" in caplog.text
    assert "no reply" not in terminal.errors
    terminal.embedding.error = None
    terminal.pipe("Hello", model=talker(), thread="t2")
    assert terminal.recall("boat").count("My boat is red.") == 1


def test_without_a_model_each_message_shows_what_is_recalled_and_is_recorded(terminal: Terminal) -> None:
    shown = terminal.pipe("My boat is red.", "boat?").splitlines()
    assert shown[:3] == ["> My boat is red.", "nothing recalled", "> boat?"]
    assert shown[3].endswith("My boat is red.")
    assert len(shown) == 4
    assert set(terminal.recall("boat")) == {"My boat is red.", "boat?"}


def test_without_a_model_a_failing_embedding_costs_one_line_and_no_message(terminal: Terminal) -> None:
    terminal.embedding.error = ConnectionError("no embeddings")
    terminal.pipe("My boat is red.")
    assert "nothing recalled: ConnectionError: no embeddings; your message is kept" in terminal.errors
    terminal.embedding.error = None
    terminal.pipe("Hello")
    assert "My boat is red." in terminal.recall("boat")


def test_memory_lists_numbered_facts_once_they_are_learned(terminal: Terminal) -> None:
    shown = terminal.pipe("I live in Lisbon.", "/memory", model=talker()).splitlines()
    assert shown[-1].startswith("  1. ")
    assert "Lisbon" in shown[-1]


def test_entities_and_summary_can_be_looked_at(terminal: Terminal) -> None:
    shown = terminal.pipe(*INTRODUCTION, "/entities", "/summary", model=talker())
    assert "  Sarah (person)" in shown
    assert "no summary yet" in shown
    talk = [f"message {number}" for number in range(11)]
    assert "Reply to message 2." in terminal.pipe(*talk, "/summary", model=talker(), thread="t9").split("/summary")[1]


def test_a_fact_is_forgotten_by_its_number(terminal: Terminal) -> None:
    shown = terminal.pipe("I live in Lisbon.", "/memory", "/forget 1", "/forget 9", "/memory", model=talker())
    assert "forgotten (facts: 1" in shown
    assert "there is no number 9" in shown
    assert shown.rstrip().endswith("no facts yet: they are learned after a reply")
    assert terminal.facts() == []


def test_numbers_keep_their_meaning_until_listed_again(terminal: Terminal) -> None:
    terminal.pipe(*INTRODUCTION, "/memory", "/forget 1", "/forget 2", model=talker())
    assert [word for word in ("Alex", "Lisbon", "Google") if any(word in fact.text for fact in terminal.facts())] == [
        "Google"
    ]


def test_everything_is_forgotten_only_when_sure(terminal: Terminal) -> None:
    shown = terminal.pipe(*INTRODUCTION, "/forget everything", "/memory", model=talker())
    assert "nothing was forgotten; to forget everything say /forget everything yes" in shown
    assert len(terminal.facts()) == 4
    shown = terminal.pipe("/forget everything yes", "/memory", model=talker(), thread="t2")
    assert "forgotten (" in shown
    assert "no facts yet" in shown
    assert terminal.facts() == []
    assert terminal.recall("Lisbon") == []
    assert not any(b"Lisbon" in path.read_bytes() for path in terminal.path.glob(f"{FILE}*"))


@pytest.mark.parametrize("line", ["/forget", "/forget me", "/forget -1"])
def test_an_unclear_wish_to_forget_forgets_nothing(terminal: Terminal, line: str) -> None:
    assert "say /forget N with a number" in terminal.pipe("I live in Lisbon.", line, model=talker())
    assert len(terminal.facts()) == 1


def test_unknown_commands_are_not_sent_and_help_lists_the_known(terminal: Terminal) -> None:
    shown = terminal.pipe("/nope", "/help", "/quit", "never said", model=talker())
    assert "/nope is not a command; /help lists them" in shown
    assert HELP in shown
    assert "never said" not in shown


def test_a_chat_keeps_few_checkpoints(terminal: Terminal) -> None:
    terminal.pipe(*[f"message {number} " + "word " * 50 for number in range(30)], model=talker())
    assert sum(path.stat().st_size for path in terminal.path.glob(f"{FILE}*")) < 500_000


def test_what_waits_from_the_last_process_is_learned_by_the_next(terminal: Terminal) -> None:
    broken = talker(failures={("structured", number): ConnectionError() for number in range(20)})
    shown = terminal.pipe("I live in Lisbon.", model=broken)
    assert "could not learn everything yet, it stays queued: ConnectionError" in shown
    assert "1 turn stays queued" in terminal.errors
    terminal.pipe("Hello", model=talker(), thread="t2")
    assert len(terminal.facts()) == 1


def test_learning_never_holds_up_the_next_reply(terminal: Terminal) -> None:
    replied: list[float] = []

    def reply(_: Sequence[Any]) -> str:
        replied.append(time.monotonic())
        return "Yes."

    nothing = {"facts": [], "entities": [], "reason": "each of these words takes the slow model its while"}
    slow = ScriptedChatModel(replies=reply, structured=[nothing] * 9, token_delay_seconds=0.2)
    terminal.pipe("One", "Two", model=slow)
    (first, *_) = slow.calls_of("structured")
    assert first.answer
    assert replied[1] - replied[0] < 0.2 * len(first.answer.text.split())


def test_a_checkpoint_file_that_is_damaged_is_an_error_of_ours(terminal: Terminal) -> None:
    (terminal.path / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageError, match=FILE):
        terminal.pipe("Hello", model=talker())


def test_a_report_of_nothing_says_nothing() -> None:
    assert describe_report({"indexed": 3, "learned": [], "calls": 2}) == ""


def test_a_report_names_facts_and_counts_the_rest() -> None:
    report = {"learned": ["A.", "B."], "superseded": 1, "confirmed": 2, "summarized": 10}
    expected = "learned: A. · B.; 1 superseded; 2 confirmed; summarized 10 messages"
    assert describe_report(report) == expected  # type: ignore[arg-type]  # a literal dict


def test_what_was_recalled_is_counted_and_told_by_the_newest_that_is_no_reply() -> None:
    lines = ["[2024-05-01] user: old", "[2024-05-02] A fact.", "[2024-05-03] user: new", "[2024-05-04] assistant: yes"]
    assert describe_recalled(lines) == "recalled 4: [2024-05-03] user: new · [2024-05-02] A fact. · …"
    assert describe_recalled(lines[3:]) == "recalled 1: [2024-05-04] assistant: yes"
