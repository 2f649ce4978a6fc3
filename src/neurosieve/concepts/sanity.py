"""Does a metric notice that the labels of a concept are wrong? The two tests of NeuronEval.

Oikarinen, Yan and Weng, "Evaluating neuron explanations: a unified framework with sanity checks", ICML 2025, arXiv
2506.05774. As published: in the *missing labels* test each row of the concept keeps its label with probability 1/2, in
the *extra labels* test each other row gets it with probability n / (N - n), n rows of N being of the concept, so that
their number doubles in the mean. A score falls where (score after - score before) / span is below -0.001, the span
being the largest minus the smallest value of the metric. The theoretical form takes a neuron that is the concept itself
(1 on its rows, else 0) at several shares of rows; the other form takes real neurons with their concepts.

Ours: at most half of the other rows get the label, or a concept of half of the rows would become all of them; the
shares of rows, 0.4 to 0.001; DRAWS draws of wrong labels, whose mean counts; a metric passes the theoretical test if
its score falls at every share; the concept of a real neuron is its best class by ``concepts.metric``, in the direction
that it has there; scores are of all judge rows; and where a metric here is 0 by chance it is tested as such, with
average precision as published beside it. Reads and writes no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurosieve.concepts.metrics import DIRECTIONS, SCORES, SPAN, scores, share_of

RAW = "average-precision-raw"  # with the share of the class where there is no relation, as published
TESTED = (*SCORES, RAW)
EPSILON = 0.001
DRAWS = 4
SHARES = (0.4, 0.1, 0.01, 0.001)
ROWS = 10_000


def with_missing(member: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Labels of which each is lost with probability 1/2, (draws, rows) bool. member : (rows,) bool."""
    return member & (rng.random((draws, len(member))) < 0.5)


def with_extra(member: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """As many wrong labels again, in the mean, on half of the other rows at most, (draws, rows) bool."""
    n = int(member.sum())
    return member | (rng.random((draws, len(member))) < min(n / max(len(member) - n, 1), 0.5))


def changes(
    X: np.ndarray, member: np.ndarray, draws: int, rng: np.random.Generator
) -> dict[str, dict[str, np.ndarray]]:
    """Change of the score of every column, over the metric's span: {metric: {"missing", "extra": (columns, 2)}}.

    The mean over draws, which all metrics share; last axis as in metrics.scores; NaN where a score is not known before
    or after. X : (rows, columns); member : (rows,) bool.
    """
    lost, added = with_missing(member, draws, rng), with_extra(member, draws, rng)
    drawn = np.concatenate([member[None], lost, added]).astype(np.uint8)
    found = {metric: scores(metric, X, drawn, [1])[:, :, 0] / SPAN[metric] for metric in SCORES}
    share = share_of(drawn, [1])[:, :, 0]
    found[RAW] = found["average-precision"] * (1 - share) + share
    return {
        metric: {
            "missing": of[1 : 1 + draws].mean(axis=0) - of[0],
            "extra": of[1 + draws :].mean(axis=0) - of[0],
        }
        for metric, of in found.items()
    }


def ideal(seed: int = 0) -> dict[str, dict[str, dict[str, float]]]:
    """The theoretical form: change of the score of a neuron that is the concept, by metric, test and share of rows."""
    found: dict[str, dict[str, dict[str, float]]] = {metric: {"missing": {}, "extra": {}} for metric in TESTED}
    for share in SHARES:
        member = np.arange(ROWS) < round(share * ROWS)
        change = changes(member[:, None].astype(np.float32), member, 20, np.random.default_rng(seed))
        for metric, tests in change.items():
            for test, values in tests.items():
                found[metric][test][f"{share:g}"] = float(values[0, 0])
    return found


def passes(found: dict[str, dict[str, float]]) -> bool:
    """Whether the score of a metric falls at every share of rows in both tests. found : of one metric of ``ideal``."""
    return all(change < -EPSILON for test in found.values() for change in test.values())


def checked(
    X: np.ndarray,
    labels: np.ndarray,
    best: Sequence[int | None],
    direction: np.ndarray,
    named: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Both tests of every metric on real neurons with their best classes: "sanity" of concepts.json.

    X : (rows, neurons); labels : (rows,) ints; best, direction, named : of each neuron its class (None: not tested),
    1 or -1, and whether it is named after it.

    Returns {"epsilon", "draws", "neurons", "named", "metrics": {metric: {"missing", "extra": {"falls", "change",
    "falls_named"}}}}: the share of tested (of named) neurons whose score falls, and the mean change; None without any.
    """
    tested = [i for i, c in enumerate(best) if c is not None]
    seeds = {c: int(rng.integers(2**32)) for c in sorted({best[i] for i in tested}, key=lambda c: c or 0)}
    change = {metric: {test: np.full(len(best), np.nan) for test in ("missing", "extra")} for metric in TESTED}
    for c, seed in seeds.items():
        at = [i for i in tested if best[i] == c]
        axis = [DIRECTIONS.index(int(direction[i])) for i in at]
        for metric, tests in changes(X[:, at], labels == c, DRAWS, np.random.default_rng(seed)).items():
            for test, values in tests.items():
                change[metric][test][at] = values[np.arange(len(at)), axis]
    report = {m: {test: _told(values, named) for test, values in tests.items()} for m, tests in change.items()}
    return {"epsilon": EPSILON, "draws": DRAWS, "neurons": len(tested), "named": int(named.sum()), "metrics": report}


def _told(change: np.ndarray, named: np.ndarray) -> dict[str, float | None]:
    known = ~np.isnan(change)
    return {
        "falls": _mean((change < -EPSILON)[known]),
        "change": _mean(change[known]),
        "falls_named": _mean((change < -EPSILON)[known & named]),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
