"""Test scores with their intervals: all neurons, the subset, and what both are compared with."""

from __future__ import annotations

from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, Row, exact

NAMES = {
    "oracle": "all neurons",
    "reference": "reference",
    "subset": "subset",
    "random": "as many random neurons",
    "bottom": "as many from the end of a ranking",
    "surface": "surface baseline",
    "untrained": "untrained twin",
    "majority": "majority",
}


def chart(row: Row) -> Chart | None:
    """A line for each feature set that was scored on test."""
    test, metric = row.get("test") or {}, row["metric"]
    values: list[dict[str, Any]] = []
    for key, name in NAMES.items():
        found = test.get(key)
        if not found or found.get(metric) is None:
            continue
        if key == "majority":
            name = parts.plainest(row)
        if key == "surface" and row.get("surface_name"):
            name = f"surface baseline: {row['surface_name']}"
        low, high = exact(found.get("low")), exact(found.get("high"))
        values.append({"name": name, "value": exact(found[metric]), "low": low, "high": high})
        values[-1]["neurons"] = parts.integer(found.get("neurons"))
    if len(values) < 2:
        return None
    title = parts.metric_name(row)
    x = parts.score_axis(f"{title} on test", [v for p in values for v in (p["value"], p["low"])])
    tooltip = parts.tips(
        ("name", "predictor", ""), ("value", title, ".3f"), ("low", "from", ".3f"), ("high", "to", ".3f"),
        ("neurons", "neurons", ""),
    )  # fmt: skip
    table = [["predictor", "neurons", f"{title} on test", "interval"]]
    table += [
        [str(v["name"]), str(v["neurons"]), parts.score(v["value"]), parts.interval(v["low"], v["high"])]
        for v in values
    ]
    text = (
        f"{title} on test. Intervals: 5-95 %, bootstrap over files; for random neurons the least and largest of the "
        "draws."
    )
    return Chart("levels", "Scores on test", text, parts.ranges(values, x, tooltip), table)
