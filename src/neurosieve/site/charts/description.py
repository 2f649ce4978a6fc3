"""Description length: bits per row of an online code of the train labels, as more rows have been seen."""

from __future__ import annotations

import math

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import DASHED, DOTTED, SOLID, Chart, Row, Spec, exact

LABELS, SHUFFLED, UNIFORM = "labels", "shuffled labels", "uniform code"


def chart(row: Row) -> Chart | None:
    """Bits per row of each block of the code; none where it was not measured."""
    found = row.get("description_length")
    if not found or not found.get("blocks") or not found.get("rows"):
        return None
    uniform = found["uniform_bits"] / found["rows"] if found.get("uniform_bits") else None
    blocks = [block for block in found["blocks"] if block["rows"] and block["train_rows"]]
    points = [
        {"series": name, "seen": block["train_rows"], "bits": exact(block[key] / block["rows"])}
        for name, key in ((LABELS, "bits"), (SHUFFLED, "shuffled_bits"))
        for block in blocks
        if block.get(key) is not None
    ]
    if not points:
        return None
    names = [LABELS, SHUFFLED]
    if uniform is not None and math.isfinite(uniform):
        names.append(UNIFORM)
        points += [
            {"series": UNIFORM, "seen": seen, "bits": exact(uniform)}
            for seen in (blocks[0]["train_rows"], blocks[-1]["train_rows"])
        ]
    x: Spec = {"field": "seen", "type": "quantitative", "title": "rows seen before (log scale)"}
    x |= {"scale": {"type": "log", "nice": False}, "axis": {"format": ",", "grid": False, "tickCount": 5}}
    spec = parts.line_chart(
        points,
        x,
        {"field": "bits", "type": "quantitative", "title": "bits per row", "axis": {"tickCount": 5}},
        parts.series(names, [SOLID, DASHED, DOTTED][: len(names)]),
        parts.tips(("series", "code of", ""), ("seen", "rows seen", ","), ("bits", "bits per row", ".3f")),
        height=200,
    )
    table = [["rows seen", "rows coded", LABELS, SHUFFLED]]
    table += [
        [
            parts.integer(b["train_rows"]),
            parts.integer(b["rows"]),
            *(parts.score(b[key] / b["rows"] if b.get(key) is not None else None) for key in ("bits", "shuffled_bits")),
        ]
        for b in blocks
    ]
    text = (
        "Each block of train rows is coded by a probe on all neurons, fitted to the rows before it: the sooner the "
        f"bits fall, the more readily the labels are read from the neurons. Compression "
        f"{parts.score(found['compression'], 2)}, of shuffled labels {parts.score(found['shuffled_compression'], 2)}."
    )
    return Chart("description-length", "Description length", text, spec, table)
