"""Precision, recall and F1 of each class on test."""

from __future__ import annotations

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, Row, exact

NAMES = {
    "oracle": "all neurons",
    "subset": "subset",
    "surface": "surface baseline",
    "untrained": "untrained twin",
    "reference": "reference",
}


def chart(row: Row) -> Chart | None:
    """F1 by class, a dot for each predictor; none for numbers, or where the scores per class were not kept."""
    found = row.get("classes")
    if not found:
        return None
    known = [name for name in NAMES if name in found and name != "reference"]
    classes = list(next(iter(found.values())))
    values = [
        {"name": c, "series": NAMES[name], "value": exact(s["f1"])}
        | {part: exact(s[part]) for part in ("precision", "recall", "rows")}
        for c in classes
        for name in known
        if (s := found[name].get(c)) is not None
    ]
    if not values:
        return None
    colour = {"color": parts.series([NAMES[name] for name in known])["color"]}
    colour["color"]["legend"] = {"symbolType": "circle"}
    x = {"type": "quantitative", "title": "F1 on test", "scale": {"domain": [0, 1]}, "axis": {"tickCount": 5}}
    tooltip = parts.tips(
        ("name", "class", ""), ("series", "predictor", ""), ("value", "F1", ".3f"), ("precision", "precision", ".3f"),
        ("recall", "recall", ".3f"), ("rows", "rows of test", ","),
    )  # fmt: skip
    spec = parts.ranges(values, x, tooltip, colour, step=24)
    heads = ("precision", "recall", "f1")
    table = [["class", "rows", *(f"{NAMES[n]}: {'F1' if h == 'f1' else h}" for n in known for h in heads)]]
    for c in classes:
        rows = next((found[n][c]["rows"] for n in known if c in found[n]), None)
        scores = [parts.score((found[n].get(c) or {}).get(h)) for n in known for h in heads]
        table.append([c, parts.integer(rows), *scores])
    text = (
        "F1 of each class on test; precision, recall and rows are in the figures. A class that is never predicted has "
        "F1 0 and no precision."
    )
    return Chart("classes", "Scores per class", text, spec, table)
