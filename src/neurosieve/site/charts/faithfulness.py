"""Are the chosen neurons necessary, and are they sufficient, for what the model itself predicts?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import DASHED, SOLID, Chart, Row, Spec, exact

RANDOM = "random"
KINDS = {
    "necessity": ("Necessary for the model's predictions", "without the first neurons"),
    "sufficiency": ("Sufficient for the model's predictions", "with the first neurons alone"),
}
METHODS = {"mean": "their means on train", "resample": "values at another token of the same class from another file"}


def charts(row: Row) -> list[Chart]:
    """A picture for each way of replacing values and each question; empty where nothing was measured."""
    found = parts.measured(row, "faithfulness")
    if found is None:
        return []
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for curve in found["curves"]:
        if curve.get("reason") is None and curve["points"]:
            groups.setdefault((curve["method"], curve["site"]), []).append(curve)
    return [
        _chart(method, site, kind, curves, found, len({s for _, s in groups}) > 1)
        for (method, site), curves in groups.items()
        for kind in KINDS
    ]


def _chart(
    method: str, site: str, kind: str, curves: Sequence[Mapping[str, Any]], found: Mapping[str, Any], sites: bool
) -> Chart:
    names = [curve["order"] for curve in curves]
    points = [
        {
            "series": curve["order"],
            "k": point["k"],
            "share": exact(point["share"]),
            "f": exact(point[kind]["f"]),
            "low": exact(point[kind]["low"]),
            "high": exact(point[kind]["high"]),
        }
        for curve in curves
        for point in curve["points"]
        if point[kind].get("f") is not None
    ]
    random = [
        {
            "series": RANDOM,
            "k": point["k"],
            "share": exact(point["share"]),
            "f": exact(point[kind]["random_f"]["mean"]),
            "low": exact(point[kind]["random_f"]["low"]),
            "high": exact(point[kind]["random_f"]["high"]),
        }
        for point in curves[0]["points"]
        if point[kind].get("random_f")
    ]
    tooltip = parts.tips(
        ("series", "order", ""), ("k", "neurons", ","), ("share", "share", ".1%"), ("f", "f", ".3f"),
        ("low", "from", ".3f"), ("high", "to", ".3f"),
    )  # fmt: skip
    most = max(point["share"] for point in points)
    least = min(point["share"] for point in points)
    x: Spec = {
        "field": "share",
        "type": "quantitative",
        "title": "share of the neurons (log scale)",
        "scale": {"type": "log", "nice": False, "domain": [least, max(most, least * 2)]},
        "axis": {"format": "~%", "grid": False, "values": [v for v in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1)]},
    }
    y = {
        "field": "f",
        "type": "quantitative",
        "title": "faithfulness f",
        "axis": {"tickCount": 5},
        "scale": {"zero": False},
    }
    channels = parts.series([*names, RANDOM], [*([SOLID] * len(names)), DASHED])
    bands: list[Spec] = [
        {
            "data": parts.rows_of([*points, *random]),
            "mark": {"type": "area", "style": "band"},
            "encoding": {
                "x": {"field": "share", "type": "quantitative"},
                "y": {"field": "low", "type": "quantitative"},
                "y2": {"field": "high"},
                "color": channels["color"],
            },
        }
    ]
    marks: list[Spec] = []
    size = next((p for p in curves[0]["points"] if p.get("chosen")), None)
    if size is not None:
        at = {"share": exact(size["share"]), "what": f"{parts.integer(size['k'])} neurons, as many as the subset has"}
        marks.append(
            {
                "data": parts.rows_of([at]),
                "mark": {"type": "rule", "style": "mark"},
                "encoding": {
                    "x": {"field": "share", "type": "quantitative"},
                    "tooltip": parts.tips(("what", "upright line", "")),
                },
            }
        )
    if least < most:
        spec = parts.line_chart([*points, *random], x, y, channels, tooltip, *bands, *marks, height=240)
    else:  # measured at the size of the subset alone: nothing to join
        plain: Spec = {"type": "quantitative", "title": y["title"], "axis": {"tickCount": 5}, "scale": {"zero": True}}
        dots = [{**point, "name": point["series"], "value": point["f"]} for point in (*points, *random)]
        spec = parts.ranges(dots, plain, tooltip)
    table = [["neurons", *(head for name in (*names, RANDOM) for head in (name, "interval"))]]
    by = {(p["series"], p["k"]): p for p in (*points, *random)}
    for k in sorted({p["k"] for p in points}):
        line = [parts.integer(k)]
        for name in (*names, RANDOM):
            p = by.get((name, k))
            line += ["", ""] if p is None else [parts.score(p["f"]), parts.interval(p["low"], p["high"])]
        table.append(line)
    title, what = KINDS[kind]
    how = METHODS.get(method, method)
    rest = "these" if kind == "necessity" else "all others"
    upright = "; the upright line is the size of the subset" if least < most else ""
    text = (
        f"Faithfulness f {what} of an order, {rest} replaced by {how}: 1 where the model predicts as well as "
        "untouched, 0 as with all replaced. Intervals are bounds over files, for random sets the least and largest of "
        f"the draws{upright}."
    )
    key = parts.slug("faithfulness", kind, method, *([site] if sites else []))
    return Chart(key, f"{title} ({method}{', ' + site if sites else ''})", text, spec, table)
