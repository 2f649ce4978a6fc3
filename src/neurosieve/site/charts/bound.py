"""Train objective by number of neurons, found and certified: how far the minimal subset can be from the smallest."""

from __future__ import annotations

import math

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import DASHED, SOLID, Chart, Row, Spec, exact

SHOWN = 10  # the picture begins at this part of the bound: with fewer neurons the two lines are far apart
FOUND, CERTIFIED = "found", "certified"


def text_of(row: Row) -> str:
    """How far the minimal subset can be from the smallest; empty where the row has no bound."""
    if row.get("bound") is None or row.get("n_minimal") is None:
        return ""
    text = f"n_minimal is {parts.integer(row['n_minimal'])}"
    if not row.get("n_bound"):
        return f"{text}; the bound at that train objective excludes no number of neurons"
    factor = math.ceil(round(10 * row["n_minimal"] / row["n_bound"], 6)) / 10  # rounded up, for it is claimed
    return (
        f"{text}, and no set of fewer than {parts.integer(row['n_bound'])} neurons reaches its train objective: it is "
        f"within a factor of {factor:.1f} of the smallest possible"
    )


def chart(row: Row) -> Chart | None:
    """The picture; none without a bound of a minimal subset."""
    bound = row.get("bound")
    if not bound or row.get("n_minimal") is None:
        return None
    shown = [i for i, size in enumerate(bound["sizes"]) if SHOWN * size >= (row.get("n_bound") or 1)]
    points = [
        {"series": name, "n": bound["sizes"][i], "value": exact(bound[name][i])}
        for name in (FOUND, CERTIFIED)
        for i in shown
    ]
    below = [{"n": bound["sizes"][i], "low": exact(bound[CERTIFIED][i]), "high": exact(bound[FOUND][i])} for i in shown]
    x = {"field": "n", **parts.sizes_axis(row["n_neurons"], least=bound["sizes"][shown[0]])}
    y = {"field": "value", "type": "quantitative", "title": "train objective", "scale": {"zero": False}}
    y["axis"] = {"tickCount": 6}
    area: Spec = {
        "data": parts.rows_of(below),
        "mark": {"type": "area", "style": "band"},
        "encoding": {
            "x": {"field": "n", "type": "quantitative"},
            "y": {"field": "low", "type": "quantitative"},
            "y2": {"field": "high"},
        },
    }
    size, at_least = row["n_minimal"], row.get("n_bound")
    uprights = parts.upright(size, f"n_minimal {parts.integer(size)}", parts.minimal_text(row), left=False)
    if at_least:
        text = f"no set of fewer than {parts.integer(at_least)} neurons reaches {bound['objective']:.4g}"
        uprights += parts.upright(at_least, f"n_bound {parts.integer(at_least)}", text, left=True, dashed=True)
    spec = parts.line_chart(
        points,
        x,
        y,
        parts.series([FOUND, CERTIFIED], [SOLID, DASHED]),
        parts.tips(("series", "line", ""), ("n", "neurons", ","), ("value", "train objective", ".4f")),
        area,
        *parts.level(bound["objective"], f"reached {bound['objective']:.3g}", low=True),
        *uprights,
        dots=False,
    )
    table = [["neurons", FOUND, CERTIFIED]]
    table += [[parts.integer(bound["sizes"][i]), f"{bound[FOUND][i]:.4f}", f"{bound[CERTIFIED][i]:.4f}"] for i in shown]
    text = (
        f"Train objective at the penalty of the minimal subset (l1 {bound['l1']:g}, l2 {bound['l2']:g}): of the sets "
        f"found, and below which no set of as many neurons can be. Here {text_of(row)}."
    )
    return Chart("bound", "How small a subset can be", text, spec, table)
