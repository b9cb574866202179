"""Bad input ends a command with one line that names the remedy, and with a code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from langchain_hybrid_memory.cli.app import app

REMOTE = ["--embedding", "openai:text-embedding-3-small"]


@pytest.fixture(autouse=True)
def _server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "stub")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chat"], "answers at OPENAI_BASE_URL 'http://127.0.0.1:9/v1'"),
        (["chat", "--model", "nonsense"], "cannot use the chat model 'nonsense'"),
        (["chat", "--model", "none", "--embedding", "nonsense"], "unknown embedding 'nonsense'"),
        (["chat", "--model", "none", "--user", ""], "user_id is ''"),
        (["chat", "--model", "none", "--path", __file__], "test_app.py"),
        (["search", "x", "--path", "/nowhere/at/all"], "there is no memory in '/nowhere/at/all'"),
        (["search", "x", "--user", ""], "there is no memory"),
        (["rebuild", "--model", "none"], "there is no memory"),
        (["import", __file__, "--no-extract"], "line 1: not JSON .*; expected JSON lines of messages"),
        (["import", __file__, "--model", "none"], "line 1: not JSON .*; expected JSON lines of messages"),
    ],
)
def test_an_error_of_ours_is_one_line_and_code_one(tmp_path: Path, arguments: list[str], said: str) -> None:
    command, *rest = arguments
    where = ["--path", str(tmp_path / "memory"), "--user", "alex", *REMOTE]
    result = CliRunner().invoke(app, [command, *where, *rest], input="Hello\n")
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert re.search(said, line)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "/nowhere/at/all"], "does not exist"),
        (["search"], "Missing argument"),
        (["search", "x", "--limit", "0"], "Invalid value"),
        (["nonsense"], "No such command"),
    ],
)
def test_bad_usage_is_code_two(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_user_is_the_one_at_this_computer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "sam")
    arguments = ["chat", "--model", "none", "--path", str(tmp_path), *REMOTE]
    result = CliRunner().invoke(app, arguments, input="/memory\n")
    assert "memory of sam in" in result.stderr
    assert result.exit_code == 0


def test_a_computer_that_does_not_know_its_user_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr("getpass.getuser", nobody)
    result = CliRunner().invoke(app, ["chat", "--model", "none"])
    assert result.exit_code == 2
    assert "--user" in result.stderr
