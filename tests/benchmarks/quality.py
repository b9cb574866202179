"""Measures what a model makes of forty messages: `python -m tests.benchmarks.quality --model local --out results.json`.

`quality.json` holds the messages, with the facts and the entities each one gives, by the words that tell them, and the
earlier fact that it ends, where somebody changed their mind. Some messages give nothing: what is kept of them is junk.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from langchain_core.embeddings import Embeddings
from langchain_core.messages import HumanMessage
from rich.console import Console

from langchain_hybrid_memory import Fact, HybridMemory
from langchain_hybrid_memory.cli.chat_models import Choice, choose_chat_model
from langchain_hybrid_memory.embedding import create_embedding
from tests.benchmarks.updates import FIRST_DAY

DATA = Path(__file__).with_suffix(".json")
LATER = 30
"""From this day on people change their minds; what was said before is learned by then."""


def measure(choice: Choice, embedding: Embeddings, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Feed the messages to a fresh memory in two sittings; the figures and everything that was learned."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"extraction": "manual", "extract": choice.extract}
        memory = HybridMemory(choice.model, store=folder, embedding=embedding, **options)
        with memory:
            user = memory.for_user("marta")
            for is_later in (False, True):
                for number, message in enumerate(messages):
                    if (message["day"] >= LATER) is is_later:
                        at = FIRST_DAY + timedelta(days=message["day"], minutes=number)
                        said = [HumanMessage(message["text"], id=str(number))]
                        user.record(said, thread_id=f"day {message['day']}", at=at)
                status = memory.flush()
            facts, entities = user.facts(current_only=False), [entity.name for entity in user.entities()]
    cost = {"calls": status.calls, "prompt_tokens": status.prompt_tokens, "pending": status.pending}
    figures = judge(messages, facts) | compare(messages, entities) | cost | {"seconds": time.monotonic() - started}
    return {"figures": figures, "facts": [shown(fact) for fact in facts], "entities": entities}


def judge(messages: Sequence[Mapping[str, Any]], facts: Sequence[Fact]) -> dict[str, float]:
    """Compare the facts learned with those the messages give, and what was ended with what should have been."""
    wanted = {fact["id"]: fact for message in messages for fact in message["facts"]}
    told = {fact.id: meant(fact, messages) for fact in facts}
    found = {name: [fact for fact in facts if name in told[fact.id]] for name in wanted}
    needed = [name for name, fact in wanted.items() if not fact.get("is_optional")]
    changes = {name: fact["ends"] for name, fact in wanted.items() if "ends" in fact}
    learned = [(new, old) for new, old in changes.items() if found[new] and found[old]]
    made = [(new, old) for new, old in learned if is_changed(found[new], found[old])]
    junk = [fact for fact in facts if not any(messages[int(number)]["facts"] for number in fact.message_ids)]
    ended = [fact for fact in facts if fact.superseded_by and not told[fact.id] & set(changes.values())]
    return {
        "learned": len(facts),
        "precision": sum(bool(told[fact.id]) for fact in facts) / max(1, len(facts)),
        "recall": sum(bool(found[name]) for name in needed) / len(needed),
        "junk": len(junk) / max(1, len(facts)),
        "changes": len(changes),
        "changes_learned": len(learned),
        "changes_made": len(made),
        "superseding": len(made) / len(changes),
        "wrongly_ended": len(ended),
    }


def meant(fact: Fact, messages: Sequence[Mapping[str, Any]]) -> set[str]:
    """Which of the facts of its own message a learned one tells: those whose words, each one of several, it has."""
    text = f"{fact.subject} {fact.value} {fact.text}".casefold()
    given = [each for number in fact.message_ids for each in messages[int(number)]["facts"]]
    return {each["id"] for each in given if all(any(one in text for one in w.split("|")) for w in each["words"])}


def is_changed(new: Iterable[Fact], old: Iterable[Fact]) -> bool:
    """Whether a new value holds and none of the old."""
    return any(fact.superseded_by is None for fact in new) and all(fact.superseded_by is not None for fact in old)


def compare(messages: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """How many of the entities named, and of those learned, are both."""
    wanted = [set(name.casefold().split("|")) for message in messages for name in message["entities"]]
    found = [{name.casefold().removeprefix("the user's ").strip()} for name in names]
    both = sum(any(each & name for name in found) for each in wanted)
    right = sum(any(name & each for each in wanted) for name in found)
    return {
        "entities_learned": len(names),
        "entity_recall": both / len(wanted),
        "entity_precision": right / max(1, len(names)),
        "entity_accuracy": both / (len(wanted) + len(names) - right),
    }


def shown(fact: Fact) -> dict[str, Any]:
    """Show a fact to whoever checks the figures."""
    names = ("message_ids", "subject", "attribute", "value", "text", "superseded_by")
    times = {name: str(getattr(fact, name)) for name in ("valid_at", "invalid_at")}
    return {"id": fact.id, **{name: getattr(fact, name) for name in names}, **times}


def main(
    model: Annotated[str, typer.Option(help='"provider:model" or "local".')] = "local",
    models: Annotated[Path | None, typer.Option(help="Where files of local models are kept.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the figures, and what was learned, as JSON.")] = None,
) -> None:
    """Print precision, recall, junk, entities and changes of mind."""
    embedding = create_embedding(folder=models)
    with closing(choose_chat_model(model, folder=models)) as choice:
        result = measure(choice, embedding, json.loads(DATA.read_text("utf-8")))
    if out is not None:
        out.write_text(json.dumps({"model": model, "at": datetime.now(UTC).isoformat(), **result}, indent=2), "utf-8")
    Console().print(result["figures"])


if __name__ == "__main__":
    typer.run(main)
