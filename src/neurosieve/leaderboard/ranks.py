"""Are two rows different? Models on the same task, compared pair by pair, and the ranks that follow.

Reads, for every task: prepare/tasks/<task>/{test,card} (labels and files, no activations) and of every model
subsets/scores/<model>/<task> (scores.json, predictions_test.npy) and subsets/search/<model>/<task> (curves.json,
minima_judge.npy). Writes no files; leaderboard/comparisons.json is

{task: {"score": pairs by the probe on all neurons, "subset": pairs by the headline subset, each {"a", "b",
        "difference": score of a minus that of b, "low", "high": its interval, "p": two-sided, "p_holm"},
        "n_minimal": [{"a", "b", "difference": number of a minus that of b, "low", "high": its interval, null where
        an end is beyond every size, "a_low", "a_high", "b_low", "b_high": n_least and n_minimal of each, "different"}],
        "rank_score", "rank_subset", "rank_n_minimal": {model: rank or null},
        "smallest_p_holm": what a pair of "score" can reach at best with so many replicates and pairs}}

Scores are compared by the paired bootstrap over the files of test, the same draws for all models; p-values are adjusted
by Holm over the pairs of a task. Where `probes.bootstrap` draws are too few for any of so many pairs to differ, as many
more are drawn as the pairs need (:func:`blocks`). The interval of the difference of two numbers of neurons is where it
would lie on another judge: the minima of both on the same draws of the files of judge. They differ where the intervals
from n_least to n_minimal, of the smallest size that suffices in truth, are disjoint; only claimed ones are compared. A
rank is 1 + the number of rows that are shown to be
better, so rows that none is shown to be better than share the first. Such ranks are not an order of quality: with A
shown to be better than C and B like both, B shares the first rank with A, and C has the second, though C is not shown
to differ from B. Untrained twins are compared with all, but ranked among themselves.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from neurosieve.artifacts import ArtifactError, Paths, read_json, read_npy
from neurosieve.config import Params
from neurosieve.leaderboard.draws import paired, whole
from neurosieve.probes import intervals, metrics
from neurosieve.probes.features import read_rows

log = logging.getLogger(__name__)

SPLIT = "test"
ORACLE = "all"
MOST_BLOCKS = 100  # of `probes.bootstrap` draws each; with a thousand in each enough for seventy models, twins included


def compare_scores(
    values: Mapping[str, float], replicates: Mapping[str, np.ndarray], confidence: float
) -> list[dict[str, Any]]:
    """Every pair of models, in the given order.

    Parameters
    ----------
    values : score by model.
    replicates : (B,) scores of the same bootstrap replicates by model.
    confidence : two-sided; the interval leaves out 0 where p, not adjusted, is 1 - confidence at most.
    """
    pairs: list[dict[str, Any]] = [
        {"a": a, "b": b, "difference": values[a] - values[b], **paired(replicates[a], replicates[b], confidence)}
        for a, b in itertools.combinations(values, 2)
    ]
    for pair, p in zip(pairs, intervals.holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_holm"] = float(p)
    return pairs


def blocks(pairs: int, draws: int, confidence: float) -> int:
    """How many times ``draws`` replicates so many pairs need: once where that can show a difference after Holm, else
    twice as many as the smallest possible p asks for, at most MOST_BLOCKS."""
    needed = _needed(pairs, confidence)
    return 1 if draws >= needed else min(math.ceil(2 * needed / draws), MOST_BLOCKS)


def _needed(pairs: int, confidence: float) -> int:
    """Replicates with which the smallest possible p, two-sided and after Holm over the pairs, is 1 - confidence."""
    return math.ceil(2 * pairs / (1 - confidence) - 1e-9) - 1


def compare_minima(
    minima: Mapping[str, tuple[int, int]], replicates: Mapping[str, np.ndarray], confidence: float
) -> list[dict[str, Any]]:
    """Every pair of models with a claimed minimum.

    Parameters
    ----------
    minima : (n_least, n_minimal) by model, the ends of an interval.
    replicates : (B,) minima on the same draws of judge by model, inf where no size passes.
    confidence : two-sided, of the interval of the difference.
    """
    pairs: list[dict[str, Any]] = []
    for (a, (low, n)), (b, (other_low, m)) in itertools.combinations(minima.items(), 2):
        pairs.append(
            {
                "a": a, "b": b, "difference": n - m, **whole(paired(replicates[a], replicates[b], confidence)),
                "a_low": low, "a_high": n, "b_low": other_low, "b_high": m, "different": n < other_low or m < low,
            }
        )  # fmt: skip
    return pairs


def ranks(models: Iterable[str], better: Iterable[tuple[str, str]]) -> dict[str, int]:
    """1 + the number of models that are better, by model; ``better`` are pairs (winner, loser)."""
    found = dict.fromkeys(models, 1)
    for winner, loser in set(better):
        if winner in found and loser in found:
            found[loser] += 1
    return found


def better_scores(pairs: Sequence[Mapping[str, Any]], confidence: float) -> list[tuple[str, str]]:
    """(winner, loser) of the pairs whose adjusted p is 1 - confidence at most."""
    won = [p for p in pairs if p["p_holm"] <= 1 - confidence + 1e-12]  # 1 - 0.95 is a little above 0.05
    return [(p["a"], p["b"]) if p["difference"] > 0 else (p["b"], p["a"]) for p in won]


def better_minima(pairs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(winner, loser) of the pairs that differ: fewer neurons win."""
    return [(p["a"], p["b"]) if p["difference"] < 0 else (p["b"], p["a"]) for p in pairs if p["different"]]


