"""Score on judge against the number of neurons, of every ranking and search that was walked."""

from __future__ import annotations

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import COLOURS, DASHED, SOLID, Chart, Row, exact

KINDS = ("ranking", "search", "pipeline")


def chart(row: Row) -> Chart | None:
    """The picture; none with fewer than two contenders."""
    curves = row.get("curves") or {}
    names = [name for name, curve in curves.items() if curve.get("kind") in KINDS]
    names.sort(key=lambda name: (name != row.get("ranking"), name))
    if len(names) < 2:
        return None
    points = [
        {"series": name, "n": n, "score": exact(v)}
        for name in names
        for n, v in sorted(zip(curves[name]["sizes"], curves[name]["judge"], strict=True))
    ]
    metric = parts.metric_name(row)
    spec = parts.line_chart(
        points,
        {"field": "n", **parts.sizes_axis(row["n_neurons"])},
        {"field": "score", **parts.score_axis(f"{metric} on judge", [p["score"] for p in points])},
        parts.series(names, [SOLID if i < COLOURS else DASHED for i in range(len(names))]),
        parts.tips(("series", "contender", ""), ("n", "neurons", ","), ("score", metric, ".3f")),
        dots=False,
    )
    sizes = sorted({p["n"] for p in points})
    known = {(p["series"], p["n"]): p["score"] for p in points}
    table = [["neurons", *names]]
    table += [[parts.integer(n), *(parts.score(known.get((name, n))) for name in names)] for n in sizes]
    text = (
        f"{metric} on judge of each contender's set of each size: a ranking is one order of all neurons, a search "
        f"looks for the best set at every size. The minimal subset is that of {names[0]}."
    )
    return Chart("contenders", "Rankings and searches", text, spec, table)
