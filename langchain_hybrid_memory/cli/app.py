"""The commands and their options, and one line for every error."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from langchain_hybrid_memory.cli.chat import Setting, chat, create_thread_id
from langchain_hybrid_memory.cli.chat_models import choose_chat_model
from langchain_hybrid_memory.cli.commands import describe_receipt
from langchain_hybrid_memory.cli.formats import read_history
from langchain_hybrid_memory.cli.importing import import_history, learn
from langchain_hybrid_memory.cli.keeping import export, forget, restore
from langchain_hybrid_memory.cli.loop_thread import INTERRUPTED
from langchain_hybrid_memory.cli.opening import DEFAULT_EMBEDDING, choose_embedding, current_user, load, open_memory
from langchain_hybrid_memory.cli.rebuilding import describe_rebuilt, rebuild
from langchain_hybrid_memory.cli.screen import Screen, counted
from langchain_hybrid_memory.cli.search import hits_table, search
from langchain_hybrid_memory.cli.worker import (
    CANNOT_SHARE,
    describe_status,
    open_shared,
    report_to,
    why_not_shared,
    work,
)
from langchain_hybrid_memory.errors import HybridMemoryError, UnknownFactError
from langchain_hybrid_memory.hybrid_memory import DEFAULT_PATH, HybridMemory
from langchain_hybrid_memory.reports import Report
from langchain_hybrid_memory.steps.export import is_export


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End a command with one line and code 1 where the library raises."""
    try:
        yield
    except HybridMemoryError as error:
        Screen().fail(f"error: {error}")
        raise typer.Exit(1) from error


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Long-term memory for conversations.",
)

User = Annotated[str, typer.Option(default_factory=current_user, show_default="you", help="Whose memory.")]
Folder = Annotated[Path, typer.Option("--path", help="The directory that memory lives in.")]
Model = Annotated[
    str | None,
    typer.Option(
        help='"provider:model", "local" or "none"; by default OpenAI if its key or base URL is set, then Ollama, then '
        "an embedded model.",
        show_default=False,
    ),
]
Embedding = Annotated[str, typer.Option(help='"minilm", "multilingual" or "provider:model".')]


@app.command("chat")
@_one_line_errors()
def chat_command(
    user: User,
    thread: Annotated[
        str | None, typer.Option(help="The conversation to go on with.", show_default="a new one")
    ] = None,
    path: Folder = DEFAULT_PATH,
    model: Model = None,
    embedding: Embedding = DEFAULT_EMBEDDING,
) -> None:
    """Talk with an agent that remembers you; a conversation can be piped in, one message a line."""
    thread_id = thread or create_thread_id(datetime.now().astimezone())
    embeds = choose_embedding(embedding)
    with open_memory(path, embeds) as store, closing(choose_chat_model(model)) as choice:
        load(embeds)
        code = chat(choice, store, Setting(user_id=user, thread_id=thread_id, path=path, embedding=embedding))
    raise typer.Exit(code)


@app.command("import")
@_one_line_errors()
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The history.")],
    user: User,
    path: Folder = DEFAULT_PATH,
    conversation: Annotated[
        str | None, typer.Option(help="Take only this conversation (in JSON lines: thread) of the file.")
    ] = None,
    thread_prefix: Annotated[str, typer.Option(help="Put before the name of every thread.")] = "",
    no_extract: Annotated[bool, typer.Option("--no-extract", help="Make it searchable, learn no facts.")] = False,
    model: Model = None,
    embedding: Embedding = DEFAULT_EMBEDDING,
) -> None:
    """Bring in a history (JSON lines, LoCoMo, conversations of turns), or an export. Importing again is harmless."""
    screen = Screen()
    if is_export(file):
        _restore(file, user, path, embedding, screen)
        return
    history = read_history(file, conversation=conversation)
    embeds = choose_embedding(embedding)
    reports: deque[Report] = deque()
    with (
        open_memory(path, embeds) as store,
        closing(choose_chat_model("none" if no_extract else model)) as choice,
        HybridMemory(
            choice.model, store=store, extract=choice.extract, on_memorized=lambda _, report: reports.append(report)
        ) as memory,
    ):
        load(embeds)
        try:
            screen.say(str(import_history(history, memory, user, thread_prefix=thread_prefix, screen=screen)))
        except KeyboardInterrupt:
            screen.tell("stopped; what was recorded is kept: import the file again to go on")
            raise typer.Exit(INTERRUPTED) from None
        if choice.model is not None:
            learn(memory, reports, screen)