def compare_rows(
    params: Params, paths: Paths, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], dict[str, np.ndarray]]]:
    """comparisons.json of the rows of collect.py (see the module's docstring), and of each row, by model and task, the
    replicates of its figures (see draws.py).

    Raises
    ------
    ArtifactError
        where a model was scored on another number of test rows than the task has.
    """
    strict = [row for row in rows if row["protocol"] == "strict"]
    found: dict[str, dict[str, Any]] = {}
    draws: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for task in params.run.tasks:
        of_task = [row for row in strict if row["task"] == task]
        scores, replicates = _replicates(params, paths, task, of_task)
        found[task] = _compare_task(params, task, of_task, scores, replicates)
        own = params.probes.bootstrap  # those beyond are the pairs'
        draws |= {(m, task): {name: values[:own] for name, values in of.items()} for m, of in replicates.items()}
    return found, draws


def row_ranks(comparisons: Mapping[str, Mapping[str, Any]], model: str, task: str) -> dict[str, int | None]:
    """ "ranks" of a row: its rank by "score", "subset" and "n_minimal", None where it has no such figure."""
    found = comparisons[task]
    return {name: found[f"rank_{name}"][model] for name in ("score", "subset", "n_minimal")}


def _replicates(
    params: Params, paths: Paths, task: str, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, np.ndarray]]]:
    """By model and figure of draws.py, where there is one: the scores; and the replicates, of scores on the draws of
    test, with those beyond `probes.bootstrap` that the pairs need, of minima on those of judge."""
    card = read_json(paths.task(task) / "card" / "card.json")
    score, given = metrics.primary(card), read_rows(paths, task, SPLIT)
    count, n = math.comb(len(rows), 2), params.probes.bootstrap
    bootstraps = [intervals.task_bootstrap(params.seed, task, SPLIT, given.files, n, given.sides)]
    for block in range(1, blocks(count, n, params.probes.confidence)):
        # the draws of the task come first; those beyond them have names of their own
        name = f"{SPLIT}, block {block}"
        bootstraps.append(intervals.task_bootstrap(params.seed, task, name, given.files, n, given.sides))
    scores: dict[str, dict[str, float]] = {}
    replicates: dict[str, dict[str, np.ndarray]] = {}
    for row in rows:
        values, own = scores.setdefault(row["model"], {}), replicates.setdefault(row["model"], {})
        named = _predictions(paths, row["model"], task, len(given.labels))
        for figure, key in (("score", ORACLE), ("subset", f"subset-{row['ranking']}")):
            if key in named:
                C = metrics.counts_by_file(given.labels, named[key], given.files, len(card["classes"]))
                values[figure] = float(score(C.sum(0)))
                own[figure] = np.concatenate([one.replicates(C, score) for one in bootstraps])
        if row["n_minimal"] is not None:
            own["n_minimal"] = _minima(paths, row["model"], task, row["ranking"])
    return scores, replicates


def _minima(paths: Paths, model: str, task: str, contender: str) -> np.ndarray:
    """(B,) minima of the contender on the draws of judge, inf where no size passes."""
    folder = paths.search(model, task)
    at = read_json(folder / "curves.json")["curves"][contender]["minima"]
    minima = read_npy(folder / "minima_judge.npy")[at].astype(np.float64)
    minima[minima == 0] = np.inf
    return minima


def _compare_task(
    params: Params,
    task: str,
    rows: Sequence[Mapping[str, Any]],
    scores: Mapping[str, Mapping[str, float]],
    replicates: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    confidence = params.probes.confidence
    groups = [[r["model"] for r in rows if (r["control_of"] is None) is trained] for trained in (True, False)]

    def ranked(better: list[tuple[str, str]], having: Iterable[str]) -> dict[str, int | None]:
        """Trained models among themselves, twins among themselves; None for a model without the figure."""
        with_figure = set(having)
        places = {m: r for group in groups for m, r in ranks([m for m in group if m in with_figure], better).items()}
        return {row["model"]: places.get(row["model"]) for row in rows}

    def of(name: str) -> dict[str, np.ndarray]:
        return {model: own[name] for model, own in replicates.items() if name in own}

    found: dict[str, Any] = {}
    for name in ("score", "subset"):
        values = {model: own[name] for model, own in scores.items() if name in own}
        found[name] = compare_scores(values, of(name), confidence)
        found[f"rank_{name}"] = ranked(better_scores(found[name], confidence), values)
    minima = {row["model"]: (row["n_least"], row["n_minimal"]) for row in rows if row["n_minimal"] is not None}
    found["n_minimal"] = compare_minima(minima, of("n_minimal"), confidence)
    found["rank_n_minimal"] = ranked(better_minima(found["n_minimal"]), minima)
    count, draws = math.comb(len(rows), 2), len(next(iter(of("score").values())))
    smallest = min(1.0, count * 2 / (draws + 1)) if count else None
    if smallest is not None and smallest > 1 - confidence + 1e-12:
        log.warning(
            "task %s: no pair of %d models can differ with %d replicates; write probes.bootstrap: %d or more",
            task, len(rows), draws, math.ceil(_needed(count, confidence) / MOST_BLOCKS),
        )  # fmt: skip
    found["smallest_p_holm"] = smallest
    return found


def _predictions(paths: Paths, model: str, task: str, rows: int) -> dict[str, np.ndarray]:
    """Test predictions by the name of the predictor."""
    folder = paths.scores(model, task)
    names = read_json(folder / "scores.json")["predictions"]
    table = read_npy(folder / "predictions_test.npy")
    if table.shape != (len(names), rows):
        raise ArtifactError(
            f"{folder / 'predictions_test.npy'}: found {table.shape[0]} predictors of {table.shape[1]} rows, expected "
            f"{len(names)} of {rows}, the rows of {paths.task(task) / SPLIT}; run `score-test` again"
        )
    return dict(zip(names, table, strict=True))
