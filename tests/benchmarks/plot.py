"""Draws recall at ten, by system and by type of question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.metrics import Figures, interval, mean

WIDTH = 0.8
"""Of the room for one type of question, how much its bars take."""


def draw(rows: Mapping[str, Sequence[tuple[str, Figures]]], title: str, path: Path) -> None:
    """Write a bar chart with 95 % intervals; one group of bars for each type of question, and one for all."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    kinds = ["all", *sorted({kind for kind, _ in next(iter(rows.values()))})]
    figure, axes = plt.subplots(figsize=(2 + 1.4 * len(kinds), 4.5), layout="constrained")
    bar = WIDTH / len(rows)
    for number, (name, each) in enumerate(rows.items()):
        chosen = [[row for other, row in each if kind in ("all", other)] for kind in kinds]
        heights = [mean(part)["R@10"] for part in chosen]
        spreads = [interval([row["R@10"] for row in part]) for part in chosen]
        errors = [
            [height - low for height, (low, _) in zip(heights, spreads, strict=True)],
            [high - height for height, (_, high) in zip(heights, spreads, strict=True)],
        ]
        places = [place + (number - (len(rows) - 1) / 2) * bar for place in range(len(kinds))]
        axes.bar(places, heights, bar, label=name, yerr=errors, capsize=2, error_kw={"linewidth": 0.8})
    labels = [f"{kind}\n({sum(kind in ('all', other) for other, _ in next(iter(rows.values())))})" for kind in kinds]
    axes.set_xticks(range(len(kinds)), labels)
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of the evidence among the first ten")
    axes.set_title(f"{title}: recall at ten, 95 % intervals")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(rows), frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
