"""What share of a model's neurons its tasks need: one picture for the top of the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import COLOURS, Chart, Row, Spec, exact


def chart(rows: Sequence[Row]) -> Chart | None:
    """A dot for each row with a minimal subset, by task; none without such a row."""
    known = [row for row in rows if parts.claims(row)]
    if not known:
        return None
    models = list(dict.fromkeys(row["model"] for row in known))
    values: list[dict[str, Any]] = [
        {
            "name": row["task"],
            "model": row["model"],
            "series": row["model"],
            "value": exact(row["n_minimal"] / row["n_neurons"]),
            "what": parts.minimal_text(row),
        }
        for row in known
    ]
    least = min(row["n_minimal"] / row["n_neurons"] for row in known)
    x: Spec = {
        "type": "quantitative",
        "title": "share of the model's neurons (log scale)",
        "scale": {"type": "log", "domain": [min(0.01, 0.8 * least), 1], "nice": False},
        "axis": {"format": "~%", "values": [0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1], "grid": True},
    }
    tooltip = parts.tips(("name", "task", ""), ("model", "model", ""), ("what", "minimal subset", ""))
    channels: Spec = {}
    if 1 < len(models) <= COLOURS:
        channels["color"] = parts.series(models)["color"]
        channels["color"]["legend"] = {"symbolType": "circle"}
    spec = parts.ranges(values, x, tooltip, channels, step=22)
    table = [["task", "model", "minimal subset", "share"]]
    table += [[str(v["name"]), str(v["model"]), str(v["what"]), parts.percent(float(v["value"] or 0))] for v in values]
    text = "Share of all neurons that the minimal subset has: a dot for each model whose row is supported."
    return Chart("overview", "How few neurons suffice", text, spec, table)
