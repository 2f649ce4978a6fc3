"""The smallest subsets that were found and how few neurons could do: table and pictures of docs/minimal-subset.md.

    python benchmarks/minimal_subset.py [--results results] [--benchmarks default real-data]

Reads published results and writes the table into docs/minimal-subset.md and a picture per supported row with a bound
beside it. Nothing is run: the same results give the same files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pictures  # beside this script

from neurosieve.artifacts import write_text
from neurosieve.site.charts import bound
from neurosieve.site.charts.parts import Chart

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "minimal-subset.md"
BENCHMARKS = ("default", "real-data")
BEGIN, END = "<!-- made by benchmarks/minimal_subset.py -->", "<!-- end of what the script makes -->"

Row = dict[str, Any]


def table(heads: list[str], lines: list[list[str]]) -> str:
    """Markdown, all columns but the first to the right."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def read(results: Path, benchmarks: Iterable[str] = BENCHMARKS) -> list[Row]:
    """The supported rows, by task and model; without those of results that were made before there was a bound."""
    files = [path for name in benchmarks for path in sorted((results / name / "rows").glob("*.json"))]
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    supported = [row for row in rows if row["status"] == "supported" and "n_bound" in row]
    return sorted(supported, key=lambda row: (row["task"], row["model"]))


def found(row: Row, contender: str) -> str:
    """The minimum of a contender with its intervals, or why there is none."""
    minimum = row["minima"].get(contender)
    if minimum is None:
        return "-"
    if minimum["n_minimal"] is None:
        return "no claim"
    number, low, high = (minimum[key] for key in ("n_minimal", "n_minimal_low", "n_minimal_high"))
    return f"{minimum['n_least']}-{number} [{low}-{high}]"


def summary(rows: list[Row]) -> str:
    """A line per row: minima of all contenders, the bound, whether test confirms it."""
    contenders = list(dict.fromkeys(name for row in rows for name in row["minima"]))
    heads = ["task", "model", "neurons", *contenders, "at least", "factor", "test"]
    lines = [
        [
            row["task"],
            row["model"],
            str(row["n_neurons"]),
            *(found(row, name) for name in contenders),
            "-" if row["n_bound"] is None else str(row["n_bound"]),
            "-" if row["bound_factor"] is None else f"{row['bound_factor']:.2f}",
            {True: "confirmed", False: "not confirmed", None: "-"}[row["confirmed"]],
        ]
        for row in rows
    ]
    return table(heads, lines)


def objectives(row: Row) -> str:
    """Train objective by number of neurons, every third size: found and certified."""
    bound = row["bound"]
    chosen = [i for i, n in enumerate(bound["sizes"]) if row["n_bound"] / 4 <= n <= 2 * row["n_minimal"]][::3]
    heads = ["neurons", *(str(bound["sizes"][i]) for i in chosen)]
    lines = [
        [what, *(f"{values[i]:.4f}" for i in chosen)]
        for what, values in (("found", bound["found"]), ("no set is below", bound["certified"]))
    ]
    return table(heads, lines)


def robustness(rows: list[Row]) -> str:
    """A line per row whose subset was asked: is it this set? Empty where none was."""
    heads = [
        "task", "model", "neurons", "shown needed", "by chance", "again", "judge", "halves", "by chance", "by layer",
        "different neurons", "judge", "pass", "disjoint sets", "shuffled labels", "chance",
    ]  # fmt: skip
    lines = []
    for row in rows:
        asked = row.get("robustness")
        if asked is None or asked["reason"] or asked["halves"]["reason"]:
            continue
        members, again, halves, noise = (asked[key] for key in ("members", "again", "halves", "shuffled"))
        scores, more = halves["sets"]["judge"], asked["disjoint"]["stopped"] == "limit"
        lines.append(
            [
                row["task"],
                row["model"],
                str(asked["size"]),
                "-" if members["reason"] else str(members["losses"]),
                "-" if members["reason"] else f"{members['by_chance']:.0f}",
                f"{again['jaccard']:.2f}",
                f"{again['judge']:.3f}",
                f"{halves['jaccard']:.2f}",
                f"{halves['chance']:.2f}",
                f"{halves['chance_by_layer']:.2f}",
                str(halves["ever"]),
                f"{min(scores):.3f}-{max(scores):.3f}",
                f"{halves['passing']} of {len(scores)}",
                f"{asked['disjoint']['passing']}{' or more' if more else ''}",
                f"{noise['judge']:.3f}",
                f"{noise['chance']:.3f}",
            ]
        )
    return table(heads, lines) if lines else ""


ROBUSTNESS = (
    "**Is it this set?** *Shown needed*: members whose removal is shown to cost score, beside how many would seem "
    "to if none did. *Again*: overlap (shared over either) of the subset with the set that the search finds once "
    "more on all of train, and its judge score. *Halves*: overlap of two sets from halves of train that share no "
    "file, beside that of random sets and of random sets with as many neurons in each layer; different neurons in "
    "all of these sets; their judge scores, fitted on all of train, and how many pass. *Disjoint sets*: that pass "
    "one after another, the subset included. Last the score of a search on shuffled labels, and chance."
)


def drawn(row: Row) -> Chart:
    """The chart of the row's page; only where the row has a bound."""
    chart = bound.chart(row)
    assert chart is not None
    return chart


def write(rows: list[Row]) -> None:
    """The part of the document between the marks, and the pictures."""
    parts, drawings = [summary(rows)], {}
    for row in rows:
        if row["bound"] is None:
            continue
        name = f"minimal-subset-{row['model']}-{row['task']}.svg"
        chart = drawn(row)
        drawings[name] = pictures.svg(chart.spec, f"{row['task']}, {row['model']}: {chart.title.lower()}")
        parts += [
            f"**{row['task']}, {row['model']}**: train objective at l1 {row['bound']['l1']:g}, "
            f"l2 {row['bound']['l2']:g} (benchmark {row['benchmark']}, version {row['version']}).",
            objectives(row),
            f"![{row['task']}: train objective found and certified]({name})",
        ]
    if asked := robustness(rows):
        parts += [ROBUSTNESS, asked]
    # only now, when all of them could be drawn
    for old in DOCS.glob("minimal-subset-*.svg"):  # of rows that may be supported no more
        old.unlink()
    for name, drawing in drawings.items():
        write_text(DOCS / name, drawing)
    text = DOCUMENT.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_text(DOCUMENT, f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--benchmarks", nargs="+", default=list(BENCHMARKS))
    options = parser.parse_args()
    write(read(options.results, options.benchmarks))


if __name__ == "__main__":
    main()
