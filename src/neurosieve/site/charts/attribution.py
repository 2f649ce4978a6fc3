"""Where the model's own predictions come from, by layer, beside where the subset lies."""

from __future__ import annotations

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import DASHED, SOLID, Chart, Row, Spec, exact

SUBSET = "chosen by probes"


def chart(row: Row) -> Chart | None:
    """Share of each layer in every causal ranking; none where nothing was ranked."""
    found = ((parts.measured(row, "attribution") or {}).get("attribution") or {}).get("rankings") or {}
    shares = {name: entry["share_by_layer"] for name, entry in found.items() if entry.get("share_by_layer")}
    if not shares:
        return None
    counts = row.get("chosen_layers") or []
    if sum(counts):
        shares = {SUBSET: [n / sum(counts) for n in counts], **shares}
    points = [
        {"series": name, "layer": i, "share": exact(v)} for name, values in shares.items() for i, v in enumerate(values)
    ]
    dashes = [SOLID if name == SUBSET else DASHED for name in shares]
    x: Spec = {"field": "layer", "type": "quantitative", "title": "layer"}
    x |= {"scale": {"nice": False, "zero": False}, "axis": {"tickMinStep": 1, "format": "d", "grid": False}}
    y = {"field": "share", "type": "quantitative", "title": "share", "axis": {"format": "%", "tickCount": 5}}
    spec = parts.line_chart(
        points,
        x,
        y,
        parts.series(list(shares), dashes),
        parts.tips(("series", "ranking", ""), ("layer", "layer", "d"), ("share", "share", ".1%")),
        height=220,
    )
    layers = max(map(len, shares.values()))
    table = [["layer", *shares]]
    table += [[str(i), *(parts.percent(v[i]) if i < len(v) else "" for v in shares.values())] for i in range(layers)]
    text = (
        "Share of each layer in what the model's own predictions of train tokens owe to neurons, by ranking, and in "
        "the neurons that the probes chose."
    )
    return Chart("attribution", "Chosen by probes, and used by the model", text, spec, table)
