"""How much the first neurons of every two rankings have in common."""

from __future__ import annotations

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, Row


def chart(row: Row) -> Chart | None:
    """The map of mean overlaps; none where it was not measured."""
    found = row.get("agreement")
    if not found or not found.get("avg_overlap"):
        return None
    names = found["rankings"]
    spec = parts.matrix(
        parts.square(names, found["avg_overlap"]),
        (names, names),
        ("", ""),
        "overlap",
        parts.tips(("line", "ranking", ""), ("column", "and", ""), ("value", "overlap", ".3f")),
        (0.0, 1.0),
        step=28,
    )
    vote = found.get("neuron_vote") or {}
    table = [["ranking", *names, *(["vote of the others"] if vote else [])]]
    table += [
        [names[i], *(parts.score(v) for v in line), *([parts.score(vote.get(names[i]))] if vote else [])]
        for i, line in enumerate(found["avg_overlap"])
    ]
    sizes = ", ".join(parts.integer(size) for size in found["sizes"])
    text = (
        f"Intersection over union of the first neurons of two rankings, mean over {sizes} neurons; by chance "
        f"{parts.score(found['chance']['avg_overlap'], 2)}."
    )
    return Chart("agreement", "Agreement between rankings", text, spec, table)
