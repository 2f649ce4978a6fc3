"""Do neurons diversify while a model learns? Table and pictures from the results of presets/training.yaml.

    python benchmarks/training.py --assemble     # tokenizer and weights of each checkpoint into build/checkpoints/
    neurosieve run --params presets/training.yaml
    python benchmarks/training.py [--results results] [--to docs/concepts] [--print]

The second form reads published results and writes training.md, the tables, and a picture per task; --print shows the
tables and writes nothing. The same results give the same files. What stands in a row of a table is judged on judge, but
for `left` and `cka`, which are of train.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pictures  # beside this script

from neurosieve.artifacts import write_text
from neurosieve.numerics import add
from neurosieve.probes.agreement import chance_overlap
from neurosieve.site.charts import parts as marks

MODEL = Path("models/neurosieve-small")
ASSEMBLED = Path("build/checkpoints/neurosieve-small")
BENCHMARK = "training"
THRESHOLD = 0.3  # of the clusters of neurons: |r| above 0.7 on average, as the publication has it

LEGEND = f"""Checkpoints of one model, a table per task. all neurons, text: judge score of the probe on all neurons,
and of the best baseline that sees the text alone. left: share of neurons left when one stands for each
cluster at {THRESHOLD} (train). cka: mean similarity of two different layers (train). subset: neurons of
the smallest subset found; an estimate where none is claimed. named: neurons that go with a class beyond
chance, of those described; names: different classes among them; entropy: of these, in bits. overlap with
the last: neurons in the subsets of this and of the last checkpoint, of those in either (1 for the last
itself); by chance: the same of random sets as large. There is one training run: nothing says how much
another seed would differ."""

Row = dict[str, Any]


def assemble(model: Path = MODEL, to: Path = ASSEMBLED) -> list[Path]:
    """Folders that a params file can name as models: each checkpoint with the tokenizer of the finished model."""
    made = []
    for checkpoint in sorted((model / "checkpoints").glob("step-*")):
        folder = to / checkpoint.name
        folder.mkdir(parents=True, exist_ok=True)
        for file in (*sorted(checkpoint.iterdir()), model / "tokenizer.json", model / "tokenizer_config.json"):
            shutil.copyfile(file, folder / file.name)
        made.append(folder)
    return made


def read(results: Path, benchmark: str = BENCHMARK) -> list[Row]:
    """The rows of checkpoints, by task in the order of the files, then by step."""
    rows = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted((results / benchmark / "rows").glob("*.json"))
    ]
    return sorted((row for row in rows if row["model"].startswith("step-")), key=lambda row: (row["task"], step(row)))


def step(row: Row) -> int:
    return int(row["model"].removeprefix("step-"))


def off_diagonal(cka: list[list[float | None]]) -> float | None:
    """Mean similarity of two different layers."""
    known = [v for i, line in enumerate(cka) for j, v in enumerate(line) if i < j and v is not None]
    return add(known) / len(known) if known else None


def named(row: Row) -> tuple[int, int, int, float]:
    """Named neurons, described ones, different names, and the entropy of the names in bits."""
    concepts = [neuron["concept"] for neuron in row["concepts"]["neurons"] if neuron["concept"] is not None]
    counts = [concepts.count(name) for name in dict.fromkeys(concepts)]
    entropy = -add(n / len(concepts) * math.log2(n / len(concepts)) for n in counts) if counts else 0.0
    return len(concepts), row["concepts"]["described"], len(counts), entropy + 0.0


def chosen(row: Row) -> list[int]:
    """The headline's subset, minimal or estimated; none where there is neither."""
    return list(row["neurons"].get(row["ranking"], []))


