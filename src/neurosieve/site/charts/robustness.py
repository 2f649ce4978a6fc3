"""Is the subset the only one? How often halves of train choose its neurons, and what each neuron is worth."""

from __future__ import annotations

from collections import Counter
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, Row, Spec, exact


def halves(row: Row) -> Chart | None:
    """Neurons by how many of the sets found on halves of train have them: those of the subset, and the others."""
    asked = parts.measured(row, "robustness")
    found = parts.measured(asked, "halves") if asked else None
    if found is None:
        return None
    sets = len(found["rows"])
    inside = Counter(round(share * sets) for share in found["frequency"])
    every = Counter(found["chosen"]["times"])
    own, others = "in the subset", "not in it"
    values = [{"series": own, "times": i, "count": inside[i]} for i in range(sets + 1)]
    values += [{"series": others, "times": i, "count": every[i] - inside[i]} for i in range(1, sets + 1)]
    x = {"field": "times", "type": "ordinal", "title": f"of {sets} sets", "axis": {"labelAngle": 0, "ticks": False}}
    y = {"field": "count", "type": "quantitative", "title": "neurons", "axis": {"tickCount": 5}}
    colour = parts.series([own, others])["color"]
    colour["legend"] = {"symbolType": "square"}
    bar = {
        "mark": {"type": "bar"},
        "encoding": {
            "x": x,
            "xOffset": {"field": "series", "type": "nominal", "scale": {"domain": [own, others]}},
            "y": y,
            "color": colour,
            "tooltip": parts.tips(("series", "neurons", ""), ("times", "chosen", "d"), ("count", "number", ",")),
        },
    }
    spec = parts.spec(bar, height=220, data=parts.rows_of(values))
    table = [["sets that have them", own, others]]
    table += [[str(i), str(inside[i]), str(every[i] - inside[i]) if i else parts.NONE] for i in range(sets + 1)]
    text = (
        f"The search again on halves of train that share no file: by how many of the {sets} sets a neuron is chosen. "
        f"{parts.integer(found['ever'])} different neurons were chosen at least once; random sets would have "
        f"{parts.integer(round(found['ever_by_chance']))}."
    )
    return Chart("robustness-halves", "Chosen again on halves of train", text, spec, table)


def members(row: Row) -> Chart | None:
    """Change of the judge score when one neuron is left out and the others are fitted again."""
    asked = parts.measured(row, "robustness")
    found = parts.measured(asked, "members") if asked else None
    if found is None or not found.get("change"):
        return None
    width = row["width"]
    order = sorted(range(len(found["neurons"])), key=lambda i: found["change"][i])
    values: list[dict[str, Any]] = []
    for place, i in enumerate(order):
        layer, unit = divmod(found["neurons"][i], width)
        low, high = exact(found["low"][i]), exact(found["high"][i])
        values.append(
            {
                "place": place + 1,
                "change": exact(found["change"][i]),
                "low": low,
                "high": high,
                "neuron": f"{layer}/{unit}",
            }
        )
    x: Spec = {"type": "quantitative", "field": "place", "title": "neurons of the subset, by change"}
    x |= {"scale": {"nice": False, "zero": False, "padding": 6}, "axis": {"grid": False, "tickMinStep": 1}}
    y: Spec = {"field": "low", "type": "quantitative", "title": f"change of {parts.metric_name(row)} on judge"}
    y["axis"] = {"tickCount": 5, "format": "+.3f"}
    tooltip = parts.tips(
        ("neuron", "layer/unit", ""), ("change", "change", "+.4f"), ("low", "from", "+.4f"), ("high", "to", "+.4f")
    )
    dot = {"x": x, "y": {**y, "field": "change"}}
    spec = parts.spec(
        {
            "data": parts.rows_of([{"level": 0}]),
            "mark": {"type": "rule", "style": "level"},
            "encoding": {"y": {"field": "level", "type": "quantitative"}},
        },
        {"mark": {"type": "rule", "opacity": 0.5}, "encoding": {"x": x, "y": y, "y2": {"field": "high"}}},
        {"mark": {"type": "point", "filled": True, "size": 22}, "encoding": dot},
        parts.hover({**dot, "tooltip": tooltip}),
        height=220,
        data=parts.rows_of(values),
    )
    table = [["layer/unit", "change", "interval"]]
    table += [
        [str(v["neuron"]), parts.score(v["change"], 4), parts.interval(v["low"], v["high"], lambda w: f"{w:.4f}")]
        for v in values
    ]
    text = (
        f"One neuron left out, the others fitted again: {parts.integer(found['losses'])} of "
        f"{parts.integer(len(order))} are shown to lose score, {parts.integer(found['gains'])} to gain; were none "
        f"needed, about {found['by_chance']:.0f} would seem to lose and as many to gain."
    )
    return Chart("robustness-members", "What each neuron of the subset is worth", text, spec, table)