def _restore(file: Path, user: str, path: Path, embedding: str, screen: Screen) -> None:
    embeds = choose_embedding(embedding)
    with open_memory(path, embeds) as store, HybridMemory(None, store=store) as memory:
        load(embeds)
        screen.say(f"restored {counted(restore(memory.for_user(user), file, screen), 'item')}")


@app.command("export")
@_one_line_errors()
def export_command(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to; a file of that name is replaced.")],
    user: User,
    path: Folder = DEFAULT_PATH,
    embedding: Embedding = DEFAULT_EMBEDDING,
) -> None:
    """Write everything that is remembered about you as JSON lines, which `import` reads back."""
    screen = Screen()
    with open_memory(path, choose_embedding(embedding), is_new=False) as store:
        memory = HybridMemory(None, store=store)
        screen.say(f"exported {counted(export(memory.for_user(user), file, screen), 'item')} to {file}")


@app.command("forget")
@_one_line_errors()
def forget_command(
    user: User,
    fact: Annotated[str | None, typer.Argument(help="The id of one fact.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Forget all that is remembered of you.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    path: Folder = DEFAULT_PATH,
    embedding: Embedding = DEFAULT_EMBEDDING,
) -> None:
    """Forget one fact or, if you say so, everything, conversations included; nothing of it stays in the files."""
    if everything == (fact is not None):
        msg = "name one fact, or say --everything"
        raise typer.BadParameter(msg)
    if everything and not yes:
        typer.confirm(f"Forget everything about {user}, every conversation included?", abort=True)
    embeds = choose_embedding(embedding)
    with open_memory(path, embeds, is_new=False) as store:
        load(embeds)
        receipt = forget(store, path, user, fact)
    if fact is not None and not receipt.removed:
        msg = f"{user} has no fact {fact!r}, and nothing was forgotten; `search` shows the ids of facts, behind `id`"
        raise UnknownFactError(msg)
    Screen().say(describe_receipt(receipt))


@app.command("search")
@_one_line_errors()
def search_command(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    user: User,
    path: Folder = DEFAULT_PATH,
    limit: Annotated[int, typer.Option(min=1, help="How many hits.")] = 10,
    embedding: Embedding = DEFAULT_EMBEDDING,
) -> None:
    """Show what memory holds about a question, and why each hit ranked; needs no chat model."""
    screen = Screen()
    embeds = choose_embedding(embedding)
    with open_memory(path, embeds, is_new=False) as store:
        load(embeds)
        hits = search(store, query, user_id=user, limit=limit)
    if hits:
        screen.show(hits_table(hits))
    else:
        screen.say(f"nothing found for {user} in {path}")


@app.command("rebuild")
@_one_line_errors()
def rebuild_command(
    user: User, path: Folder = DEFAULT_PATH, model: Model = None, embedding: Embedding = DEFAULT_EMBEDDING
) -> None:
    """Learn everything again from the messages on record; what was forgotten stays forgotten."""
    screen = Screen()
    embeds = choose_embedding(embedding)
    with (
        open_memory(path, embeds, is_new=False) as store,
        closing(choose_chat_model(model)) as choice,
        HybridMemory(choice.model, store=store, extract=choice.extract, extraction="manual") as memory,
    ):
        load(embeds)
        try:
            screen.say(describe_rebuilt(rebuild(memory.for_user(user), screen)))
        except KeyboardInterrupt:
            screen.tell("stopped; what was known is as it was: rebuild again to go on")
            raise typer.Exit(INTERRUPTED) from None


@app.command("worker")
@_one_line_errors()
def worker_command(
    store: Annotated[str, typer.Option(help="http://host:8000 (`chroma run`) or postgresql://....")] = str(
        DEFAULT_PATH
    ),
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the queue.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="End when nothing more can be learned now.")] = False,
    model: Model = None,
    embedding: Embedding = DEFAULT_EMBEDDING,
) -> None:
    """Learn for all users from what other processes left to learn; run as many as you like."""
    screen = Screen()
    if reason := why_not_shared(store):
        screen.fail(f"error: {reason}")
        raise typer.Exit(CANNOT_SHARE)
    embeds = choose_embedding(embedding)
    load(embeds)
    with (
        open_shared(store, embeds) as shared,
        closing(choose_chat_model(model)) as choice,
        HybridMemory(
            choice.model, store=shared, extract=choice.extract, on_memorized=partial(report_to, screen)
        ) as memory,
    ):
        screen.tell(f"chat model: {choice.description}; Ctrl-C ends the worker, and loses nothing")
        try:
            status = work(memory, every_seconds=every, is_once=once, screen=screen)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        screen.say(describe_status(status))