def measure(row: Row, last: Row) -> dict[str, Any]:
    """What is shown of a checkpoint, beside the last one of the task.

    share : neurons of the subset of all; left : share of neurons left when one stands for each cluster at THRESHOLD;
    cka : see :func:`off_diagonal`; again : overlap (shared over either) of the subset with the last one's, chance :
    that of random sets as large; None where there is no subset.
    """
    own, other, n = chosen(row), chosen(last), row["n_neurons"]
    left = next(c["clusters"] for c in row["clusters"] if c["threshold"] == THRESHOLD)
    count, described, names, entropy = named(row)
    shared = len(set(own) & set(other))
    there = bool(own and other)
    return {
        "step": step(row),
        "status": row["status"],
        "score": row["judge"]["oracle"],
        "surface": row["judge"]["surface"],
        "left": left / n,
        "cka": off_diagonal(row["cka"]),
        "neurons": len(own) or None,
        "claimed": row["n_minimal"] is not None,
        "share": len(own) / n if own else None,
        "named": count,
        "described": described,
        "names": names,
        "entropy": entropy,
        "again": shared / (len(own) + len(other) - shared) if there else None,
        "chance": chance_overlap(len(own), len(other), n) if there else None,
    }


def tables(rows: list[Row]) -> str:
    """A Markdown table per task."""
    parts = []
    heads = ["step", "status", "all neurons", "text", "left", "cka", "subset", "named", "names", "entropy",
             "overlap with the last", "by chance"]  # fmt: skip
    for task in dict.fromkeys(row["task"] for row in rows):
        lines = [f"**{task}**", "", f"| {' | '.join(heads)} |", f"| ---: | --- |{' ---: |' * (len(heads) - 2)}"]
        for found in measured(rows, task):
            subset = (
                "-" if found["neurons"] is None else f"{found['neurons']}{'' if found['claimed'] else ' (estimate)'}"
            )
            overlap = ["-" if found[key] is None else f"{found[key]:.2f}" for key in ("again", "chance")]
            cells = [
                str(found["step"]), found["status"], f"{found['score']:.3f}", f"{found['surface']:.3f}",
                f"{found['left']:.1%}", "-" if found["cka"] is None else f"{found['cka']:.2f}", subset,
                f"{found['named']} of {found['described']}", str(found["names"]), f"{found['entropy']:.2f}", *overlap,
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def measured(rows: list[Row], task: str) -> list[dict[str, Any]]:
    here = [row for row in rows if row["task"] == task]
    return [measure(row, here[-1]) for row in here]


def picture(rows: list[Row], task: str) -> dict[str, Any]:
    """Score, neurons left by the clusters, size of the subset and named share by step: a specification."""
    found = measured(rows, task)
    lines = {
        "score, all neurons": [f["score"] for f in found],
        "left by clusters": [f["left"] for f in found],
        "subset of all": [f["share"] for f in found],
        "named of described": [f["named"] / f["described"] if f["described"] else None for f in found],
    }
    points = [
        {"series": name, "at": f["step"] + 1, "step": f["step"], "value": marks.exact(value)}
        for name, values in lines.items()
        for f, value in zip(found, values, strict=True)
        if value is not None
    ]
    x = {"field": "at", "type": "quantitative", "title": "step + 1 (log scale)", "scale": {"type": "log"}}
    y = {"field": "value", "type": "quantitative", "title": "score, share", "scale": {"domain": [0, 1]}}
    tips = marks.tips(("series", "line", ""), ("step", "step", ","), ("value", "value", ".3f"))
    return marks.line_chart(points, x, y, marks.series(list(lines)), tips)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assemble", action="store_true", help="make the folders that presets/training.yaml names")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--to", type=Path, default=Path("docs/concepts"))
    parser.add_argument("--print", action="store_true", help="show the tables and write nothing")
    args = parser.parse_args()
    if args.assemble:
        sys.stdout.write("".join(f"{folder}\n" for folder in assemble()))
        return 0
    rows = read(args.results)
    if not rows:
        raise SystemExit(f"{args.results / BENCHMARK}: found no rows; run presets/training.yaml first")
    if args.print:
        sys.stdout.write(tables(rows) + "\n")
        return 0
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    for task in tasks:
        title = f"{task}: what changes while the model learns"
        write_text(args.to / f"training-{task}.svg", pictures.svg(picture(rows, task), title))
    shown = "\n\n".join(f"![{task}: what changes while the model learns](training-{task}.svg)" for task in tasks)
    write_text(args.to / "training.md", f"# Neurons over training\n\n{LEGEND}\n\n{tables(rows)}\n\n{shown}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
