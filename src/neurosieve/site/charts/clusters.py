"""How many groups of correlated neurons are left, by the distance at which the tree is cut."""

from __future__ import annotations

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, Row, Spec, exact

X: Spec = {
    "field": "threshold",
    "type": "quantitative",
    "title": "distance 1 − |r| at which the tree is cut",
    "scale": {"nice": True},
    "axis": {"grid": False, "tickCount": 8, "format": ".1f"},
}
Y: Spec = {
    "field": "share",
    "type": "quantitative",
    "title": "groups left, share of neurons",
    "scale": {"domain": [0, 1]},
    "axis": {"format": "%", "tickCount": 5},
}


def points(row: Row) -> list[dict[str, object]]:
    """Threshold, share of neurons left and number of groups, for each cut that was made."""
    return [
        {"threshold": cut["threshold"], "share": exact(cut["share_left"]), "groups": cut.get("clusters")}
        for cut in row.get("clusters") or []
        if cut.get("share_left") is not None
    ]


def chart(row: Row) -> Chart | None:
    """One line over the thresholds; none where nothing was cut."""
    found = points(row)
    if not found:
        return None
    tooltip = parts.tips(("threshold", "distance", ".2f"), ("share", "left", ".1%"), ("groups", "groups", ","))
    spec = parts.line_chart(found, X, Y, {}, tooltip, height=220)
    table = [["distance", "groups", "share of neurons", "largest group", "groups over several layers"]]
    table += [
        [
            f"{cut['threshold']:g}",
            parts.integer(cut.get("clusters")),
            parts.percent(cut["share_left"]),
            parts.integer(cut.get("largest")),
            parts.percent(cut.get("share_spanning")),
        ]
        for cut in row["clusters"]
        if cut.get("share_left") is not None
    ]
    text = "Neurons whose activations correlate are joined; the fewer groups are left, the more neurons repeat others."
    return Chart("clusters", "Groups of correlated neurons", text, spec, table)
