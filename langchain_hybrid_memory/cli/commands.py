"""What a person can ask of the memory in the middle of a conversation."""

from __future__ import annotations

from collections.abc import Callable

from langchain_hybrid_memory.cli.screen import Screen
from langchain_hybrid_memory.memories import Fact, Receipt
from langchain_hybrid_memory.user_memory import UserMemory

HELP = """\
/memory            what I know about you, numbered
/entities          the people, places and things you named
/summary           the digest of this conversation so far
/forget N          forget number N of /memory
/forget everything forget all of it, with every conversation
/help              this list
/quit              leave; Ctrl-D does too"""
SURE = "yes"


class Commands:
    """The commands of one conversation; each begins with a slash."""

    def __init__(
        self, user: UserMemory, screen: Screen, *, thread_id: str, confirm: Callable[[str], str] | None
    ) -> None:
        """Prepare.

        Args:
            user: Whose memory.
            screen: Where answers go.
            thread_id: The present conversation.
            confirm: Asks the person a question; `None` where nobody sits at the terminal.
        """
        self._user = user
        self._screen = screen
        self._thread_id = thread_id
        self._confirm = confirm
        self._listed: list[Fact] = []
        self.on_forgotten: Callable[[], None] = lambda: None
        """Called after everything was forgotten."""

    def __call__(self, line: str) -> bool:
        """Carry out a command; whether the conversation goes on."""
        name, _, rest = line.strip().partition(" ")
        if name == "/quit":
            return False
        known = {"/memory": self._memory, "/entities": self._entities, "/summary": self._summary, "/help": self._help}
        if name == "/forget":
            self._forget(rest.split())
        elif name in known and not rest:
            known[name]()
        else:
            self._screen.say(f"{line} is not a command; /help lists them")
        return True

    def _help(self) -> None:
        self._screen.say(HELP)

    def _memory(self) -> None:
        self._listed = self._user.facts()
        for number, fact in enumerate(self._listed, 1):
            self._screen.say(f"{number:3}. {fact.text} (since {fact.valid_at:%Y-%m-%d})")
        if not self._listed:
            self._screen.say("no facts yet: they are learned after a reply")

    def _entities(self) -> None:
        entities = self._user.entities()
        for entity in entities:
            aliases = f", also {', '.join(entity.aliases)}" if entity.aliases else ""
            self._screen.say(f"  {entity.name} ({entity.type}{aliases})")
        if not entities:
            self._screen.say("nobody and nothing named yet")

    def _summary(self) -> None:
        summary = self._user.summary(self._thread_id)
        self._screen.say(summary or "no summary yet: a conversation gets one when it grows long")

    def _forget(self, words: list[str]) -> None:
        match words:
            case ["everything"] if self._confirm is not None:
                answer = self._confirm(f"Forget everything, every conversation included? Type {SURE}: ")
                self._forget_everything(is_sure=answer.strip().casefold() == SURE)
            case ["everything", *rest]:
                self._forget_everything(is_sure=rest == [SURE])
            case [number] if number.isdecimal():
                self._forget_one(int(number))
            case _:
                self._screen.say("say /forget N with a number of /memory, or /forget everything")

    def _forget_one(self, number: int) -> None:
        listed = self._listed or self._user.facts()
        if not 1 <= number <= len(listed):
            self._screen.say(f"there is no number {number}; /memory lists what there is")
            return
        self._listed = listed  # the numbers stay what they were until /memory is asked for again
        self._screen.say(describe_receipt(self._user.forget(listed[number - 1].id)))

    def _forget_everything(self, *, is_sure: bool) -> None:
        if not is_sure:
            self._screen.say(f"nothing was forgotten; to forget everything say /forget everything {SURE}")
            return
        self._listed = []
        self._screen.say(describe_receipt(self._user.forget_everything()))
        self.on_forgotten()


def describe_receipt(receipt: Receipt) -> str:
    """Say what was forgotten, and what still holds the words."""
    removed = ", ".join(f"{kind}: {count}" for kind, count in receipt.removed.items() if count)
    remaining = "".join(f"\nnot removed: {place}" for place in receipt.remaining)
    deleted = "".join(f"\ndeleted whole: the messages of thread {thread!r}" for thread in receipt.deleted_threads)
    return (f"forgotten ({removed})" if removed else "nothing to forget") + deleted + remaining
