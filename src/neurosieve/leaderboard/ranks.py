"""Are two rows different? Models on the same task, compared pair by pair, and the ranks that follow.

Reads, for every task: prepare/tasks/<task>/{test,card} (labels and files, no activations) and of every model
subsets/scores/<model>/<task> (scores.json, predictions_test.npy). Writes no files; leaderboard/comparisons.json is

{task: {"score": pairs by the probe on all neurons, "subset": pairs by the headline subset, each {"a", "b",
        "difference": score of a minus that of b, "low", "high": its interval, "p": two-sided, "p_holm"},
        "n_minimal": [{"a", "b", "difference": number of a minus that of b, "a_low", "a_high", "b_low", "b_high":
        n_least and n_minimal of each, "different"}],
        "rank_score", "rank_subset", "rank_n_minimal": {model: rank or null},
        "smallest_p_holm": what a pair of "score" can reach at best with so many replicates and pairs}}

Scores are compared by the paired bootstrap over the files of test, the same draws for all models; p-values are adjusted
by Holm over the pairs of a task. Where `probes.bootstrap` draws are too few for any of so many pairs to differ, as many
more are drawn as the pairs need (:func:`blocks`). Numbers of neurons differ where the intervals from n_least to
n_minimal are disjoint, and only claimed ones are compared. A rank is 1 + the number of rows that are shown to be
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
    pairs: list[dict[str, Any]] = []
    for a, b in itertools.combinations(values, 2):
        d = replicates[a] - replicates[b]
        one_sided = (1 + confidence) / 2
        pairs.append(
            {
                "a": a,
                "b": b,
                "difference": values[a] - values[b],
                "low": float(intervals.lower(d, one_sided)),
                "high": float(intervals.upper(d, one_sided)),
                "p": min(1.0, 2 * float(min(intervals.p_value(d), intervals.p_value(-d)))),
            }
        )
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


def compare_minima(minima: Mapping[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Every pair of models with a claimed minimum: (n_least, n_minimal) each, the ends of an interval."""
    pairs: list[dict[str, Any]] = []
    for (a, (low, n)), (b, (other_low, m)) in itertools.combinations(minima.items(), 2):
        apart = n < other_low or m < low
        pairs.append(
            {
                "a": a, "b": b, "difference": n - m, "a_low": low, "a_high": n, "b_low": other_low, "b_high": m,
                "different": apart,
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


def compare_rows(params: Params, paths: Paths, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """comparisons.json of the rows of collect.py (see the module's docstring).

    Raises
    ------
    ArtifactError
        where a model was scored on another number of test rows than the task has.
    """
    strict = [row for row in rows if row["protocol"] == "strict"]
    return {task: _compare_task(params, paths, [r for r in strict if r["task"] == task]) for task in params.run.tasks}


def row_ranks(comparisons: Mapping[str, Mapping[str, Any]], model: str, task: str) -> dict[str, int | None]:
    """ "ranks" of a row: its rank by "score", "subset" and "n_minimal", None where it has no such figure."""
    found = comparisons[task]
    return {name: found[f"rank_{name}"][model] for name in ("score", "subset", "n_minimal")}


def _compare_task(params: Params, paths: Paths, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    task = rows[0]["task"]
    confidence = params.probes.confidence
    card = read_json(paths.task(task) / "card" / "card.json")
    score = metrics.primary(card)
    given = read_rows(paths, task, SPLIT)
    groups = [[r["model"] for r in rows if (r["control_of"] is None) is trained] for trained in (True, False)]
    predicted = {row["model"]: _predictions(paths, row["model"], task, len(given.labels)) for row in rows}
    count, draws = math.comb(len(predicted), 2), params.probes.bootstrap
    bootstraps = [intervals.task_bootstrap(params.seed, task, SPLIT, given.files, draws, given.sides)]
    for block in range(1, blocks(count, draws, confidence)):
        # the draws of the task come first; those beyond them have names of their own
        name = f"{SPLIT}, block {block}"
        bootstraps.append(intervals.task_bootstrap(params.seed, task, name, given.files, draws, given.sides))

    def ranked(better: list[tuple[str, str]], having: Iterable[str]) -> dict[str, int | None]:
        """Trained models among themselves, twins among themselves; None for a model without the figure."""
        with_figure = set(having)
        places = {m: r for group in groups for m, r in ranks([m for m in group if m in with_figure], better).items()}
        return {row["model"]: places.get(row["model"]) for row in rows}

    found: dict[str, Any] = {}
    for name, key in (("score", ORACLE), ("subset", f"subset-{params.subsets.headline}")):
        values, replicates = {}, {}
        for model, named in predicted.items():
            if key in named:
                C = metrics.counts_by_file(given.labels, named[key], given.files, len(card["classes"]))
                values[model] = float(score(C.sum(0)))
                replicates[model] = np.concatenate([one.replicates(C, score) for one in bootstraps])
        found[name] = compare_scores(values, replicates, confidence)
        found[f"rank_{name}"] = ranked(better_scores(found[name], confidence), values)
    minima = {row["model"]: (row["n_least"], row["n_minimal"]) for row in rows if row["n_minimal"] is not None}
    found["n_minimal"] = compare_minima(minima)
    found["rank_n_minimal"] = ranked(better_minima(found["n_minimal"]), minima)
    smallest = min(1.0, count * 2 / (len(bootstraps) * draws + 1)) if count else None
    if smallest is not None and smallest > 1 - confidence + 1e-12:
        log.warning(
            "task %s: no pair of %d models can differ with %d replicates; write probes.bootstrap: %d or more",
            task, len(rows), len(bootstraps) * draws, math.ceil(_needed(count, confidence) / MOST_BLOCKS),
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
