"""What is left of "95 % of the neurons are redundant" when the baselines stand beside it: tables of docs/findings.md.

    python benchmarks/findings.py [--results results] [--benchmark real-data] [--print]

Reads published results and writes the tables into docs/findings.md; --print shows them and writes nothing. No model is
run and nothing is drawn: the same results give the same tables.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from neurosieve import load_results
from neurosieve.artifacts import write_text

DOCUMENT = Path(__file__).parents[1] / "docs" / "findings.md"
BEGIN, END = "<!-- tables: made by benchmarks/findings.py -->", "<!-- end of tables -->"
KEPT = 0.99  # of the score of all neurons: the strictest of the published tolerances
PUBLISHED_NEURONS = 9984  # of each published model
CLAIM = 0.95  # the share of neurons that was published as redundant
SEARCH = "elimination"  # the curve that twins have too
STATUSES = ("supported", "untrained", "surface", "at chance")  # from the most that a row may say to the least

Row = dict[str, Any]


def read(results: Path, benchmark: str) -> list[Row]:
    """The rows of the protocol `strict`, in the order of the leaderboard, with its columns `published_...`.

    Raises
    ------
    neurosieve.results.ResultsError
        naming the file: nothing to read below ``results``, or not what it should be.
    """
    wide = load_results(results, wide=True)
    wide = wide[(wide.benchmark == benchmark) & (wide.protocol == "strict")]
    beside = wide.filter(like="published_").astype(object).where(wide.filter(like="published_").notna(), None)
    files = [results / benchmark / "rows" / f"{m}__{t}.json" for m, t in zip(wide.model, wide.task, strict=True)]
    found = zip(files, beside.to_dict("records"), strict=True)
    return [json.loads(file.read_text(encoding="utf-8")) | published for file, published in found]


def removable(row: Row, curve: str) -> float | None:
    """Share of all neurons without which the first tested size on ``curve`` keeps KEPT of their score on judge.

    This is how redundancy is read off a curve without any baseline. 0 where no tested size but all neurons does, None
    where the row has no such curve: one that may claim nothing is walked along the search and at random alone.
    """
    if curve not in row["curves"]:
        return None
    sizes, scores = row["curves"][curve]["sizes"], row["curves"][curve]["judge"]
    least = KEPT * row["judge"]["oracle"]
    return 1 - next((n for n, s in zip(sizes, scores, strict=True) if s >= least), row["n_neurons"]) / row["n_neurons"]


def at_share(row: Row, curve: str, share: float) -> float:
    """The score on judge of the smallest tested size on ``curve`` that is at least ``share`` of all neurons."""
    sizes, scores = row["curves"][curve]["sizes"], row["curves"][curve]["judge"]
    return next((s for n, s in zip(sizes, scores, strict=True) if n >= share * row["n_neurons"]), scores[-1])


def tables(rows: list[Row]) -> str:
    """The four tables, as Markdown."""
    trained = [row for row in rows if row["control_of"] is None]
    twins = {(row["control_of"], row["task"]): row for row in rows if row["control_of"] is not None}
    parts = [_by_reading(trained, twins), _by_task(trained, twins), _by_row(trained, twins), _published(trained)]
    return "\n\n".join("\n".join(part) for part in parts)


def _line(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _by_reading(trained: list[Row], twins: dict[tuple[str, str], Row]) -> list[str]:
    lines = [
        _line(f"rows with at least {CLAIM:.0%} removable", *STATUSES, "all"),
        _line("---", *["---:"] * (len(STATUSES) + 1)),
    ]

    def add(name: str, chosen: list[Row], of: list[Row]) -> None:
        counts = [(sum(r["status"] == s for r in chosen), sum(r["status"] == s for r in of)) for s in STATUSES]
        counts.append((len(chosen), len(of)))
        lines.append(_line(name, *[f"{n} of {m}" if m else "-" for n, m in counts]))

    others = list(twins.values())
    for name, curve in (
        ("of the search", SEARCH),
        ("of the published ranking, LCA", "lca"),
        ("drawn at random", "random"),
    ):
        walked = [r for r in trained if curve in r["curves"]]
        add(f"trained models, neurons {name}", [r for r in walked if (removable(r, curve) or 0) >= CLAIM], walked)
    for name, curve in (("of the search", SEARCH), ("drawn at random", "random")):
        add(f"untrained twins, neurons {name}", [r for r in others if (removable(r, curve) or 0) >= CLAIM], others)
    claimed = [r for r in trained if r["n_minimal"] is not None and 1 - r["share"] >= CLAIM]
    add("trained models, minimal subset of the strict protocol", claimed, trained)
    return lines


def _by_task(trained: list[Row], twins: dict[tuple[str, str], Row]) -> list[str]:
    lines = [
        _line("task", "metric", "majority", "best look at the text", "best untrained", "best trained", *STATUSES),
        _line("---", "---", "---:", "---", "---", "---", *["---:"] * len(STATUSES)),
    ]
    for task in dict.fromkeys(row["task"] for row in trained):
        here = [row for row in trained if row["task"] == task]
        best = max(here, key=lambda row: row["oracle"])
        twin = max((row for (_, of), row in twins.items() if of == task), key=lambda row: row["oracle"])
        text = f"{best['surface']:.3f} {best['surface_name']}"
        scores = [f"{row['oracle']:.3f} {row['model']}" for row in (twin, best)]
        counts = [sum(row["status"] == status for row in here) for status in STATUSES]
        lines.append(_line(task, best["metric"], f"{best['majority']:.3f}", text, *scores, *counts))
    return lines


def _by_row(trained: list[Row], twins: dict[tuple[str, str], Row]) -> list[str]:
    lines = [
        _line("task", "model", "status", "all neurons", "text", "untrained", "neurons",
              "removable", "LCA", "random", "of the twin", "minimal subset"),
        _line("---", "---", "---", *["---:"] * 8, "---"),
    ]  # fmt: skip
    tasks = list(dict.fromkeys(row["task"] for row in trained))
    for row in sorted(trained, key=lambda row: tasks.index(row["task"])):
        twin = twins[row["model"], row["task"]]
        found = [*(removable(row, curve) for curve in (SEARCH, "lca", "random")), removable(twin, SEARCH)]
        shares = ["-" if share is None else f"{share:.1%}" for share in found]
        scores = [f"{row[name]:.3f}" for name in ("oracle", "surface", "untrained")]
        if row["n_minimal"] is None:
            minimal = "no claim"
        else:
            low, high = ("none" if row[k] is None else row[k] for k in ("n_minimal_low", "n_minimal_high"))
            kept = "" if row["confirmed"] else ", not confirmed on test"
            bound = "" if row["n_bound"] is None else f", bound {row['n_bound']}"
            minimal = f"{row['n_minimal']} [{low}-{high}]{bound}, {1 - row['share']:.1%} removable{kept}"
        lines.append(_line(row["task"], row["model"], row["status"], *scores, row["n_neurons"], *shares, minimal))
    return lines


def _published(trained: list[Row]) -> list[str]:
    """Their row and ours, where a model and a task have a published counterpart; of ours the same share is read off."""
    lines = [
        _line("task", "published model, metric", "all neurons", "subset", "its neurons",
              "here", "all neurons", "as many", "random"),
        _line("---", "---", "---:", "---:", "---:", "---", "---:", "---:", "---:"),
    ]  # fmt: skip
    for row in trained:
        if row["published_model"] is None:
            continue
        theirs, share = row["published_n_neurons"], row["published_n_neurons"] / PUBLISHED_NEURONS
        ours = [f"{at_share(row, curve, share):.3f}" for curve in (SEARCH, "random")]
        lines.append(
            _line(
                row["task"], f"{row['published_model']}, {row['published_metric']}", f"{row['published_score']:.3f}",
                f"{row['published_subset_score']:.3f}", f"{theirs:.0f}, {share:.1%}",
                f"{row['model']}, {row['metric']}, {row['status']}", f"{row['judge']['oracle']:.3f}", *ours,
            )
        )  # fmt: skip
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--benchmark", default="real-data")
    parser.add_argument("--print", action="store_true", help="show the tables and write nothing")
    args = parser.parse_args()
    made = tables(read(args.results, args.benchmark))
    if args.print:
        sys.stdout.write(made + "\n")
        return 0
    text = DOCUMENT.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    write_text(DOCUMENT, f"{before}{BEGIN}\n\n{made}\n\n{after}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
