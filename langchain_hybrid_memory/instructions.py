"""Tells where a text that should only inform begins to give orders to whoever reads it.

Patterns for what is seen in attacks, mostly English: what they do not know is still fenced and labelled with its
source.
"""

from __future__ import annotations

import re
import unicodedata

from langchain_hybrid_memory.records import StoredMessage, Trust, trust_of

SENTENCE = re.compile(r"[^.!?\n\u3002\uff01\uff1f]+[.!?\u3002\uff01\uff1f]*")
ORDER = r"(?:you\b|from now|always\b|never\b|do not\b|don't\b|ignore\b|disregard\b|forget\b|new (?:task|instruction))"
MARKUP = re.compile(
    r"<\|\s?\w{1,30}\s?\|>|<</?sys>>|\[/?inst\]|<(?:start|end)_of_turn>"
    r"|</?(?:system|assistant|memory|tool_call|tool_result|function_calls?|instructions?)\b[^<>]{0,80}>"
    r"|\bsystem (?:override|prompt|directive|instruction|message)s?\s?:"
    rf"|(?<!\w)(?:system|developer|assistant|admin|administrator)\s?[:>\]]+\s{{0,3}}{ORDER}"
    r"|\[\s?(?:\w{1,20}[ _-])?memory(?:[ _-]\w{1,20})?\s?[:\]]|\[\w{0,20}memory\w{0,20}=[^\]\n]{0,200}\]\s?\[",
    re.IGNORECASE,
)
"""What poses as a part of a prompt: nobody talks like that."""
OVERRIDE = re.compile(
    r"\b(?:ignore|disregard|forget|override|overlook|bypass)\b(?:\s\w{1,20}){0,4}\s"
    r"(?:instructions?|prompts?|directives?|guidelines|guardrails|restrictions|(?:security|safety) \w{1,20})\b"
    r"|\b(?:ignore|disregard|forget) (?:everything|all)(?: \w{1,10}){0,2} (?:above|before|previous|earlier|prior)\b"
    r"|\b(?:ignorier|vergiss)\w{0,3}(?:\s\w{1,20}){0,3}\s(?:anweisung|vorgabe)"
    r"|\bignor\w{0,4}(?:\s\w{1,20}){0,3}\s(?:instrucciones|instru\u00e7\u00f5es|istruzioni|consignes)\b"
    r"|\u0438\u0433\u043d\u043e\u0440\u0438\u0440\w{1,6}(?:\s\w{1,20}){0,3}\s\u0438\u043d\u0441\u0442\u0440\u0443\u043a"
    r"|(?:\u5ffd\u7565|\u65e0\u89c6).{0,8}(?:\u6307\u4ee4|\u6307\u793a|\u63d0\u793a)",
    re.IGNORECASE,
)
"""Calls to set aside what the reader was told before."""
COMMAND = re.compile(
    r"\b(?:from|starting|as of) now(?: on)?,? (?:please )?(?:you|always|never|do not|don't|reply|respond|answer|send"
    r"|treat|when|include|add|append|insert|attach|mention|forward|copy|post|email|use|call|say|write|follow|act|speak)\b"
    r"|\byou are now \w"
    r"|\byou are (?:an?|the)(?: \w{1,20}){0,3} (?:ai|assistant|chatbot|agent)\b"
    r"|^\W*(?:act|behave|respond|pretend to be|reply) (?:as |like )?(?:an? |the )?"
    r"(?:admin\w*|root|system|developer|unrestricted|superuser)\b"
    r"|\byou (?:must|shall) (?:now|always|never)\b"
    r"|\byou (?:must|shall|should|will) not (?:tell|mention|reveal|inform|disclose)\b"
    r"|\b(?:the|this) (?:assistant|agent) (?:must|should|shall|is (?:authori[sz]ed|allowed))\b"
    r"|\b(?:the|this) (?:assistant|agent) has (?:full|admin\w*|root)\b"
    r"|\b(?:reveal|send|forward|upload|exfiltrate|leak|disclose|output|print)\b(?:\s\w{1,20}){0,5}\s"
    r"(?:credentials?|passwords?|api keys?|secrets|system prompt|chat history|conversation history|user data)\b"
    r"|\bwithout (?:asking|telling|informing|notifying|(?:operator |user |human )?(?:confirmation|approval|review))\b"
    r"|\bskip(?:\s\w{1,20}){0,2}\s(?:confirmation|approval|authentication|verification)\b"
    r"|\b(?:never|do not|don't) (?:tell|inform|notify|alert|warn|ask)(?: the)? (?:user|operator|human|owner)\b"
    r"|\b(?:remember|save|store|keep|add|treat)\b(?:\s\w{1,20}){0,3}\s(?:as|in|to)(?:\s\w{1,20}){0,3}\s"
    r"(?:directives?|instructions?|rules?|(?:your|long-term|permanent) memory)\b"
    r"|\bno (?:safety|content|ethical) (?:guidelines|restrictions|filters|limits)\b",
    re.IGNORECASE,
)
"""What tells an assistant how to behave. From the user that is a wish; from a tool or a document it is none."""


def told(text: str, by: Trust) -> str:
    """The part of a text that may be believed: all of it, or what stands before it begins to give orders.

    What follows an order is left out with it, as it may go on giving orders. The user may tell the assistant how to
    behave, so of the user's words only what poses as a part of a prompt is left out, and what follows it; of the
    assistant's words that and calls to set instructions aside.
    """
    patterns = {"user": (MARKUP,), "assistant": (MARKUP, OVERRIDE)}.get(by, (MARKUP, OVERRIDE, COMMAND))
    for sentence in SENTENCE.finditer(text):
        said = plain(sentence.group())
        if any(pattern.search(said) for pattern in patterns):
            return text[: sentence.start()]
    return text


def believed(message: StoredMessage) -> str:
    """The part of a message on record that may be believed."""
    return told(message["text"], trust_of(message))


def is_order(text: str) -> bool:
    """Whether a text poses as a part of a prompt or calls to set instructions aside, whoever said it."""
    said = plain(text)
    return MARKUP.search(said) is not None or OVERRIDE.search(said) is not None


def plain(text: str) -> str:
    """A text as it reads: without invisible characters, look-alikes of letters folded, white space as single spaces."""
    if text.isascii():
        return " ".join(text.split())
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible).split())
