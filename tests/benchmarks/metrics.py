"""Figures of a ranking: recall, nDCG, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import numpy as np

Figures: TypeAlias = Mapping[str, float]

DEPTHS = (5, 10, 20)
RESAMPLES = 2_000


def figures(ranked: Sequence[str], evidence: Collection[str]) -> Figures:
    """Of one question: the share of its evidence among the first k, and nDCG of the first ten.

    Args:
        ranked: Ids, best first, each once.
        evidence: The ids that were wanted; not empty.
    """
    gain = sum(1 / math.log2(rank + 2) for rank, name in enumerate(ranked[:10]) if name in evidence)
    best = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(evidence))))
    recall = {f"R@{depth}": len(set(ranked[:depth]) & set(evidence)) / len(evidence) for depth in DEPTHS}
    return {**recall, "nDCG@10": gain / best}


def mean(rows: Sequence[Figures]) -> dict[str, float]:
    """The mean of each figure, and `n`, over how many questions."""
    names = rows[0] if rows else ()
    return {**{name: sum(row[name] for row in rows) / len(rows) for name in names}, "n": len(rows)}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean; resampling is seeded, so equal values give equal bounds."""
    sample = np.asarray(values, dtype=float)
    picks = np.random.default_rng(0).integers(0, len(sample), (RESAMPLES, len(sample)))
    low, high = np.percentile(sample[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
