"""Benchmarks whose answer is known, twenty seeds of each: does the search find what was planted?

    nice python benchmarks/planted_truth.py [--seeds 20] [--work build/planted-truth] [--table] [--only NAME ...]

Writes one json per setting and seed to the work folder, and the tables into docs/planted-truth.md. What is there
already is not computed again, so a run that was stopped goes on; --table only writes the tables of what is there.
A seed of one setting takes about ten seconds. tests/planted.py says what is planted, and holds the rules that are run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurosieve import numerics

if __name__ == "__main__":
    numerics.apply("portable")  # before numpy is loaded: the same figures on every machine
    os.environ["TQDM_DISABLE"] = "1"  # the bars of the rules; ours is shown

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402
import planted  # noqa: E402
from tqdm import tqdm  # noqa: E402

from neurosieve.artifacts import Paths, dump_json, write_text  # noqa: E402
from neurosieve.config import load_params  # noqa: E402

DOCUMENT = ROOT / "docs" / "planted-truth.md"
BEGIN, END = "<!-- figures: made by benchmarks/planted_truth.py -->", "<!-- end of figures -->"
HEADLINE = "greedy"
THRESHOLD = 0.3


@dataclass(frozen=True)
class Case:
    """A setting and what is asked of it; ``labels`` as in planted.build, ``search`` whether the subsets are searched,
    ``ridge`` whether the penalties are those of the default benchmark, none of which is sparse."""

    setting: planted.Setting
    labels: str = "carriers"
    search: bool = True
    ridge: bool = False


ORDINARY = planted.Setting(carriers=5, copies=2, noise=0.15)
CASES = {
    "3 carriers, no copies": Case(planted.Setting(carriers=3, copies=0, noise=0.1, margin=0.03)),
    "5 carriers, 2 copies each": Case(ORDINARY),
    "8 carriers, 1 copy each": Case(planted.Setting(carriers=8, copies=1, noise=0.02, correlation=0.99)),
    "8 carriers, 3 copies each": Case(planted.Setting(carriers=8, copies=3, noise=0.05)),
    "3 classes, 6 carriers, 3 copies each": Case(planted.Setting(carriers=6, copies=3, noise=0.1, classes=3)),
    "5 carriers, 2 copies each, l2 only": Case(ORDINARY, ridge=True),
    "permuted labels": Case(ORDINARY, labels="permuted", search=False),
    "labels of the token alone": Case(ORDINARY, labels="lookup", search=False),
    "300 judge rows": Case(replace(ORDINARY, rows=(2500, 1500, 300, 3000))),
}


def run(case: Case, seed: int) -> dict[str, Any]:
    """One benchmark from its artifacts to its figures, in a folder that is removed again."""
    setting, task = case.setting, "task"
    default = load_params(ROOT / "params.yaml").model_dump(mode="json")
    changes: dict[str, dict[str, Any]] = {
        "subsets": {"headline": HEADLINE, "control_ratio": 4.0},
        "redundancy": {"rows": setting.rows[0], "thresholds": [THRESHOLD], "cka_rows": 100, "cka_batches": 1},
    }
    if case.ridge:
        changes["probes"] = {"penalties": default["probes"]["penalties"]}
    params = planted.make_params(setting, [task], seed, **changes)
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths("planted", folder)
        truth = planted.build(paths, setting, task, seed, case.labels)
        found: dict[str, Any] = {"seed": seed, "status": planted.run_probes(params, paths, task)}
        if case.search:
            planted.run_subsets(params, paths, task)
            found |= planted.measure(params, paths, truth, task)
            found["rand_index"] = planted.rand_index(params, paths, truth, task, THRESHOLD)
    return found


def load(work: Path, name: str, seeds: int) -> list[dict[str, Any]]:
    files = [_file(work, name, seed) for seed in range(seeds)]
    return [json.loads(f.read_text(encoding="utf-8")) for f in files if f.is_file()]


def _file(work: Path, name: str, seed: int) -> Path:
    return work / name.replace(" ", "-").replace(",", "") / f"{seed:02d}.json"


def _range(values: list[Any]) -> str:
    values = [v for v in values if v is not None]
    return "none" if not values else f"{min(values)}" if min(values) == max(values) else f"{min(values)}-{max(values)}"


def tables(work: Path, seeds: int) -> str:
    """The document's figures, from the json files that are there."""
    lines = [
        "| planted | best accuracy | lost without one carrier, in margins | seeds | supported, on judge and test | "
        "clusters at index 1 | random neurons: below the subset by at least, in margins |",
        "|---|---|---|---|---|---|---|",
    ]
    searched = {n: c for n, c in CASES.items() if c.search and c.setting.rows[2] > 1000}
    for name, case in searched.items():
        rows, s = load(work, name, seeds), case.setting
        if not rows:
            continue
        supported = sum(r["status"] == r["test_status"] == "supported" for r in rows)
        apart = min((r["curves"][n]["test"] - v) / s.margin for r in rows for n, v in r["random"].items())
        lines.append(
            f"| {name} | {s.accuracy():.3f} | {s.cost() / s.margin:.1f} x {s.margin} | {len(rows)} | {supported} | "
            f"{sum(r['rand_index'] == 1 for r in rows)} | {apart:.0f} |"
        )
    lines += [
        "",
        "| planted | order | n_minimal, median (range) | in [k, k+1] | all carriers covered | "
        "chosen that are carriers or copies, least share |",
        "|---|---|---|---|---|---|",
    ]
    for name, case in searched.items():
        rows, k = load(work, name, seeds), case.setting.carriers
        for order in [*planted.RANKINGS, "pipeline"] if rows else []:
            curves = [r["curves"][order] for r in rows]
            sizes = [c["n_minimal"] for c in curves]
            claimed = [n for n in sizes if n is not None]
            median = f"{np.median(claimed):g} ({_range(sizes)})" if claimed else "none"
            if len(claimed) < len(sizes):
                median += f", none in {len(sizes) - len(claimed)}"
            shares = [c["planted"] for c in curves if c["planted"] is not None]
            lines.append(
                f"| {name} | {order} | {median} | {sum(n in (k, k + 1) for n in sizes)} of {len(sizes)} | "
                f"{sum(c['covered'] == k for c in curves)} | {min(shares) if shares else 0:.2f} |"
            )
    lines += ["", "| made so that nothing is to be found | seeds | outcome |", "|---|---|---|"]
    for name in CASES:
        if name in searched or not (rows := load(work, name, seeds)):
            continue
        counts: dict[str, int] = {}
        for row in rows:
            outcome = _outcome(row)
            counts[outcome] = counts.get(outcome, 0) + 1
        lines.append(f"| {name} | {len(rows)} | {'; '.join(f'{v} {k}' for k, v in sorted(counts.items()))} |")
    return "\n".join(lines)


def _outcome(row: dict[str, Any]) -> str:
    if "curves" not in row:
        return f"`{row['status']}`"
    claims = [name for name, curve in row["curves"].items() if curve["n_minimal"] is not None]
    return f"{'`dev too small`' if row['dev_too_small'] else 'judge is large enough'}, {len(claims)} minima claimed"


def write_document(text: str) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    head, rest = document.split(BEGIN)
    write_text(DOCUMENT, head + BEGIN + "\n\n" + text + "\n\n" + END + rest.split(END)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "planted-truth")
    parser.add_argument("--table", action="store_true", help="compute nothing, write the tables of what is there")
    parser.add_argument(
        "--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="NAME", help="of the table"
    )
    given = parser.parse_args()
    numerics.check("portable")
    wanted = [(name, seed) for seed in range(given.seeds) for name in given.only]
    if not given.table:
        for name, seed in tqdm(wanted, unit="benchmark", mininterval=5, disable=False):
            file = _file(given.work, name, seed)
            if not file.is_file():
                write_text(file, dump_json(run(CASES[name], seed)))
    text = tables(given.work, given.seeds)
    print(text)
    write_document(text)


if __name__ == "__main__":
    main()
