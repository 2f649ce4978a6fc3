"""The subset of one task used for another: the matrix of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosieve.site.charts import parts
from neurosieve.site.charts.parts import Chart, exact


def chart(model: str, found: Mapping[str, Any] | None) -> Chart | None:
    """Task by task, of the gain above the best baseline that is kept; none where fewer than two tasks were tried.

    found : as transfer.json has it for the model.
    """
    if not found or len(found.get("tasks") or []) < 2:
        return None
    tasks = found["tasks"]
    cells = []
    table = [["task", *(f"subset of {name}{_size(found['subsets'].get(name))}" for name in tasks), "reference"]]
    for target in tasks:
        line = [target]
        for source in tasks:
            entry = (found["matrix"].get(target) or {}).get(source)
            if not entry or entry.get("judge") is None:
                line.append(parts.NONE)
                continue
            random = entry.get("random")
            line.append(parts.score(entry["judge"]) + ("" if random is None else f" (random {parts.score(random)})"))
            own = {"line": target, "column": source, "judge": exact(entry["judge"]), "random": exact(random)}
            gain = None if random is None else exact(entry["judge"] - random)
            cells.append(
                {**own, "neurons": entry.get("neurons"), "value": gain, "label": parts.score(entry["judge"], 2)}
            )
        table.append([*line, parts.score((found.get("reference") or {}).get(target))])
    known = [abs(cell["value"]) for cell in cells if cell["value"] is not None]
    if not known:
        return None
    most = max(*known, 0.01)
    spec = parts.matrix(
        cells,
        (tasks, tasks),
        ("whose subset", "for the task"),
        "above random neurons",
        parts.tips(
            ("line", "task", ""), ("column", "subset of", ""), ("judge", "judge", ".3f"), ("random", "random", ".3f"),
            ("value", "difference", "+.3f"), ("neurons", "neurons", ","),
        ),
        (-most, most),
        diverging=True,
    )  # fmt: skip
    text = (
        "Score on judge, in the metric of the task in the line, with the subset of the "
        "task in the column, used for the task in the line; the colour is how far that is above as many random neurons."
    )
    return Chart(parts.slug("transfer", model), "Subsets used for other tasks", text, spec, table)


def _size(subset: Mapping[str, Any] | None) -> str:
    if not subset:
        return ""
    return f" ({'' if subset['claimed'] else 'about '}{parts.integer(subset['neurons'])})"
