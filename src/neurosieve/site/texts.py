"""What the pages say in words of a row: its status, its answer, its evidence. Pure functions; reads no files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from neurosieve.leaderboard import evidence
from neurosieve.leaderboard.measures import NONE, between, count, decimals, share
from neurosieve.leaderboard.table import CONTROL_NOTE, best_baseline, not_above
from neurosieve.probes.status import FAILS, NO_TWIN, SUPPORTED
from neurosieve.site.charts.parts import METRIC_NAMES, claims, judged, minimal_text

Row = Mapping[str, Any]

STATUSES = {
    SUPPORTED: "on judge above the majority class, the best baseline that reads text alone, and the untrained twin",
    FAILS["untrained"]: "not above the same architecture with fresh weights",
    FAILS["surface"]: "not above the best baseline that reads text alone",
    FAILS["majority"]: "not above the best constant answer",
    NO_TWIN: "no untrained twin in the run, so what training adds is not known",
}
NO_STATUS = "no status"  # of rows of the protocol published, which judges nothing
# Short label of a tier, and what it means.
EVIDENCE = {
    evidence.NONE: ("none", "the probe is not above the best constant answer"),
    evidence.ENCODED: ("encoded", "the probe is above the best constant answer, not shown to be above the baselines"),
    evidence.BEYOND: ("beyond baselines", "the probe is above text-only baselines and the untrained twin"),
    evidence.NECESSARY: (
        "necessary", "and the model predicts tokens worse without the chosen neurons than without random ones",
    ),
    evidence.SUFFICIENT: (
        "nec. + sufficient", "and it predicts better with the chosen neurons alone than with random ones alone",
    ),
    evidence.SPECIFIC: ("specific", "and without them tokens of the task are hurt more than other tokens"),
}  # fmt: skip
OPPONENTS = {"majority": "majority class", "surface": "text alone", "untrained": "untrained twin"}


def metric_name(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric)


def plainest(metric: str | None) -> str:
    """What the opponent "majority" is called."""
    return "mean" if metric == "r2" else "majority"


def supported(row: Row) -> bool:
    """Whether the row may speak of redundancy."""
    return row["status"] == SUPPORTED


def is_twin(row: Row) -> bool:
    return row["control_of"] is not None


def status_word(row: Row) -> str:
    return row["status"] or NO_STATUS


def status_title(row: Row) -> str:
    """What the word means, for this row where it is known."""
    if row["status"] is None:
        return "a row of the published protocol: chosen on test, so it claims nothing"
    told = not_above(row) if "judge" in row["comparisons"] else None
    return told or STATUSES.get(row["status"], str(row["status"]))


def origin(by: str, reproduced: bool | None) -> str:
    """Who handed results in, and whether they were made again here; empty of ours."""
    if not by:
        return ""
    return f"reproduced; by {by}" if reproduced else f"claimed by {by}, not reproduced"


def answer(row: Row) -> str:
    """What the row says, in a sentence or two."""
    model, task = row["model"], row["task"]
    if row["status"] is None:
        return (
            f"By the published steps {model} needs {minimal_text(row)} for {task}. Layers, sizes and the reported row "
            "are chosen on test, so this makes no claim."
        )
    if is_twin(row):
        return (
            f"Control row: {model} is {row['control_of']} with fresh weights. It claims nothing; it tells what the "
            f"architecture alone gives on {task}."
        )
    if not supported(row):
        return f"Nothing is claimed of {model} on {task}: {status_title(row)}."
    if row["n_minimal"] is None:
        return (
            f"The probe on {model} is above every baseline on {task}, but no number of neurons is claimed: "
            f"{_no_minimum(row)}."
        )
    margin = "" if row["margin"] is None else f", within {row['margin']:g} {metric_name(row['metric'])}"
    verdict = {True: " Test confirms it.", False: " Test does not confirm it.", None: ""}[row["confirmed"]]
    low = row["n_minimal_low"]
    other = "" if low is None else f" Another judge of the same size would say {judged(low, row['n_minimal_high'])}."
    return (
        f"{count(row['n_minimal'])} of {count(row['n_neurons'])} neurons ({share(row['share'])}) of {model} keep the "
        f"score of its best probe on {task}{margin}.{other}{verdict}"
    )


def _no_minimum(row: Row) -> str:
    """Why a supported row has no minimum: its note, which begins with the reason, else the reason of the curve."""
    start = ("dev too small", "no minimum")
    told = next((note for note in row["notes"] if note.startswith(start)), None)
    told = told or row["minima"].get(row["ranking"], {}).get("reason") or "no size passes the rule"
    return str(told).removeprefix("no minimum: ").rstrip(".")


def notes(row: Row) -> list[str]:
    """All that must be known to read the row, without what its status says already."""
    known = row["notes"] or ([row["note"]] if row["note"] else [])
    told = [text for text in known if text != CONTROL_NOTE]
    if row["confirmed"] is False and not any("not confirmed" in text for text in told):
        told.append("not confirmed on test")
    return [*told, bound(row)] if bound(row) else told


def bound(row: Row) -> str:
    """How far the minimal subset can be from the smallest, where the row has a bound; else empty."""
    if row["n_minimal"] is None or row["bound"] is None or not supported(row):
        return ""
    if not row["n_bound"]:
        return "the bound at the train objective of the subset excludes no number of neurons"
    factor = math.ceil(round(10 * row["bound_factor"], 6)) / 10  # rounded up, for it is claimed
    return (
        f"at least {count(row['n_bound'])} neurons at that train objective, so n_minimal is within a factor of "
        f"{factor:.1f} of the smallest possible (train objective at one penalty, not accuracy)"
    )


def key_figures(row: Row, rank: str) -> list[tuple[str, str, str]]:
    """Label, figure and what stands below it: the first things to know of a row."""
    low = row["n_minimal_low"]
    size = row["n_minimal"] if row["n_minimal"] is not None else row["estimate"]
    claimed = claims(row)
    interval = f"{judged(low, row['n_minimal_high'], '–')} on another judge" if claimed and low is not None else ""
    best = best_baseline(row)
    named = row["surface_name"] if best and best[0] == "surface" else best[0] if best else ""
    found = [
        ("Neurons", count(size, about=not claimed), interval or ("" if claimed else "no claim")),
        ("Share", share(row["share"]), f"of {count(row['n_neurons'])}"),
        ("Subset, test", decimals(row["subset_test"]), f"random neurons {decimals(row['random_test'])}"),
        ("All neurons, test", decimals(row["oracle"]), between(row["oracle_low"], row["oracle_high"]).strip()),
        ("Best baseline", decimals(best[1] if best else None), named or ""),
        ("Untrained twin", decimals(row["untrained"]), ""),
    ]
    if row["evidence"] is not None:
        found.append(("Evidence", EVIDENCE.get(row["evidence"], (row["evidence"], ""))[0], ""))
    if rank != NONE:
        others = "untrained twins" if is_twin(row) else "models"
        found.append(("Rank by score", rank, f"among the {others} of the task"))
    return found


def evidence_lines(row: Row) -> list[tuple[str, str, str]]:
    """Tier, its meaning, and whether its own test holds."""
    made = row["evidence_tests"] or {}
    said = {True: "shown", False: "not shown", None: "not asked"}
    return [(name, EVIDENCE.get(name, ("", name))[1], said[made[name]]) for name in evidence.TIERS if name in made]
