"""What the page compare.html needs to set two rows or models side by side. Pure functions; reads and writes no files.

Two rows of one task of one benchmark are compared by what ranks.py found of the pair; other pairs have no such figures.
Two models are compared row by row on the tasks that both have. The pictures are those of charts.of_pair and
charts.of_models, made once with stand-ins; the script puts the chosen rows in their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurosieve.leaderboard.measures import count, decimals, share
from neurosieve.site import charts, texts
from neurosieve.site.charts.parts import needed
from neurosieve.site.compare import leaves
from neurosieve.site.read import Results

Row = Mapping[str, Any]
FIGURES = (
    ("oracle", "All neurons, test", decimals),
    ("subset_test", "Subset, test", decimals),
    ("n_minimal", "Neurons", count),
    ("n_least", "Neurons not ruled out from", count),
    ("share", "Share of the neurons", share),
    ("n_bound", "At least, at that train objective", count),
    ("random_test", "Random neurons, test", decimals),
    ("reference", "Reference, test", decimals),
    ("surface", "Text alone, test", decimals),
    ("untrained", "Untrained twin, test", decimals),
    ("majority", "Constant answer, test", decimals),
)
WORDS = (
    ("status", "Status"), ("evidence", "Evidence"), ("metric", "Metric"), ("ranking", "Headline contender"),
    ("layers_used", "Layers of the subset"), ("n_neurons", "Neurons of the model"),
)  # fmt: skip
SHARED = ("activations", "redundancy", "probes", "subsets")  # blocks of a params file that hold for every row
# The stand-ins, by what the script finds them: names of the series and of the metric, ends of axes, and the key of the
# figure in each set of data.
STANDING_IN: dict[str, Any] = {
    "metric": "METRIC",
    "n_neurons": 1000,
    "n_minimal": 10,
    "n_minimal_low": None,
    "n_minimal_high": None,
}
DIFFERENCE = {"task": "TASK", "difference": 0.5, "low": -1.0, "high": 1.0, "apart": True, "what": ""}
NEEDED = {"task": "TASK", "value": 10, "low": 1, "high": 100, "filled": True, "what": ""}


def of_task(one: Results, task: str, members: Sequence[tuple[str, Row]]) -> dict[str, Any]:
    """Rows of a task by the slug of their page, and what is known of every two of them.

    Returns
    -------
    {"rows": {slug: {"name", "of", "page", "figures": {key: [number, text]}, "words", "settings": {name: text},
    "curve", "layers", "minimum", "needed"}}, "pairs": {"score", "subset", "n_minimal": as in comparisons.json, with the
    slugs of the rows as "a" and "b"}}; "curve" is [[neurons, judge score]] of the headline, "layers" the subset per
    layer, "needed" as of charts.parts.
    """
    params = one.manifest.get("params") or {}
    slugs = {row["model"]: name for name, row in members if row["status"] is not None}
    known = one.comparisons.get(task, {})
    return {
        "rows": {name: _row(one, params, name, row) for name, row in members},
        "pairs": {
            kind: [
                {**pair, "a": slugs[pair["a"]], "b": slugs[pair["b"]]}
                for pair in known.get(kind, ())
                if pair["a"] in slugs and pair["b"] in slugs
            ]
            for kind in ("score", "subset", "n_minimal")
        },
    }


def _row(one: Results, params: Mapping[str, Any], name: str, row: Row) -> dict[str, Any]:
    curve = row["curves"].get(row["ranking"])
    words = {key: row[key] for key, _ in WORDS}
    words |= {"metric": row["metric"] and texts.metric_name(row["metric"]), "status": texts.status_word(row)}
    words["n_neurons"] = count(row["n_neurons"])
    return {
        "name": row["model"],
        "of": row["task"],
        "results": [one.name, one.folder],
        "page": f"rows/{name}.html",
        "metric": texts.metric_name(row["metric"] or ""),
        "n_neurons": row["n_neurons"],
        "figures": {key: [row[key], tell(row[key])] for key, _, tell in FIGURES},
        "words": words,
        "settings": _settings(one, params, row),
        "curve": []
        if curve is None
        else [[n, round(v, 6)] for n, v in zip(curve["sizes"], curve["judge"], strict=True)],
        "layers": row["chosen_layers"] or [],
        "minimum": [row["n_minimal"], texts.minimum(row)],
        "needed": needed(row),
    }


def _settings(one: Results, params: Mapping[str, Any], row: Row) -> dict[str, str]:
    """By name what was chosen before the measurement: of the params file what concerns the row."""
    blocks = {name: params.get(name) for name in SHARED}
    blocks["model"] = (params.get("models") or {}).get(row["model"])
    blocks["task"] = ((params.get("prepare") or {}).get("tasks") or {}).get(row["task"])
    found = {name: one.facts.get(name, params.get(name)) for name in ("numerics", "seed")}
    found |= {name: row[name] for name in ("benchmark", "version", "protocol", "training", "margin")}
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in {**found, **dict(leaves(blocks))}.items()
        if value is not None and value != {}
    }


def pictures() -> dict[str, list[dict[str, Any]]]:
    """The pictures of two rows and of two models, A and B as stand-ins: {"key", "title", "text", "spec"} each."""
    curve = {"sizes": [1, 10], "judge": [0.1, 0.2]}
    a, b = (
        {**STANDING_IN, "model": name, "ranking": "r", "curves": {"r": curve}, "chosen_layers": [1]} for name in "AB"
    )
    sizes = [{**NEEDED, "series": name} for name in "AB"]
    found = {
        "rows": charts.of_pair(a, b),
        "models": charts.of_models(("A", "B"), [DIFFERENCE], sizes, STANDING_IN["n_neurons"]),
    }
    return {
        kind: [{"key": c.key, "title": c.title, "text": c.text, "spec": c.spec} for c in of]
        for kind, of in found.items()
    }


def labels() -> dict[str, Any]:
    """Names of the lines of the table, for the script."""
    return {"figures": [[key, name] for key, name, _ in FIGURES], "words": [list(pair) for pair in WORDS]}
