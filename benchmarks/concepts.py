"""What the chosen neurons mean, and whether the model uses them: tables of docs/concepts.md.

    python benchmarks/concepts.py [--results results] [--benchmark concepts] [--print]

Reads published results and writes the tables into docs/concepts.md; --print shows them and writes nothing. No model is
run and nothing is drawn: the same results give the same tables.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neurosieve.artifacts import write_text
from neurosieve.leaderboard import measures
from neurosieve.leaderboard.evidence import TIERS, chosen_curve
from neurosieve.results import load_results

DOCUMENT = Path(__file__).parents[1] / "docs" / "concepts.md"
METHODS = ("relp", "gradient-mean", "activation-gradient")

Row = dict[str, Any]


def mark(name: str) -> tuple[str, str]:
    """Between which lines of the page a table stands."""
    return f"<!-- {name}: made by benchmarks/concepts.py -->", f"<!-- end of {name} -->"


def read(results: Path, benchmark: str) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a benchmark in the order of its leaderboard, and what was asked of whole models, by file."""
    table = load_results(results)
    table = table[(table.benchmark == benchmark) & (table.protocol == "strict")]
    folder = results / benchmark
    names = [folder / "rows" / f"{m}__{t}.json" for m, t in zip(table.model, table.task, strict=True)]
    rows = [json.loads(name.read_text(encoding="utf-8")) for name in names]
    files = {name: folder / f"{name}.json" for name in ("effects", "languages")}
    whole = {n: json.loads(p.read_text(encoding="utf-8")) if p.is_file() else {} for n, p in files.items()}
    return rows, whole


def markdown(heads: list[str], lines: list[list[str]]) -> str:
    """A table; the first column is of names, the others of figures."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *lines))


def evidence(rows: list[Row]) -> str:
    """Each row of a trained model: how far its evidence goes, and the figures of it."""
    lines = []
    for row in rows:
        if row["control_of"] is not None:
            continue
        curve = chosen_curve(row)
        point = next((p for p in curve["points"] if p["chosen"]), None) if curve is not None else None
        cells = []
        for kind in ("necessity", "sufficiency"):
            found = point and point[kind]
            cells += [_f(found and found["f"]), _band(found and found["random_f"])]
        outside = ((row["effects"] or {}).get("outside") or {"doses": {}})["doses"].get("0")
        cells.append(
            "-" if outside is None else f"{_f(outside['difference'])} [{_f(outside['low'])}, {_f(outside['high'])}]"
        )
        k = "-" if point is None else f"{point['k']:,}"
        lines.append([f"{row['task']}, {row['model']}", row["status"], k, *cells, row["evidence"]])
    heads = [
        "row",
        "status",
        "neurons",
        "f without them",
        "random",
        "f with them alone",
        "random",
        "side effects",
        "evidence",
    ]
    counts = ", ".join(f"{tier} {n}" for tier in TIERS if (n := sum(line[-1] == tier for line in lines)))
    return f"{markdown(heads, lines)}\n\nRows by evidence: {counts}."


def causal(rows: list[Row]) -> str:
    """How many of the chosen neurons are among as many first ones of each causal ranking."""
    lines = []
    for row in rows:
        found = (row["attribution"] or {}).get("attribution")
        if found is None:
            continue
        cells = []
        for name in METHODS:
            shared = (found["rankings"].get(name) or {}).get("overlap")
            cells.append("-" if shared is None else _overlap(shared))
        lines.append([f"{row['task']}, {row['model']}", f"{found['chosen']:,}", *cells])
    return markdown(["row", "chosen", *(f"{name}: shared; chance; within layers" for name in METHODS)], lines)


def lenses(rows: list[Row]) -> str:
    """Every lens: its statistic, and on how many rows it is above all but a twentieth of its null."""
    lines = []
    names = sorted({name for row in rows for name in row["lenses"]})
    for name in names:
        found = {row["task"] + ", " + row["model"]: row["lenses"][name] for row in rows if name in row["lenses"]}
        made = {key: entry["headline"] for key, entry in found.items() if entry["headline"] is not None}
        if not made:
            continue
        statistic = next(iter(made.values()))["statistic"]
        beyond = sum(entry["p"] <= 0.05 for entry in made.values())
        best = min(made, key=lambda key: (made[key]["p"], -made[key]["value"]))
        null = made[best]["null"]
        example = (
            f"{_f(made[best]['value'])} against {_f(null['mean'])} [{_f(null['low'])}, {_f(null['high'])}] ({best})"
        )
        lines.append([name, statistic, f"{beyond} of {len(made)}", example])
    return markdown(["lens", "statistic", "rows with p of at most 0.05", "the row with the least p"], lines)


def named(rows: list[Row]) -> str:
    """Neurons that have a name, in trained models and in their twins."""
    twins = {(row["control_of"], row["task"]): row for row in rows if row["control_of"] is not None}
    lines = []
    for row in rows:
        if row["control_of"] is None:
            concepts, twin = row["concepts"], twins.get((row["model"], row["task"]))
            own = f"{concepts['significant']} of {concepts['described']}"
            other = "-" if twin is None else f"{twin['concepts']['significant']} of {twin['concepts']['described']}"
            classes = [f"{n} {name}" for name, n in _by_class(concepts).items() if n]
            lines.append([f"{row['task']}, {row['model']}", own, other, ", ".join(classes) or "-"])
    return markdown(["row", "named", "of the twin", "after"], lines)


def dissociation(effects: Mapping[str, Any]) -> str:
    """The tables of the page, a model after the other."""
    parts = []
    for table in measures.dissociation_tables(effects):
        lines = [[name, *cells] for name, cells in table["lines"]]
        parts.append(f"**{table['title']}.** {table['text']}\n\n{markdown(['', *table['heads']], lines)}")
    return "\n\n".join(parts) or "Not measured."


def _by_class(concepts: Mapping[str, Any]) -> dict[str, int]:
    names = [neuron["concept"] for neuron in concepts["neurons"]]
    return {name: names.count(name) for name in dict.fromkeys(filter(None, names))}


def _f(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _band(entry: Mapping[str, Any] | None) -> str:
    return "-" if not entry else f"{_f(entry['low'])} to {_f(entry['high'])}"


def _overlap(shared: Mapping[str, Any]) -> str:
    within = shared["in_layers"]
    chance = f"{shared['expected']:.1f} (p {shared['p_more']:.3f}); {within['expected']:.1f} (p {within['p_more']:.3f})"
    return f"{shared['shared']}; {chance}"


def tables(rows: list[Row], whole: Mapping[str, Any]) -> dict[str, str]:
    """The tables by name."""
    of_rows: dict[str, Callable[[list[Row]], str]] = {
        "evidence": evidence, "causal": causal, "named": named, "lenses": lenses,
    }  # fmt: skip
    return {name: make(rows) for name, make in of_rows.items()} | {"dissociation": dissociation(whole["effects"])}


def put(text: str, made: Mapping[str, str]) -> str:
    """The page with the tables in their places; ValueError for a place that is not there once."""
    for name, table in made.items():
        begin, end = mark(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{DOCUMENT.name}: expected the lines {begin} and {end} once each")
        head, rest = text.split(begin)
        text = f"{head}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--benchmark", default="concepts")
    parser.add_argument("--print", action="store_true", help="show the tables, write nothing")
    args = parser.parse_args()
    made = tables(*read(args.results, args.benchmark))
    if args.print:
        print("\n\n".join(f"{name}\n\n{table}" for name, table in made.items()))
        return 0
    write_text(DOCUMENT, put(DOCUMENT.read_text(encoding="utf-8"), made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
