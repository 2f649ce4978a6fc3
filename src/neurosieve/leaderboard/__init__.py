"""The leaderboard: table, a json per row, what the benchmark is; publishing; the terminal's table.

Reads the artifacts that collect.py names, and the figures that published_figures.py does. Writes leaderboard:
leaderboard.csv, rows/<model>__<task>.json, metrics/ and curves/ (see tracked.py), draws/ (see draws.py),
comparisons.json (see ranks.py), by model, where they are on, transfer.json (as in subsets/transfer), effects.json (as
in concepts/effects, but for what stands in rows) and languages.json (as in concepts/languages); benchmark.json: "facts"
(see :func:`benchmark_facts`), "tasks" (cards, see collect.py), "published" (rows of that protocol, a missing cell null)
and "figures" (the publication's beside ours, see published_figures.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from neurosieve.artifacts import Paths, csv_lines, dump_json
from neurosieve.config import Params
from neurosieve.flow import writer


def build_leaderboard(params: Params, paths: Paths) -> None:
    """Write the leaderboard of the run's models and tasks; rows are ordered as in params.run, model by model."""
    from neurosieve.leaderboard import collect, draws, published_figures, table, tracked

    found = collect.collect(params, paths)
    rows = found.rows
    published = collect.published_rows(params, paths)
    of_models = collect.collect_models(params, paths)
    figures = published_figures.read_figures(params)
    if figures:
        published_figures.put_beside([*rows, *published], figures)
    with writer(params, paths, "build_leaderboard") as out:
        out.text("leaderboard.csv", table.to_csv(table.build_table([*rows, *published])))
        for row in rows:
            out.text(table.row_file(row["model"], row["task"]), dump_row(row))
            out.json(tracked.metrics_file(row["model"], row["task"]), tracked.metrics(row))
            out.text(tracked.curve_file(row["model"], row["task"]), "".join(csv_lines(tracked.curve(row))))
            out.text(draws.draws_file(row["model"], row["task"]), draws.to_csv(found.draws[row["model"], row["task"]]))
        out.json("comparisons.json", found.comparisons)
        for name, of_model in of_models.items():
            if of_model:
                out.json(f"{name}.json", of_model)
        benchmark = {
            "facts": benchmark_facts(params),
            "tasks": collect.collect_cards(params, paths),
            "published": published,
            "figures": published_figures.table(params, rows, figures),
        }
        out.json("benchmark.json", benchmark)
        out.facts = {"rows": len(rows), "supported": sum(row["status"] == "supported" for row in rows)}


def benchmark_facts(params: Params) -> dict[str, Any]:
    """What readers of the results are told of the benchmark as a whole."""
    trained = [params.models[params.trained(model)] for model in params.run.models]
    return {
        "title": params.leaderboard.title,
        "benchmark": params.benchmark,
        "version": params.version,
        "protocol": "strict",
        "numerics": params.numerics,
        "seed": params.seed,
        "random_draws": params.subsets.random_draws,
        "models": params.run.models,
        "tasks": params.run.tasks,
        "curves": params.curve_rankings(),
        "other_neurons": any(entry.neurons != "hidden" or entry.part != "encoder" for entry in trained),
    }


def dump_row(row: Mapping[str, Any]) -> str:
    """Deterministic json with a line per key of the row: short enough for git, and a diff names what changed."""
    plain = json.loads(dump_json(row))  # refuses NaN, turns arrays into lists
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}" for key, value in plain.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"
