"""The chosen neurons of other tasks as symbols for this one.

Question: can a task be read from the chosen neurons of another one when no more than a symbol of each is left, such as
on or off?

Null: symbols of as many random neurons of the same layers, none of those whose symbols are taken (what else the other
task chose may be among them). Beside it stand the values themselves, of the same neurons, and the symbols of the task's
own chosen neurons.

Source: the question is that of subsets/transfer, which refits values; symbols after the discretised neurons of rule and
concept extraction (Thrun 1995, NIPS 7; Mu and Andreas 2020, NeurIPS 33). ``sign``: above the train mean or not;
``ternary``: below, within and above half a standard deviation around it; ``quarters``: one of four between the train
quartiles, each symbol but the first a column of its own. Codes are of this task's train rows; a probe is fitted at the
penalty of the task's own subset.

found: "codes", "own_values": judge score of the first of the own chosen neurons, "sources": {task: {"symbols": number,
"own": whether it is this task, "left_out": neurons constant here, "values": judge score of the values, "codes": {code:
{"judge", "random": {mean, low, high}, "less_random", "less_values": {difference, low, high} paired over files}}}, or
null for a task without a subset}. Reads and writes no files.
"""

from __future__ import annotations

import numpy as np

from neurosieve.concepts.lenses import Headline, LensInput, LensReport, Nothing
from neurosieve.concepts.lenses._fitting import Judged, Report, Target, drawn, standardised, target_of

UNITS = ("token", "sequence", "pair")
NUMBERS = True
OTHERS = "tasks"
TERNARY = 0.5  # standard deviations around the mean


def encode(train: np.ndarray, judge: np.ndarray, code: str) -> tuple[np.ndarray, np.ndarray]:
    """Symbols of standardised columns (rows, columns), float32 (rows, columns of the code), by the figures of train.

    sign: 0 or 1 each. ternary: -1, 0 or 1. quarters: three columns of 0 and 1 for the second to the fourth quarter.
    """
    if code == "sign":
        return (train > 0).astype(np.float32), (judge > 0).astype(np.float32)
    if code == "ternary":
        a, b = (np.sign(X) * (np.abs(X) > TERNARY).astype(np.float32) for X in (train, judge))
        return a, b
    if code == "quarters":
        ends = np.quantile(train.astype(np.float64), [0.25, 0.5, 0.75], axis=0)
        found = []
        for X in (train, judge):
            quarter = (X[None] > ends[:, None]).sum(axis=0)
            found.append(np.concatenate([(quarter == q).astype(np.float32) for q in (1, 2, 3)], axis=1))
        return found[0], found[1]
    raise ValueError(f"code {code!r} is unknown; write one of: sign, ternary, quarters")


def carried(
    target: Target, own: tuple[np.ndarray, np.ndarray], random: list[tuple[np.ndarray, np.ndarray]], codes: list[str]
) -> tuple[Report, dict[str, list[float]]]:
    """ "values" and "codes" of a source, and the scores of the random sets by code.

    own, random : train and judge columns of the source's neurons, and of random ones, float32, standardised.
    """
    values = target.scored(*own)
    entries: Report = {}
    draws: dict[str, list[float]] = {}
    for code in codes:
        symbols = target.scored(*standardised(*encode(*own, code)))
        others: list[Judged] = [target.scored(*standardised(*encode(*each, code))) for each in random]
        draws[code] = [judged.value for judged in others]
        entries[code] = {
            "judge": symbols.value,
            "random": drawn(draws[code]),
            "less_random": target.difference(symbols, others),
            "less_values": target.difference(symbols, [values]),
        }
    return {"values": values.value, "codes": entries}, draws


def look(data: LensInput) -> LensReport:
    """Every task of the run is a source; the headline is of the others, of the own one where there is no other."""
    settings, target = data.settings, target_of(data)

    def columns(neurons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return data.matrix("train", neurons), data.matrix("judge", neurons)

    sources: dict[str, Report | None] = {}
    scores: dict[str, tuple[float, list[float]]] = {}
    first = settings.codes[0]
    for task in data.params.run.tasks:
        chosen = data.chosen if task == data.task else data.other(task=task).chosen
        neurons = chosen[np.isin(chosen, data.usable)][: settings.symbols]
        if not len(neurons):
            sources[task] = None
            continue
        random = [columns(draw) for draw in data.random_sets(neurons, settings.draws)]
        found, draws = carried(target, columns(neurons), random, settings.codes)
        left_out = int((~np.isin(chosen[: settings.symbols], data.usable)).sum())
        sources[task] = {"symbols": len(neurons), "own": task == data.task, "left_out": left_out, **found}
        scores[task] = (found["codes"][first]["judge"], draws[first])
    if not scores:
        raise Nothing("no task has chosen neurons that vary here")
    others = [score for task, score in scores.items() if task != data.task] or list(scores.values())
    own = sources.get(data.task)
    report = {"codes": settings.codes, "own_values": None if own is None else own["values"], "sources": sources}
    told = f"judge score of {first} symbols of other tasks' neurons, mean over tasks"
    value = float(np.mean([value for value, _ in others]))
    return LensReport(Headline(told, value, np.mean([draws for _, draws in others], axis=0)), report)
