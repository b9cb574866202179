"""What a memorize run did, as counts that add up."""

from __future__ import annotations

from collections import Counter

from typing_extensions import TypedDict


class Report(TypedDict, total=False):
    """What a run did: counts of what the step names say, and the texts and ids of new facts for a progress line."""

    indexed: int
    learned: list[str]
    facts: list[str]
    """The ids of what was learned, in the same order; some may be superseded at once."""
    confirmed: int
    superseded: int
    rejected: dict[str, int]
    summarized: int
    threads: list[str]
    """The threads whose summaries were brought up to date."""
    calls: int
    prompt_tokens: int
    completion_tokens: int
    largest_prompt: int
    """Tokens of the longest extraction prompt, as counted here; at most 1,500 and `ExtractConfig.batch_tokens` and what
    number, date and speaker add to each message, if the application adds no instructions."""
    failed: int
    errors: list[str]


def add_reports(one: Report, other: Report) -> Report:
    """Add up two reports; texts and errors are joined in order."""
    return Report(
        indexed=one.get("indexed", 0) + other.get("indexed", 0),
        learned=one.get("learned", []) + other.get("learned", []),
        facts=one.get("facts", []) + other.get("facts", []),
        confirmed=one.get("confirmed", 0) + other.get("confirmed", 0),
        superseded=one.get("superseded", 0) + other.get("superseded", 0),
        rejected=dict(Counter(one.get("rejected", {})) + Counter(other.get("rejected", {}))),
        summarized=one.get("summarized", 0) + other.get("summarized", 0),
        threads=list(dict.fromkeys([*one.get("threads", []), *other.get("threads", [])])),
        calls=one.get("calls", 0) + other.get("calls", 0),
        prompt_tokens=one.get("prompt_tokens", 0) + other.get("prompt_tokens", 0),
        completion_tokens=one.get("completion_tokens", 0) + other.get("completion_tokens", 0),
        largest_prompt=max(one.get("largest_prompt", 0), other.get("largest_prompt", 0)),
        failed=one.get("failed", 0) + other.get("failed", 0),
        errors=one.get("errors", []) + other.get("errors", []),
    )
