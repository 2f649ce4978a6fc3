"""The template of `dvc plots` for the curves of rows, from the specification of the site's score chart.

Writes .dvc/plots/curve.json: `python -m neurosieve.site.dvc`. DVC puts the lines of curves/*.csv and its own properties
in the places of the anchors; colours are revisions there, so what a line is shows by its dashes alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neurosieve.leaderboard.tracked import CURVE
from neurosieve.site.charts import parts, score

PLACE = Path(".dvc/plots/curve.json")
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"  # of the version that DVC's reports load
LINE = "field"  # under which DVC says from which column of the csv a point is


def anchor(name: str) -> str:
    """What DVC replaces by the property of that name."""
    return f"<DVC_METRIC_{name.upper()}>"


def template() -> dict[str, Any]:
    """Vega-Lite with DVC's anchors: lines of the columns after the first, dashed as in the score chart."""
    lines = list(CURVE[1:])
    x = {"field": anchor("x"), **parts.sizes_axis(10)}
    x["title"] = anchor("x_label")
    x["scale"] = {"type": "log", "nice": False}  # the numbers of neurons are those of the data
    del x["axis"]["values"]
    y = {"field": anchor("y"), **parts.score_axis(anchor("y_label"), [])}
    dashes = score.encoding(lines, x, y)["strokeDash"] | {"field": LINE}
    place = {"x": x, "y": y, "color": anchor("color")}
    return {
        "$schema": SCHEMA,
        "data": {"values": anchor("data")},
        "title": {"text": anchor("title"), "anchor": "middle"},
        "width": anchor("plot_width"),
        "height": anchor("plot_height"),
        "layer": [
            {"mark": {"type": "line", "clip": True}, "encoding": {**place, "strokeDash": dashes}},
            parts.hover({**place, "tooltip": anchor("tooltip")}),
        ],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(template(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
