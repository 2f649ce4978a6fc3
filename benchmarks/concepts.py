"""What the chosen neurons mean, and whether the model uses them: tables of docs/concepts.md and docs/concepts/.

    python benchmarks/concepts.py [--results results] [--benchmark concepts] [--print]

Reads published results and writes the tables into docs/concepts.md, and that of the default benchmark into
docs/concepts/faithfulness.md; --print shows the first and writes nothing. No model is run and nothing is drawn: the
same results give the same tables.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from neurosieve.artifacts import write_text
from neurosieve.leaderboard import measures
from neurosieve.leaderboard.evidence import TIERS, chosen_curve
from neurosieve.leaderboard.table import row_file

DOCUMENT = Path(__file__).parents[1] / "docs" / "concepts.md"
FAITHFULNESS = DOCUMENT.parent / "concepts" / "faithfulness.md"
METHODS = ("relp", "gradient-mean", "activation-gradient")

Row = dict[str, Any]


def mark(name: str) -> tuple[str, str]:
    """Between which lines of the page a table stands."""
    return f"<!-- {name}: made by benchmarks/concepts.py -->", f"<!-- end of {name} -->"


def read(results: Path, benchmark: str) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a benchmark in the order of its leaderboard, and what was asked of whole models, by file."""
    folder = results / benchmark
    board = folder / "leaderboard.csv"
    if not board.is_file():
        raise SystemExit(
            f"{board}: not there; run `neurosieve run --params presets/{benchmark}.yaml` first, "
            "or name another benchmark"
        )
    with board.open(encoding="utf-8", newline="") as file:
        cells = [line for line in csv.DictReader(file) if line["protocol"] == "strict"]
    names = [folder / row_file(line["model"], line["task"]) for line in cells]
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
    """Of trained models: how many of the chosen neurons are among as many first ones of each causal ranking."""
    lines = []
    for row in rows:
        if row["control_of"] is not None:
            continue
        found = (row["attribution"] or {}).get("attribution")
        if found is None:
            why = "not asked" if row["attribution"] is None else f"not measured: {row['attribution']['reason']}"
            lines.append([f"{row['task']}, {row['model']}", why, *["-"] * len(METHODS)])
            continue
        cells = []
        for name in METHODS:
            shared = (found["rankings"].get(name) or {}).get("overlap")
            cells.append("-" if shared is None else _overlap(shared))
        lines.append([f"{row['task']}, {row['model']}", f"{found['chosen']:,}", *cells])
    return markdown(["row", "chosen", *(f"{name}: shared; chance; within layers" for name in METHODS)], lines)


def lenses(rows: list[Row]) -> str:
    """Every lens: its statistic, on how many rows it is above all but a twentieth of its null, and where it was not
    measured."""
    lines = []
    for name in sorted({name for row in rows for name in row["lenses"]}):
        found = {f"{row['task']}, {row['model']}": row["lenses"][name] for row in rows if name in row["lenses"]}
        made = {key: entry["headline"] for key, entry in found.items() if entry["headline"] is not None}
        without: dict[str, list[str]] = {}
        for key, entry in found.items():
            if key not in made:
                without.setdefault(entry["reason"], []).append(key)
        beyond = sum(entry["p"] <= 0.05 for entry in made.values())
        example = "-"
        if made:
            best = min(made, key=lambda key: (made[key]["p"], -made[key]["value"]))
            null = made[best]["null"]
            example = (
                f"{_f(made[best]['value'])} against {_f(null['mean'])} [{_f(null['low'])}, {_f(null['high'])}] ({best})"
            )
        statistics = " / ".join(dict.fromkeys(entry["statistic"] for entry in made.values()))
        why = ". ".join(f"{'; '.join(keys)}: {reason}" for reason, keys in without.items())
        lines.append([name, statistics or "-", f"{beyond} of {len(made)}", example, why or "-"])
    heads = [
        "lens",
        "statistic",
        "rows with p of at most 0.05 (a twentieth by chance)",
        "the row with the least p, of equals with the largest value",
        "not measured",
    ]
    return markdown(heads, lines)


def named(rows: list[Row]) -> str:
    """Neurons that have a name, in trained models and in their twins."""
    twins: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["control_of"] is not None:
            twins.setdefault((row["control_of"], row["task"]), []).append(_named_of(row["concepts"]))
    lines = []
    for row in rows:
        if row["control_of"] is None:
            concepts, own = row["concepts"], _named_of(row["concepts"])
            other = ", ".join(twins.get((row["model"], row["task"]), ["-"]))
            classes = [f"{n} {name}" for name, n in _by_class(concepts).items() if n]
            lines.append([f"{row['task']}, {row['model']}", own, other, ", ".join(classes) or "-"])
    return markdown(["row", "named", "of the twin", "after"], lines)


def dissociation(effects: Mapping[str, Any]) -> str:
    """The tables of the page, a model after the other."""
    parts = []
    for table in measures.dissociation_tables(effects):
        lines = [[name, *cells] for name, cells in table["lines"]]
        parts.append(f"**{table['title']}.** {table['text']}\n\n{markdown(['', *table['heads']], lines)}")
    without = list(_without(effects))
    if without:
        parts.append(f"Not measured: {'; '.join(without)}.")
    return "\n\n".join(parts) or "Not measured."


def _without(effects: Mapping[str, Any]) -> Iterator[str]:
    """What of each model has no table, and why."""
    for model, report in effects.items():
        matrix = report["matrix"] or report
        if matrix["reason"] is not None:
            yield f"{model}: {matrix['reason']}"
        else:
            for name, part in (("sets of one size", matrix["equal"]), ("whole sets", matrix["whole"])):
                if part.get("reason"):
                    yield f"{model}: {name}: {part['reason']}"
        if report["readout"] and report["readout"].get("reason"):
            yield f"{model}: readout: {report['readout']['reason']}"


def _named_of(concepts: Mapping[str, Any]) -> str:
    return f"{concepts['significant']} of {concepts['described']}"


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


def put(text: str, made: Mapping[str, str], document: str = DOCUMENT.name) -> str:
    """The page with the tables in their places; ValueError for a place that is not there once."""
    for name, table in made.items():
        begin, end = mark(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{document}: expected the lines {begin} and {end} once each")
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
    default = {"evidence": evidence(read(args.results, "default")[0])}
    for document, found in ((DOCUMENT, made), (FAITHFULNESS, default)):
        write_text(document, put(document.read_text(encoding="utf-8"), found, document.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
