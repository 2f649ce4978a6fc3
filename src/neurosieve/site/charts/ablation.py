"""What changing the chosen neurons in the model does to its own predictions, beside random ones of the same layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import DASHED, SOLID, Chart, Row, Spec, exact

CHOSEN, RANDOM = "chosen", "random"


def chart(row: Row) -> Chart | None:
    """Change of the log-probability by the factor on the deviation from the mean; none where nothing was measured."""
    doses = _doses(row)
    if not doses:
        return None
    points: list[dict[str, Any]] = []
    for dose, entry in doses.items():
        points.append(
            {"series": CHOSEN, "dose": float(dose), "change": exact(entry["chosen"]), "low": None, "high": None}
        )
        random = entry["random"]
        ends = {"low": exact(random["low"]), "high": exact(random["high"])}
        points.append({"series": RANDOM, "dose": float(dose), "change": exact(random["mean"]), **ends})
    points.sort(key=lambda p: (p["series"], p["dose"]))
    channels = parts.series([CHOSEN, RANDOM], [SOLID, DASHED])
    x: Spec = {"field": "dose", "type": "quantitative", "title": "factor on the deviation from the mean (0: ablated)"}
    x["axis"] = {"grid": False, "values": sorted({p["dose"] for p in points}), "format": "~g"}
    band = {
        "data": parts.rows_of(p for p in points if p["low"] is not None),
        "mark": {"type": "area", "style": "band"},
        "encoding": {
            "x": {"field": "dose", "type": "quantitative"},
            "y": {"field": "low", "type": "quantitative"},
            "y2": {"field": "high"},
            "color": channels["color"],
        },
    }
    y: Spec = {"field": "change", "type": "quantitative", "title": "change of the log-probability, nats"}
    y["axis"] = {"tickCount": 5}
    spec = parts.line_chart(
        points,
        x,
        y,
        channels,
        parts.tips(("series", "neurons", ""), ("dose", "factor", "~g"), ("change", "change, nats", "+.3f")),
        band,
        height=220,
    )
    table = [["factor", "chosen", "random, mean", "random, draws", "difference", "interval"]]
    table += [
        [
            f"{float(dose):g}",
            parts.score(entry["chosen"]),
            parts.score(entry["random"]["mean"]),
            parts.interval(entry["random"]["low"], entry["random"]["high"]),
            parts.score(entry["difference"]),
            parts.interval(entry["low"], entry["high"]),
        ]
        for dose, entry in doses.items()
    ]
    text = (
        "Change of the log-probability that the model with its own head gives to tokens of the task when the chosen "
        "neurons, or as many random ones of the same layers, are changed in it. Shaded: least and largest of the draws."
    )
    return Chart("ablation", "What the model itself uses", text, spec, table)


def _doses(row: Row) -> Mapping[str, Any]:
    """The amounts that were measured: of effects, else of the plain ablation."""
    effects = parts.measured(row, "effects")
    if effects and effects.get("doses"):
        found = effects["doses"]
    else:
        found = ((row.get("ablation") or {}).get("ablation") or {}).get("amounts") or {}
    return dict(sorted(found.items(), key=lambda item: float(item[0])))
