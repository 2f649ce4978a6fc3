"""How far the evidence of a row goes: from read to used. Pure functions of a row (collect.py); reads no files.

Tiers, each with all before it:

none : status `at chance`: on judge the probe is not above the majority.
encoded : it is, but it is not shown to be above the surface baselines and the untrained twin.
encoded beyond baselines : status `supported`, on judge and, after Holm over the rows, on test.
necessary : with the chosen neurons ablated (at their means) the model predicts tokens worse than with any random set of
    as many neurons of the same layers ablated; the bootstrap bound of the difference says so too.
necessary and sufficient : with all other neurons ablated it predicts better than with any such random set kept alone.
specific : ablating the chosen neurons (the first `concepts.effects.neurons` of them) hurts tokens of the task's classes
    more than other tokens, each against random sets.

The last three are of each row by itself: unlike status, they are not corrected for the number of rows. Of sets that
matter no more than random ones 1 in (random sets + 1) is beyond them all, before the bound is asked.

A test that was not made ends the tiers, and so does one that failed; ``evidence_tests`` tells the two apart. Necessary
speaks of the model's own predictions of the tokens, not of the classes: no language model here predicts classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosieve.probes.status import SUPPORTED

NONE = "none"
ENCODED, BEYOND, NECESSARY, SUFFICIENT, SPECIFIC = (
    "encoded", "encoded beyond baselines", "necessary", "necessary and sufficient", "specific",
)  # fmt: skip
TIERS = (NONE, ENCODED, BEYOND, NECESSARY, SUFFICIENT, SPECIFIC)
# What the terminal's table says of a tier above BEYOND.
SHORT = {NECESSARY: "nec", SUFFICIENT: "nec+suf", SPECIFIC: "nec+suf+spec"}


def chosen_curve(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Of faithfulness.json the curve of the subset itself, neurons replaced by their means, where there is one."""
    curves = (row["faithfulness"] or {"curves": []})["curves"]
    return next((curve for curve in curves if (curve["order"], curve["method"]) == ("chosen", "mean")), None)


def tests(row: Mapping[str, Any]) -> dict[str, bool | None]:
    """Tier -> whether its own test holds, None where it was not made."""
    curve, effects = chosen_curve(row), row["effects"]
    verdict = None if curve is None else curve["verdict"]
    outside = None if effects is None or effects["reason"] is not None else effects["outside"]
    ablated = None if outside is None else outside["doses"].get("0")
    return {
        ENCODED: row["status"] != "at chance",
        BEYOND: row["status"] == SUPPORTED and row["confirmed_status"] is not False,
        NECESSARY: None if verdict is None else verdict["necessary"],
        SUFFICIENT: None if verdict is None else verdict["sufficient"],
        SPECIFIC: None if ablated is None else ablated["specific"],
    }


def evidence(row: Mapping[str, Any]) -> dict[str, Any]:
    """The tier of a row, and the tests by which it has it."""
    made = tests(row)
    tier = NONE
    for name in TIERS[1:]:
        if not made[name]:
            break
        tier = name
    return {"evidence": tier, "evidence_tests": made}
