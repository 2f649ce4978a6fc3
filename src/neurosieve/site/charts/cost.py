"""What the subset needs of the model, as shares of the whole model: counted, not timed."""

from __future__ import annotations

from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, Row, Spec, exact

NAMES = {"flops": "FLOPs", "parameters": "parameters", "bytes_stored": "bytes stored"}


def values(row: Row) -> list[dict[str, Any]]:
    """Each quantity with its count, that of the whole model and the share; empty where it was not counted."""
    found = row.get("certified")
    if not found:
        return []
    out = [
        (name, found[key], found[f"{key}_of_all"])
        for key, name in NAMES.items()
        if found.get(f"{key}_of_all") and found.get(key) is not None
    ]
    if found.get("blocks"):
        out.insert(0, ("blocks", found["blocks_needed"], found["blocks"]))
    own = found.get("classifier")
    if own and own.get("values_of_all"):
        out.append(("values for the classifier", own["values"], own["values_of_all"]))
    return [{"name": n, "count": c, "all": a, "value": exact(c / a), "label": parts.percent(c / a)} for n, c, a in out]


def chart(row: Row) -> Chart | None:
    """A bar for each quantity; none without a subset."""
    found = values(row)
    if not found:
        return None
    y = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False}}
    x: Spec = {"field": "value", "type": "quantitative", "title": "share of the whole model"}
    x |= {"scale": {"domain": [0, 1]}, "axis": {"format": "%", "tickCount": 5}}
    tooltip = parts.tips(
        ("name", "quantity", ""), ("count", "needed", ","), ("all", "of", ","), ("value", "share", ".1%")
    )
    at = {"x": x, "y": y}
    text_mark: Spec = {"type": "text", "baseline": "middle"}
    label = {"text": {"field": "label", "type": "nominal"}}
    layers: list[Spec] = [{"mark": {"type": "bar", "height": {"band": 0.6}}, "encoding": {**at, "tooltip": tooltip}}]
    for style, align, dx, test in (
        ("strong", "right", -6, "datum.value > 0.5"),
        ("note", "left", 6, "datum.value <= 0.5"),
    ):
        mark = {**text_mark, "style": style, "align": align, "dx": dx}
        layers.append({"transform": [{"filter": test}], "mark": mark, "encoding": {**at, **label}})
    spec = parts.spec(*layers, height=30 * len(found), data=parts.rows_of(found))
    table = [["quantity", "needed", "whole model", "share"]]
    table += [[v["name"], parts.integer(v["count"]), parts.integer(v["all"]), v["label"]] for v in found]
    text = (
        "The model up to the highest layer of the subset, and the values that the classifier reads, as shares of the "
        "whole. Counted, not timed: neurosieve cost times the real path on a machine."
    )
    return Chart("cost", "What the subset needs of the model", text, spec, table)
