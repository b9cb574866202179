"""Secrets are taken out before anything is remembered, plain talk stays, and no text takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import HybridMemory, RecordConfig, SummaryConfig, without_secrets
from langchain_hybrid_memory.redaction import Remembering, keep_everything
from tests.doubles.extractor import extracting_model
from tests.doubles.life import SECONDS, configured, store_in_memory
from tests.doubles.scripted import ScriptedChatModel

if TYPE_CHECKING:
    from tests.doubles.doors import Door

# Put together here, so that no scanner takes them for secrets of ours.
KEY_LINES = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"] * 3)
SECRETS = {
    "cloud key": [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ASIA" + "Y34FZKBOKMUTVV7A",
        "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
        "LTAI" + "5tAbCdEfGh1234567890",
    ],
    "token": [
        "ghp_" + "016C7f8a9B2c3D4e5F6g7H8i9J0k1L2m3N4o",
        "github_pat_" + "11ABCDEFG0aBcDeFgHiJkLmNoPqRsTuVwXyZ",
        "glpat-" + "x1Y2z3A4b5C6d7E8f9G0",
        "xoxb-" + "123456789012-abcdefghijkl",
        "sk-proj-" + "Ab12Cd34Ef56Gh78Ij90Kl12",
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345",
        "SG." + "ngeVfQFYQlKU0ufo8x5d1A." + "TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr4",
        "123456789:AA" + "HdqTcvCH1vGWJxfSeofSAs0K5PALDsawQ",
        "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    ],
    "private key": [
        f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_LINES}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n{KEY_LINES}\n-----END PGP PRIVATE KEY BLOCK-----",
        f"-----BEGIN PRIVATE KEY-----\n{KEY_LINES}",
    ],
    "card number": ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "3782 822463 10005"],
}
IN_PLACE = [
    (
        "postgresql://admin:p@ssw0rd@db.internal:5432/users",
        "postgresql://admin:[redacted: password]@db.internal:5432/users",
    ),
    ("redis://:hunter22@cache/0", "redis://:[redacted: password]@cache/0"),
    ("Authorization: Bearer abcdefghij0123456789", "Authorization: Bearer [redacted: token]"),
    ("password: hunter22!", "password: [redacted: password]"),
    ('{"api_key": "a1b2c3d4e5"}', '{"api_key": "[redacted: password]"}'),
    ("My wifi password is tree42house, ok?", "My wifi password is [redacted: password], ok?"),
    ("AccountKey=" + "a1B2" * 21 + "==;Suffix=x", "AccountKey=[redacted: cloud key];Suffix=x"),
    ("card 4111 1111 1111 1111 123 12/27", "card [redacted: card number] 123 12/27"),
]
PLAIN = [
    "My password is important to me.",
    "The password is the name of my first pet.",
    "password = request.form['password2']",
    "token = generate_token(user_id2)",
    "Call me at +44 20 7946 0958 or 555-0199 5550.",
    "Order 1234567890123456 and 4111 1111 1111 1112 shipped.",
    "It took 1700000000000 ms, commit 9fceb02d0ae598e95dc970b74767f19372d6197a.",
    "https://example.org:8080/a@b and mail alex@example.com",
    "Use sk-learn, the disk-usage-of-a-very-long-name and task-oriented-talk.",
    "-----BEGIN PRIVATE KEY----- is how such a file starts.",
    "0000 0000 0000 0000",
    "她的电话是 13800138000 吗?",
]
HOSTILE = [
    "4111 1111 ",
    "4111 1111 1111 1111 ",
    "eyJ",
    "-eyJ.",
    "-----BEGIN PRIVATE KEY-----\nAAAA",
    "a://b:c",
    "passwordis a1",
    "password: ",
    "sk-",
    "xoxb-",
    "AKIA",
    "ghp_",
]


@pytest.mark.parametrize(("kind", "secret"), [(kind, secret) for kind, each in SECRETS.items() for secret in each])
def test_secret_is_taken_out_and_its_surroundings_stay(kind: str, secret: str) -> None:
    assert without_secrets(f"Take {secret} and go.") == f"Take [redacted: {kind}] and go."


@pytest.mark.parametrize(("text", "left"), IN_PLACE)
def test_only_the_secret_part_is_taken_out(text: str, left: str) -> None:
    assert without_secrets(text) == left


@pytest.mark.parametrize("text", PLAIN)
def test_plain_talk_stays(text: str) -> None:
    assert without_secrets(text) == text


SOME = [secret for each in SECRETS.values() for secret in each] + [text for text, _ in IN_PLACE] + PLAIN


@given(st.lists(st.sampled_from([*SOME, " ", "\n", ":", "password", "is", "@", "-", "4"])).map("".join))
def test_what_was_redacted_stays_as_it_is(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", HOSTILE)
def test_megabyte_made_to_be_slow_is_not(seed: str) -> None:
    """Anything worse than linear would take hours here, and hit the time limit."""
    text = (seed * 1_000_000)[:1_000_000] + " eyj -----begin akia accountkey= ghp_ sk- xox bearer :// pwd"
    assert len(without_secrets(text)) < 2 * len(text)


def test_long_text_is_cut_after_it_was_redacted() -> None:
    remembered = Remembering(without_secrets, max_characters=10)
    assert remembered("abcdef 4111111111111111") == "abcdef [r…"
    assert len(remembered("x" * 11)) == 10
    assert remembered("x" * 10) == "x" * 10


def test_each_text_is_redacted_once() -> None:
    asked: list[str] = []

    def redact(text: str) -> str:
        asked.append(text)
        return text.upper()

    remembered = Remembering(redact, max_characters=9)
    assert [remembered(text) for text in ("a", "a", "B")] == ["A", "A", "B"]
    assert (asked, remembered.redacted) == (["a", "B"], {"a"})


CANARY = SECRETS["token"][0]


async def test_secret_reaches_no_memory_and_no_model_but_the_one_that_answers(call: Door) -> None:
    store, brain = store_in_memory(), extracting_model(replies=lambda _: "A digest.")
    answers = ScriptedChatModel(replies=lambda _: f"I noted {CANARY}.")
    summary = SummaryConfig(after_messages=2, keep_messages=1)
    memory = HybridMemory(brain, store=store, checkpointer=InMemorySaver(), extraction="manual", summary=summary)
    graph, config = memory.graph(answers), configured("alex", "t")
    for text in (f"I live in Lisbon, my token is {CANARY}.", "I prefer tea."):
        await call(graph, "invoke", {"messages": [("user", text)]}, config)
    await call(memory, "flush", SECONDS)
    assert len(brain.calls) == 2, "extraction and summary both ran"
    assert all("[redacted: token]" in made.prompt for made in brain.calls)
    assert CANARY not in repr(brain.calls) + repr([item.value for item in store.search((), limit=100)])
    assert CANARY in answers.calls[0].prompt, "the model that answers reads the thread as it is"


async def test_redacted_messages_are_counted_once_each_in_the_ledger_of_their_turn(call: Door) -> None:
    memory = HybridMemory(None, store=store_in_memory(), checkpointer=InMemorySaver(), extraction="manual")
    graph = memory.graph(ScriptedChatModel(replies=lambda _: "Yes."))
    config = configured("alex", "t")
    for text in ("Hello", f"Keep {CANARY}", "Thanks"):
        await call(graph, "invoke", {"messages": [("user", text)]}, config)
    entries = [entry for entry in memory.status().turns if entry.step == "redact"]
    assert [(entry.cost.redacted, len(entry.turns)) for entry in entries] == [(1, 1)]
    assert memory.status().steps["redact"].redacted == 1


async def test_redaction_can_be_switched_off(call: Door) -> None:
    store = store_in_memory()
    memory = HybridMemory(None, store=store, redact=None, extraction="manual")
    await call(memory.for_user("alex"), "record", [("user", CANARY)], thread_id="t")
    assert [item.value["text"] for item in store.search(("memory", "user", "alex", "messages"))] == [CANARY]
    assert memory.status().steps.get("redact") is None


async def test_recorded_text_is_bounded_and_the_thread_is_not(call: Door) -> None:
    store = store_in_memory()
    memory = HybridMemory(None, store=store, record=RecordConfig(max_characters=50), extraction="manual")
    graph = memory.graph(ScriptedChatModel(replies=lambda _: "Yes."))
    config = configured("alex", "t")
    done = await call(graph, "invoke", {"messages": [("user", "x" * 1_000)]}, config)
    assert [len(message.text) for message in done["messages"]] == [1_000, 4]
    said = store.search(("memory", "user", "alex", "messages"))
    assert {item.value["role"]: len(item.value["text"]) for item in said} == {"user": 50, "assistant": 4}


def test_nothing_is_redacted_where_nothing_should_be() -> None:
    assert keep_everything(CANARY) == CANARY
