"""Benchmarks whose answer is known, twenty seeds of each: does the search find what was planted?

    nice python benchmarks/planted_truth.py [--seeds 20] [--work build/planted-truth] [--table] [--only NAME ...]
    nice python benchmarks/planted_truth.py --grids [--seeds 5] ...

Writes one json per setting and seed to the work folder, and the tables into docs/planted-truth.md. What is there
already is not computed again, so a run that was stopped goes on; --table only writes the tables of what is there.
--grids compares lists of penalties on the settings that are hardest for them, by the search alone.
A seed of one setting takes about six seconds. tests/planted.py says what is planted, and holds the rules that are run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
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
from neurosieve.subsets import search_subsets  # noqa: E402

DOCUMENT = ROOT / "docs" / "planted-truth.md"
BEGIN, END = "<!-- figures: made by benchmarks/planted_truth.py -->", "<!-- end of figures -->"
BEGIN_GRIDS, END_GRIDS = "<!-- grids: made by benchmarks/planted_truth.py -->", "<!-- end of grids -->"
THRESHOLD = 0.3
NAMES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "r2": "R2"}
ORDERS = ["elimination", *planted.RANKINGS, "pipeline"]


@dataclass(frozen=True)
class Case:
    """A setting and what is asked of it; ``labels`` as in planted.build, ``search`` whether the subsets are searched,
    ``truth`` whether there is a minimum to be found, ``sparse`` whether the penalties are sparse ones instead of those
    of the default benchmark."""

    setting: planted.Setting
    labels: str = "carriers"
    search: bool = True
    truth: bool = True
    sparse: bool = False


ORDINARY = planted.Setting(carriers=5, copies=2, noise=0.15)
WIDE: dict[str, Any] = {"width": 100, "rows": (2500, 1500, 15000, 3000)}
# the cost of one carrier is 1.8 margins here
FEW: dict[str, Any] = {"carriers": 12, "copies": 0, "noise": 0.1, "heavy": "noise", "width": 75}
CASES = {
    "3 carriers, no copies": Case(planted.Setting(carriers=3, copies=0, noise=0.1, margin=0.03)),
    "5 carriers, 2 copies each": Case(ORDINARY),
    "8 carriers, 1 copy each": Case(planted.Setting(carriers=8, copies=1, noise=0.02, correlation=0.99)),
    "8 carriers, 3 copies each": Case(planted.Setting(carriers=8, copies=3, noise=0.05)),
    "3 classes, 6 carriers, 3 copies each": Case(
        planted.Setting(carriers=6, copies=3, noise=0.1, classes=3, rows=(2500, 1500, 10000, 3000))
    ),
    "10 classes, 20 carriers": Case(
        planted.Setting(20, 0, 0.05, classes=10, width=100, rows=(5000, 2500, 20000, 3000), margin=0.017)
    ),
    "number, 10 carriers, 1 copy each": Case(planted.Setting(10, 1, 0.2, classes=0, margin=0.025, **WIDE)),
    "classes 90/10, 6 carriers, 1 copy each": Case(
        planted.Setting(6, 1, 0.05, share=0.9, margin=0.03, **WIDE | {"rows": (4000, 2000, 15000, 3000)})
    ),
    "noise of t4, 8 carriers, 1 copy each": Case(planted.Setting(8, 1, 0.1, heavy="noise", margin=0.017, **WIDE)),
    "all of t4, 8 carriers, 1 copy each": Case(planted.Setting(8, 1, 0.1, heavy="all", margin=0.0155, **WIDE)),
    "64 weak carriers": Case(planted.Setting(64, 0, 0.5, width=100, rows=(6000, 3000, 12000, 3000), margin=0.03)),
    "64 weak carriers, 2,500 train rows": Case(
        planted.Setting(64, 0, 0.5, width=100, rows=(2500, 1500, 12000, 3000), margin=0.03)
    ),
    "noise of t4, 12 carriers, 1,200 train rows": Case(planted.Setting(rows=(1200, 600, 10000, 3000), **FEW)),
    "noise of t4, 12 carriers, 600 train rows": Case(planted.Setting(rows=(600, 600, 10000, 3000), **FEW)),
    "5 carriers, 2 copies each, sparse penalties": Case(ORDINARY, sparse=True),
    "permuted labels": Case(
        replace(ORDINARY, **WIDE | {"rows": (2500, 1500, 20000, 3000)}), labels="permuted", truth=False
    ),
    "labels of the token alone": Case(ORDINARY, labels="lookup", search=False, truth=False),
    "300 judge rows": Case(replace(ORDINARY, rows=(2500, 1500, 300, 3000)), truth=False),
}
RIDGE = [{"l1": 0.0, "l2": l2} for l2 in (0.1, 0.03, 0.01, 0.003)]
GRIDS = {  # l2 of the ridge penalties, and what is added to them
    "0.1 to 0.003": RIDGE,
    "+ 0.3": [{"l1": 0.0, "l2": 0.3}, *RIDGE],
    "+ 0.001": [*RIDGE, {"l1": 0.0, "l2": 0.001}],
    "+ 0.001, 0.0003": [*RIDGE, *({"l1": 0.0, "l2": l2} for l2 in (0.001, 0.0003))],
    "+ l1 0.003": [*RIDGE, {"l1": 0.003, "l2": 0.003}],
    "+ l1 0.01, 0.003, 0.001": [*RIDGE, *({"l1": l1, "l2": min(l1, 0.003)} for l1 in (0.01, 0.003, 0.001))],
}
HARD = [
    "5 carriers, 2 copies each",
    "8 carriers, 1 copy each",
    "10 classes, 20 carriers",
    "classes 90/10, 6 carriers, 1 copy each",
    "64 weak carriers, 2,500 train rows",
    "noise of t4, 12 carriers, 600 train rows",
]
# the search alone, along one order beside elimination
SEARCH: dict[str, dict[str, Any]] = {
    "probes": {"rankings": ["lca"]},
    "subsets": {"rankings": ["lca"], "pipeline": None, "control_ratio": 4.0, "random_draws": 2},
}


def run(case: Case, seed: int) -> dict[str, Any]:
    """One benchmark from its artifacts to its figures, in a folder that is removed again."""
    setting, task = case.setting, "task"
    changes: dict[str, dict[str, Any]] = {
        "subsets": {"control_ratio": 4.0, "random_draws": 2},
        "redundancy": {"rows": setting.rows[0], "thresholds": [THRESHOLD], "cka_rows": 100, "cka_batches": 1},
    }
    params = planted.make_params(setting, [task], seed, planted.SPARSE if case.sparse else None, **changes)
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths("planted", folder)
        truth = planted.build(paths, setting, task, seed, case.labels)
        found: dict[str, Any] = {"seed": seed, "status": planted.run_probes(params, paths, task)}
        if case.search:
            planted.run_subsets(params, paths, task)
            found |= planted.measure(params, paths, truth, task)
            found["rand_index"] = planted.rand_index(params, paths, truth, task, THRESHOLD)
    return found


def run_search(setting: planted.Setting, penalties: list[dict[str, float]], seed: int) -> dict[str, Any]:
    """What the search finds with these penalties, and the seconds of processor time of probes and search."""
    params = planted.make_params(setting, ["task"], seed, penalties, **SEARCH)
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths("planted", folder)
        truth = planted.build(paths, setting, "task", seed)
        began = time.process_time()
        planted.run_probes(params, paths, "task")
        search_subsets(params, paths, model=planted.MODEL, task="task")
        seconds = time.process_time() - began
        return planted.searched(params, paths, truth, "task") | {"seed": seed, "seconds": seconds}


def truth_of(setting: planted.Setting) -> dict[str, Any]:
    """What is known beforehand: "best" score, "cost" of one carrier, "fewest" carriers within the margin, "claimed":
    the fewest that a judge of so many rows can tell to be."""
    return {
        "best": setting.accuracy(),
        "cost": setting.cost(),
        "fewest": setting.fewest(),
        "claimed": setting.fewest_claimed(),
    }


def is_right(n: int | None, fewest: int) -> bool:
    """Not fewer than are within the margin, and at most a tenth more, or one more."""
    return n is not None and fewest <= n <= max(fewest + 1, math.floor(1.1 * fewest))


def load(work: Path, name: str, seeds: int) -> list[dict[str, Any]]:
    files = [_file(work, name, seed) for seed in range(seeds)]
    return [json.loads(f.read_text(encoding="utf-8")) for f in files if f.is_file()]


def _folder(name: str) -> str:
    return name.replace(" ", "-").replace(",", "").replace("/", "-")


def _file(work: Path, name: str, seed: int) -> Path:
    return work / _folder(name) / f"{seed:02d}.json"


def _truth(work: Path, name: str) -> Path:
    return _file(work, name, 0).with_name("truth.json")


def _range(values: list[Any]) -> str:
    values = [v for v in values if v is not None]
    return "none" if not values else f"{min(values)}" if min(values) == max(values) else f"{min(values)}-{max(values)}"


def tables(work: Path, seeds: int) -> str:
    """The document's figures, from the json files that are there."""
    known = {
        name: (case.setting, json.loads(_truth(work, name).read_text(encoding="utf-8")), rows)
        for name, case in CASES.items()
        if case.truth and (rows := load(work, name, seeds))
    }
    lines = [
        "| planted | rows of train | best score | margin | lost without one carrier | fewest within the margin, "
        "and that judge can tell | n_minimal of `elimination`: median (range) | right | chosen that are planted, least "
        "| fewest in [n_least, n_minimal] |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, (s, truth, rows) in known.items():
        curves = [r["curves"]["elimination"] for r in rows]
        kept = [c for c in curves if c["n_minimal"] is not None]
        neurons = sum(c["n_minimal"] for c in kept)
        share = sum(c["planted"] * c["n_minimal"] for c in kept) / neurons if kept else 0.0
        fewest = truth["fewest"]
        lines.append(
            f"| {name} | {s.rows[0]:,} | {truth['best']:.3f} {NAMES[s.metric]} | {s.margin} | {truth['cost']:.4f} | "
            f"{fewest}, {truth['claimed']} | {_sizes(curves)} | "
            f"{sum(is_right(c['n_minimal'], fewest) for c in curves)} of {len(rows)} | "
            f"{share:.3f}, {min((c['planted'] for c in kept), default=0):.2f} | "
            f"{sum(c['least'] is not None and c['least'] <= fewest <= c['n_minimal'] for c in kept)} of {len(kept)} |"
        )
    lines += [
        "",
        "| planted | supported, on judge and test | mean judge score of the reference, and of the best of whole layers "
        "| clusters at index 1 | random neurons: below the subset by at least, in margins |",
        "|---|---|---|---|---|",
    ]
    for name, (s, _, rows) in known.items():
        supported = sum(r["status"] == r["test_status"] == "supported" for r in rows)
        apart = min((r["curves"][n]["test"] - v) / s.margin for r in rows for n, v in r["random"].items())
        reference, layers = (float(np.mean([r[key] for r in rows])) for key in ("reference", "layer_reference"))
        lines.append(
            f"| {name} | {supported} of {len(rows)} | {reference:.3f}, {layers:.3f} | "
            f"{sum(r['rand_index'] == 1 for r in rows)} | {apart:.0f} |"
        )
    lines += ["", "| planted: fewest | " + " | ".join(f"`{order}`" for order in ORDERS) + " |"]
    lines.append("|---|" + "---|" * len(ORDERS))
    for name, (_, truth, rows) in known.items():
        cells = []
        for order in ORDERS:
            curves = [r["curves"][order] for r in rows if order in r["curves"]]
            right = sum(is_right(c["n_minimal"], truth["fewest"]) for c in curves)
            cells.append(f"{_sizes(curves)}: {right} of {len(curves)}" if curves else "ranks no numbers")
        lines.append(f"| {name}: {truth['fewest']} | " + " | ".join(cells) + " |")
    lines += ["", "| made so that nothing is to be found | seeds | outcome |", "|---|---|---|"]
    for name, case in CASES.items():
        if case.truth or not (rows := load(work, name, seeds)):
            continue
        counts: dict[str, int] = {}
        for row in rows:
            outcome = _outcome(row)
            counts[outcome] = counts.get(outcome, 0) + 1
        lines.append(f"| {name} | {len(rows)} | {'; '.join(f'{v} {k}' for k, v in sorted(counts.items()))} |")
    return "\n".join(lines)


def _sizes(curves: list[dict[str, Any]]) -> str:
    """Median and range of n_minimal, and in how many no minimum is claimed."""
    sizes = [c["n_minimal"] for c in curves]
    claimed = [n for n in sizes if n is not None]
    median = f"{np.median(claimed):g} ({_range(sizes)})" if claimed else "none"
    return median + (f", none in {len(sizes) - len(claimed)}" if 0 < len(claimed) < len(sizes) else "")


def _outcome(row: dict[str, Any]) -> str:
    if "curves" not in row:
        return f"`{row['status']}`"
    claims = [name for name, curve in row["curves"].items() if curve["n_minimal"] is not None]
    small = "`dev too small`" if row["dev_too_small"] else "judge is large enough"
    return f"`{row['status']}`, {small}, minima claimed on {len(claims)} curves"


def grid_table(work: Path, seeds: int) -> str:
    """Grids by settings: n_minimal of elimination, what is right of it, that of lca, the reference, and the time."""
    lines = [
        "| planted: fewest, best score | penalties | `elimination` | right | `lca` | mean judge score of the reference "
        "and of the best of whole layers | time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in [n for n in HARD if _truth(work, n).is_file()]:
        known, first = json.loads(_truth(work, name).read_text(encoding="utf-8")), 0.0
        for grid in GRIDS:
            if not (rows := load(work / "grids" / _folder(grid), name, seeds)):
                continue
            seconds = float(np.mean([r["seconds"] for r in rows]))
            first = first or seconds
            found = [r["curves"]["elimination"] for r in rows]
            of_lca = _sizes([r["curves"]["lca"] for r in rows])
            right = f"{sum(is_right(c['n_minimal'], known['fewest']) for c in found)} of {len(rows)}"
            reference, layers = (float(np.mean([r[key] for r in rows])) for key in ("reference", "layer_reference"))
            lines.append(
                f"| {name}: {known['fewest']}, {known['best']:.3f} | {grid} | {_sizes(found)} | {right} | {of_lca} | "
                f"{reference:.3f}, {layers:.3f} | {seconds / first:.2f} |"
            )
    return "\n".join(lines)


def write_document(text: str, begin: str = BEGIN, end: str = END) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    head, rest = document.split(begin)
    write_text(DOCUMENT, head + begin + "\n\n" + text + "\n\n" + end + rest.split(end)[1])


def compute(work: Path, name: str, seed: int, grid: str | None) -> None:
    """Write what is not there yet of a setting and seed; ``grid``: of GRIDS, or None for the whole chain of rules."""
    case, known = CASES[name], _truth(work, name)
    if case.truth and not known.is_file():
        write_text(known, dump_json(truth_of(case.setting)))
    file = _file(work if grid is None else work / "grids" / _folder(grid), name, seed)
    if not file.is_file():
        found = run(case, seed) if grid is None else run_search(case.setting, GRIDS[grid], seed)
        write_text(file, dump_json(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help="20, with --grids 5")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "planted-truth")
    parser.add_argument("--table", action="store_true", help="compute nothing, write the tables of what is there")
    parser.add_argument("--grids", action="store_true", help="compare lists of penalties")
    parser.add_argument("--only", nargs="+", choices=list(CASES), metavar="NAME", help="of the table")
    given = parser.parse_args()
    numerics.check("portable")
    seeds = given.seeds or (5 if given.grids else 20)
    names, grids = given.only or (HARD if given.grids else list(CASES)), list(GRIDS) if given.grids else [None]
    wanted = [(name, seed, grid) for seed in range(seeds) for name in names for grid in grids]
    if not given.table:
        for name, seed, grid in tqdm(wanted, unit="benchmark", mininterval=5, disable=False):
            compute(given.work, name, seed, grid)
    text = grid_table(given.work, seeds) if given.grids else tables(given.work, seeds)
    print(text)
    write_document(text, *((BEGIN_GRIDS, END_GRIDS) if given.grids else (BEGIN, END)))


if __name__ == "__main__":
    main()
