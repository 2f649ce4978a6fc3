"""Similarity of the layers: linear CKA of every two of them."""

from __future__ import annotations

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, Row

LABELLED = 13  # with more layers the numbers would not fit into their cells


def chart(row: Row) -> Chart | None:
    """The map, the first layer at the bottom left; none where it was not measured."""
    found = row.get("cka")
    if not found:
        return None
    names = [str(i) for i in range(len(found))]
    spec = parts.matrix(
        parts.square(names, found),
        (names, names),
        ("layer", "layer"),
        "CKA",
        parts.tips(("line", "layer", ""), ("column", "and layer", ""), ("value", "CKA", ".3f")),
        (0.0, 1.0),
        text=len(names) <= LABELLED,
        step=26 if len(names) <= LABELLED else 14,
        up=True,
    )
    table = [["layer", *names], *([names[i], *(parts.score(v) for v in line)] for i, line in enumerate(found))]
    text = "Linear CKA of the activations of every two layers on train: 1 where they are the same up to a rotation."
    return Chart("cka", "Similarity of layers", text, spec, table)
