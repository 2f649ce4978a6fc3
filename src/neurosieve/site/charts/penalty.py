"""Score on tune of the probe on all neurons, by the penalties that were tried."""

from __future__ import annotations

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, Row, exact


def chart(row: Row) -> Chart | None:
    """A line over l2 for each l1; none where the penalties were not kept or only one was tried."""
    probe = row.get("oracle_probe") or {}
    tried = [entry for entry in probe.get("tried") or [] if entry.get("tune") is not None and entry["l2"] > 0]
    if len(tried) < 2:
        return None
    names = [f"l1 {value:g}" for value in sorted({entry["l1"] for entry in tried})]
    points = [
        {"series": f"l1 {entry['l1']:g}", "l2": entry["l2"], "score": exact(entry["tune"])}
        for entry in sorted(tried, key=lambda entry: (entry["l1"], entry["l2"]))
    ]
    metric = parts.metric_name(row)
    levels = sorted({p["l2"] for p in points})
    x = {"field": "l2", "type": "quantitative", "title": "l2 (log scale)", "scale": {"type": "log", "nice": False}}
    chosen = {
        "data": parts.rows_of([{"l2": probe["l2"], "label": "chosen"}]),
        "mark": {"type": "rule", "style": "mark"},
        "encoding": {"x": {"field": "l2", "type": "quantitative"}},
    }
    spec = parts.line_chart(
        points,
        {**x, "axis": {"values": levels, "format": "~g", "grid": False}},
        {"field": "score", **parts.score_axis(f"{metric} on tune", [p["score"] for p in points])},
        parts.series(names),
        parts.tips(("series", "penalty", ""), ("l2", "l2", "~g"), ("score", metric, ".4f")),
        *([chosen] if probe.get("l2") in levels else []),
        height=200,
    )
    table = [["l1", "l2", f"{metric} on tune"]]
    table += [[f"{e['l1']:g}", f"{e['l2']:g}", parts.score(e["tune"], 4)] for e in tried]
    text = f"{metric} on tune of the probe on all neurons; the upright line is the penalty that was chosen there."
    return Chart("penalty", "Penalties tried", text, spec, table)
