"""What `neurosieve verify` found, as text and as json. Pure functions; no times, hosts or absolute paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from neurosieve import config
from neurosieve.artifacts import dump_json, printable
from neurosieve.config import Params
from neurosieve.verify.differences import (
    DIFFERENT,
    IDENTICAL,
    NOT_COMPARED,
    VERDICTS,
    WITHIN,
    Compared,
    Difference,
    worst,
)

SCHEMA = 1
AGAINST = {
    "build": "the artifacts at hand",
    "committed": "the committed results and dvc.lock",
    "folder": "the folder given",
}


def status(found: Sequence[Compared]) -> int:
    """Exit status: 0 identical, 1 equal within tolerance, 2 different."""
    return VERDICTS.index(worst(found))


def counts(found: Sequence[Compared]) -> dict[str, dict[str, int]]:
    """phase -> verdict -> number of artifacts, in the order of the phases; verdicts that occur."""
    numbers: dict[str, Counter[str]] = {phase: Counter() for phase in config.PHASES}
    for one in found:
        numbers.setdefault(one.artifact.split("/")[0], Counter())[one.verdict] += 1
    return {phase: {v: n[v] for v in (*VERDICTS, NOT_COMPARED) if n[v]} for phase, n in numbers.items() if n}


def first_cause(found: Sequence[Compared]) -> Compared | None:
    """The first artifact, in the order of the run, that is as bad as the whole."""
    verdict = worst(found)
    return next((one for one in found if one.verdict == verdict and verdict != IDENTICAL), None)


def largest(found: Sequence[Compared]) -> tuple[Compared, Difference] | None:
    """Where floats differ most, relative to their scale."""
    floats = [(one, d) for one in found for d in one.differences if d.relative is not None]
    return max(floats, key=lambda pair: pair[1].relative or 0.0, default=None)


def as_text(params: Params, part: str | None, against: str, found: Sequence[Compared]) -> str:
    """Counts by phase, a line for each artifact that is not identical, and the verdict as the last lines."""
    unknown = sum(one.verdict == NOT_COMPARED for one in found)
    lines = [f"{'phase':<12} {'identical':>9} {'within tolerance':>17} {'different':>10}"]
    lines[0] += f" {NOT_COMPARED:>13}" if unknown else ""
    for phase, numbers in counts(found).items():
        a, b, c, d = (str(numbers.get(v, 0)) for v in (*VERDICTS, NOT_COMPARED))
        lines.append(f"{phase:<12} {a:>9} {b:>17} {c:>10}" + (f" {d:>13}" if unknown else ""))
    odd = [one for one in found if one.verdict != IDENTICAL]
    if odd:
        lines.append("")
    lines += [f"{one.artifact}: {one.verdict}, {one.kind}: {one.why}" for one in odd]
    lines.append("")
    what = f"{params.benchmark} {params.version}" + ("" if part is None else f", {part}")
    verdict = worst(found)
    lines.append(f"{what}: {len(found) - unknown} artifacts compared with {AGAINST[against]}: {verdict}")
    if verdict == WITHIN and (most := largest(found)) is not None:
        one, difference = most
        lines.append(
            f"largest difference {difference.absolute:.2g}, relative {difference.relative:.2g}: "
            f"{one.artifact}/{difference.file}"
        )
    if verdict == DIFFERENT and (first := first_cause(found)) is not None:
        lines.append(f"first: phase {first.artifact.split('/')[0]}, {first.artifact}, {first.kind}: {first.why}")
    return printable("\n".join(lines)) + "\n"


def as_json(params: Params, part: str | None, against: str, found: Sequence[Compared]) -> str:
    """The same for machines: deterministic, a newline at the end."""
    first, most = first_cause(found), largest(found)
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "benchmark": params.benchmark,
        "version": params.version,
        "part": part,
        "against": against,
        "verdict": worst(found),
        "status": status(found),
        "phases": counts(found),
        "first": None if first is None else {"artifact": first.artifact, "kind": first.kind, "why": first.why},
        "largest": None
        if most is None
        else {"artifact": most[0].artifact, **{k: v for k, v in asdict(most[1]).items() if k not in ("before", "now")}},
        "artifacts": [
            {
                "artifact": one.artifact,
                "phase": one.artifact.split("/")[0],
                "verdict": one.verdict,
                "kind": one.kind or None,
                "why": one.why or None,
                "files": [asdict(difference) for difference in one.differences],
            }
            for one in found
        ],
    }
    return dump_json(value)
