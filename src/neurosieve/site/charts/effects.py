"""The set of one task ablated, what it does to another: matrices of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, exact

TITLES = {
    "equal": "Harm to other tasks: sets of one size",
    "whole": "Harm to other tasks: whole sets",
    "readout": "Harm to other tasks: read by probes",
}


def charts(model: str, found: Mapping[str, Any] | None) -> list[Chart]:
    """A picture for each way of measuring; found : as effects.json has it for the model."""
    if not found:
        return []
    matrix = found.get("matrix") or {}
    parts_of = {name: matrix.get(name) for name in ("equal", "whole") if not matrix.get("reason")}
    parts_of["readout"] = found.get("readout")
    return [
        _chart(model, name, part)
        for name, part in parts_of.items()
        if part and not part.get("reason") and part.get("cells")
    ]


def _chart(model: str, name: str, part: Mapping[str, Any]) -> Chart:
    tasks = list(part["cells"])
    sizes = part["neurons"] if isinstance(part["neurons"], Mapping) else dict.fromkeys(tasks, part["neurons"])
    cells = []
    table = [["task", *(f"{task} ablated ({parts.integer(sizes[task])})" for task in tasks)]]
    for target in tasks:
        line = [target]
        for source in tasks:
            excess = part["cells"][source][target]["excess"]
            low, high = exact(excess["low"]), exact(excess["high"])
            label = parts.score(excess["value"])
            cells.append(
                {"line": target, "column": source, "value": exact(excess["value"]), "label": label}
                | {"low": low, "high": high}
            )
            line.append(f"{label} ({parts.interval(low, high)})" if low is not None and high is not None else label)
        table.append(line)
    most = max(*(abs(cell["value"] or 0.0) for cell in cells), 0.001)
    spec = parts.matrix(
        cells,
        (tasks, tasks),
        ("whose set is ablated", "for the task"),
        "harm beyond random neurons, nats",
        parts.tips(
            ("line", "task", ""), ("column", "ablated", ""), ("value", "harm, nats", "+.3f"), ("low", "from", "+.3f"),
            ("high", "to", "+.3f"),
        ),
        (-most, most),
        diverging=True,
    )  # fmt: skip
    what = "read by its probe" if name == "readout" else "whose tokens are predicted"
    text = (
        f"Harm of ablating the set of the task in the column, beyond random neurons of the same layers, to the task in "
        f"the line, {what}. Were sets specific, the diagonal would stand out; pairs doubly dissociated: "
        f"{part['double']} of {len(part['pairs'])}."
    )
    return Chart(parts.slug("effects", name, model), TITLES[name], text, spec, table)
