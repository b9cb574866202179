"""Histories are read in three formats, told apart by their content."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory.cli.formats import History, Turn, read_history
from langchain_hybrid_memory.errors import ImportFormatError

if TYPE_CHECKING:
    from pathlib import Path

HELLO = {"thread": "t1", "role": "user", "text": "Hello", "time": "2024-05-01T10:00:00Z", "id": "m1"}
LOCOMO = {
    "sample_id": "conv-1",
    "qa": [],
    "conversation": {
        "speaker_a": "Caroline",
        "session_10_date_time": "9:00 am on 1 June, 2023",
        "session_10": [{"speaker": "Melanie", "dia_id": "D10:1", "text": "Ten"}],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [
            {"speaker": "Caroline", "dia_id": "D2:1", "text": "Hey Mel!"},
            {"speaker": "Melanie", "dia_id": "D2:2", "text": "Look!", "blip_caption": "a photo of a dog"},
        ],
        "session_11_date_time": "9:00 am on 2 June, 2023",
    },
}
COMMON = {
    "name": "set",
    "conversations": [
        {
            "id": "c1",
            "turns": [
                {"id": "0", "speaker": "user", "role": "user", "text": "Hi", "time": "2024-03-15", "session": "s1"},
                {"id": "1", "speaker": "assistant", "role": "assistant", "text": "Yes?", "time": None, "session": "s1"},
                {"id": "2", "speaker": "Bart", "role": None, "text": "Fries", "time": None, "session": None},
            ],
        },
        {"id": "c2", "turns": [{"id": "0", "speaker": "Emily", "role": "user", "text": "I am Emily"}]},
    ],
}


def write(folder: Path, *lines: Any, name: str = "history") -> Path:
    path = folder / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def read(path: Path, **options: Any) -> list[Turn]:
    return list(read_history(path, **options).turns)


def history_of(folder: Path, document: Any, **dump: Any) -> History:
    return read_history(write(folder, json.dumps(document, **dump)))


def test_lines_become_turns_with_time_role_and_id(tmp_path: Path) -> None:
    assert read(write(tmp_path, HELLO)) == [
        Turn("t1", "m1", "user", None, "Hello", datetime(2024, 5, 1, 10, tzinfo=UTC))
    ]


@pytest.mark.parametrize(
    ("given", "role", "speaker"),
    [
        ({"role": "human"}, "user", None),
        ({"role": "AI"}, "assistant", None),
        ({"role": "tool"}, "tool", None),
        ({"speaker": "Caroline"}, "user", "Caroline"),
        ({"speaker": "Assistant"}, "assistant", None),
        ({"speaker": "Emily", "role": "user"}, "user", "Emily"),
        ({"speaker": "Bart", "role": None}, "user", "Bart"),
    ],
)
def test_role_comes_from_role_or_else_from_speaker(
    tmp_path: Path, given: dict[str, Any], role: str, speaker: str | None
) -> None:
    (turn,) = read(write(tmp_path, {"thread": "t", "text": "Hello", **given}))
    assert (turn.role, turn.speaker) == (role, speaker)


def test_system_words_blank_texts_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, {**HELLO, "role": "system"}, "", {**HELLO, "text": "  "}, HELLO)
    assert [turn.text for turn in read(path)] == ["Hello"]


def test_times_without_a_zone_are_utc_and_may_be_missing(tmp_path: Path) -> None:
    path = write(tmp_path, {**HELLO, "time": "2024-05-01"}, {**HELLO, "time": None, "id": "m2"})
    assert [turn.at for turn in read(path)] == [datetime(2024, 5, 1, tzinfo=UTC), None]


def test_messages_without_ids_get_the_same_ones_each_time_and_equal_ones_stay_two(tmp_path: Path) -> None:
    anonymous = {"thread": "t", "role": "user", "text": "Yes"}
    path = write(tmp_path, anonymous, {**anonymous, "text": "No"}, anonymous)
    ids = [turn.id for turn in read(path)]
    assert len(set(ids)) == 3
    assert [turn.id for turn in read(path)] == ids
    longer = write(tmp_path, {**anonymous, "text": "Before"}, anonymous, name="another export")
    assert read(longer)[1].id == ids[0]


def test_the_same_message_twice_is_read_once(tmp_path: Path) -> None:
    assert len(read(write(tmp_path, HELLO, HELLO))) == 1


def test_an_id_that_stands_for_two_messages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match=r"line 2: the id 'm1' stands for another message"):
        read(write(tmp_path, HELLO, {**HELLO, "text": "Bye"}))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"thread": "t1", "role"', "not JSON"),
        ("[1]", 'no "thread"'),
        ({"role": "user", "text": "x"}, 'no "thread"'),
        ({"thread": "t", "role": "user"}, 'no "text"'),
        ({"thread": "t", "text": "x"}, 'neither "role" nor "speaker"'),
        ({"thread": "t", "text": "x", "role": "boss"}, "the role is 'boss'"),
        ({**HELLO, "time": "yesterday"}, "the time is 'yesterday'"),
        ({**HELLO, "time": "0001-01-01T00:00:00+14:00"}, "the time is '0001-01-01T00:00:00+14:00'"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_an_unreadable_line_is_named_after_those_before_it_were_read(tmp_path: Path, line: Any, problem: str) -> None:
    path = write(tmp_path, HELLO, "", line, {**HELLO, "id": "m9"})
    turns = read_history(path).turns
    assert next(turns).text == "Hello"
    with pytest.raises(ImportFormatError) as raised:
        next(turns)
    assert str(raised.value).startswith(f"{path}, line 3: {problem}")
    assert '; expected a line such as {"thread"' in str(raised.value)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin1"
    path.write_bytes(json.dumps(HELLO).encode() + b'\n{"thread": "t", "role": "user", "text": "caf\xe9"}\n')
    with pytest.raises(ImportFormatError, match="line 2: not JSON"):
        read(path)


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "marked"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(HELLO).encode())
    assert len(read(path)) == 1


def test_lines_are_read_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, *({**HELLO, "id": str(number), "text": "x" * 1_000} for number in range(100)))
    history = read_history(path)
    assert next(history.turns).id == "0"
    with path.open("a") as file:
        file.write(json.dumps({**HELLO, "id": "late"}) + "\n")
    assert [turn.id for turn in history.turns][-1] == "late"


@pytest.mark.parametrize("document", [LOCOMO, [LOCOMO]])
@pytest.mark.parametrize("indent", [None, 1])
def test_locomo_sessions_become_threads_in_order(tmp_path: Path, document: Any, indent: int | None) -> None:
    history = history_of(tmp_path, document, indent=indent)
    assert (history.format, history.total) == ("LoCoMo", 3)
    assert [(turn.thread, turn.id, turn.speaker) for turn in history.turns] == [
        ("conv-1/session_2", "D2:1", "Caroline"),
        ("conv-1/session_2", "D2:2", "Melanie"),
        ("conv-1/session_10", "D10:1", "Melanie"),
    ]


def test_locomo_turns_are_a_minute_apart_from_the_time_of_the_session(tmp_path: Path) -> None:
    times = [turn.at for turn in history_of(tmp_path, LOCOMO).turns]
    assert times[:2] == [datetime(2023, 5, 8, 13, 56, tzinfo=UTC), datetime(2023, 5, 8, 13, 57, tzinfo=UTC)]


def test_locomo_captions_stand_behind_the_text(tmp_path: Path) -> None:
    assert [turn.text for turn in history_of(tmp_path, LOCOMO).turns][1] == "Look! [image: a photo of a dog]"


def test_locomo_time_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    conversation = {**LOCOMO["conversation"], "session_2_date_time": "soon"}  # type: ignore[dict-item]  # JSON
    with pytest.raises(ImportFormatError, match=r"conv-1/session_2: the session's time is 'soon'"):
        list(history_of(tmp_path, {**LOCOMO, "conversation": conversation}).turns)


@pytest.mark.parametrize("indent", [None, 1])
def test_common_conversations_become_threads_by_session(tmp_path: Path, indent: int | None) -> None:
    history = history_of(tmp_path, COMMON, indent=indent)
    assert (history.format, history.total) == ("conversations", 4)
    assert [(turn.thread, turn.id, turn.role, turn.speaker) for turn in history.turns] == [
        ("c1/s1", "0", "user", None),
        ("c1/s1", "1", "assistant", None),
        ("c1", "2", "user", "Bart"),
        ("c2", "0", "user", "Emily"),
    ]


@pytest.mark.parametrize(("document", "wanted"), [(COMMON, "c2"), ([LOCOMO, {**LOCOMO, "sample_id": "c2"}], "c2")])
def test_one_conversation_can_be_picked(tmp_path: Path, document: Any, wanted: str) -> None:
    path = write(tmp_path, document)
    assert {turn.thread.partition("/")[0] for turn in read(path, conversation=wanted)} == {wanted}
    with pytest.raises(ImportFormatError, match="no conversation 'c9'; expected one of c"):
        read_history(path, conversation="c9")


def test_one_thread_of_lines_can_be_picked(tmp_path: Path) -> None:
    path = write(tmp_path, HELLO, {**HELLO, "thread": "t2"})
    assert [turn.thread for turn in read(path, conversation="t2")] == ["t2"]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("", "line 1: the file is empty"),
        ("hello", "line 1"),
        ("[]", "line 1"),
        ('[\n{"a": 1},\nb]', "line 3"),
        ('{"conversation": []}', "line 1"),
    ],
)
def test_what_is_none_of_the_formats_is_refused_with_what_is_expected(tmp_path: Path, content: str, place: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(ImportFormatError, match=rf"{place}.*; expected JSON lines of messages"):
        read_history(path)


@pytest.mark.parametrize("turns", [None, ["hello"], [{"text": 3, "role": "user"}]])
def test_a_conversation_that_cannot_be_read_is_named(tmp_path: Path, turns: Any) -> None:
    with pytest.raises(ImportFormatError, match=r"conversation (1|c1, turn 1): "):
        list(history_of(tmp_path, {"conversations": [{"id": "c1", "turns": turns}]}).turns)
