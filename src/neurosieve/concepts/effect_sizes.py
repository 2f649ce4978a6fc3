"""Statistics of what changed neurons do to a model's predictions: arrays in, plain figures out. No files, no model.

A change is of the log-probability of the right sub-word, in nats, per token: below 0 where it hurts. Files are what is
resampled (:mod:`neurosieve.probes.intervals`): a mean over tokens is a ratio of sums, paired on the same draws. Bounds
are one-sided at ``confidence`` and null without a bootstrap (fewer than MIN_FILES files); one within ROUNDING of 0 is
on neither side of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from neurosieve.probes.intervals import FileBootstrap, holm, lower, p_value, upper

ROUNDING = 1e-5  # nats: what float32 log-probabilities differ by where nothing changed
ORDERS = 5040  # of as many all are looked at (seven tasks), of more that many are drawn


def mean_replicates(values: np.ndarray, files: np.ndarray, bootstrap: FileBootstrap) -> np.ndarray:
    """Mean over tokens in every draw of files: values (..., tokens), files (tokens,) codes -> float64 (..., n).

    NaN in a draw that took no file with a token.
    """
    weights = bootstrap.weights.astype(np.float64)
    tokens = weights @ np.bincount(files, minlength=bootstrap.n_files)
    values = np.asarray(values, np.float64)
    found = np.empty((*values.shape[:-1], bootstrap.n))
    for at in np.ndindex(values.shape[:-1]):
        sums = weights @ np.bincount(files, values[at], minlength=bootstrap.n_files)
        found[at] = np.divide(sums, tokens, out=np.full(bootstrap.n, np.nan), where=tokens > 0)
    return found


def bounds(
    replicates: np.ndarray | None, confidence: float, names: tuple[str, str] = ("low", "high")
) -> dict[str, Any]:
    """Two one-sided bounds; null without replicates, or where a twentieth of the draws or more give no value."""
    if replicates is not None:
        whole = replicates[np.isfinite(replicates)]
        if len(whole) > 0.95 * len(replicates):
            return {names[0]: float(lower(whole, confidence)), names[1]: float(upper(whole, confidence))}
    return dict.fromkeys(names)


def _below(bound: float | None) -> bool:
    return bound is not None and bound < -ROUNDING


def _above(bound: float | None) -> bool:
    return bound is not None and bound > ROUNDING


def monotonicity(
    curve: np.ndarray, files: np.ndarray, bootstrap: FileBootstrap | None, confidence: float
) -> dict[str, Any]:
    """Whether a mean grows from step to step: curve (steps, tokens), steps in the order in which it should grow.

    "monotone": no step falls; "share": of the draws of files in which none does. "spearman": of the means with the
    steps, 1 where each is above the one before; "low": its bound. "isotonic": the share of the variance of the means
    that the nearest curve that never falls explains, null where all are equal. Of three values after a first in random
    order one in 24 would be monotone.
    """
    from sklearn.isotonic import IsotonicRegression  # takes seconds to load, and other rules need the rest of this

    means = curve.mean(axis=1)
    fit = IsotonicRegression().fit_transform(np.arange(len(means)), means)
    spread = float(((means - means.mean()) ** 2).sum())
    found: dict[str, Any] = {
        "monotone": bool((np.diff(means) >= 0).all()),
        "spearman": _spearman(means[:, None])[0],
        "isotonic": 1 - float(((means - fit) ** 2).sum()) / spread if spread else None,
        "share": None,
        "low": None,
    }
    if bootstrap is not None:
        drawn = mean_replicates(curve, files, bootstrap)
        found["share"] = float((np.diff(drawn, axis=0) >= 0).all(axis=0).mean())
        values = _spearman(drawn)
        found["low"] = bounds(np.array([np.nan if v is None else v for v in values]), confidence)["low"]
    return found


def _spearman(means: np.ndarray) -> list[float | None]:
    """Of each column of (steps, n) with the steps; None where all are equal."""
    ranks = rankdata(means, axis=0)
    ranks -= ranks.mean(axis=0)
    steps = np.arange(len(means)) - (len(means) - 1) / 2
    size = np.sqrt((ranks**2).sum(axis=0) * (steps**2).sum())
    return [float(r) / float(s) if s else None for r, s in zip(steps @ ranks, size, strict=True)]


def side_effects(
    inside: tuple[np.ndarray, np.ndarray],
    outside: tuple[np.ndarray, np.ndarray],
    divergence_inside: np.ndarray,
    divergence_outside: np.ndarray,
    files_inside: np.ndarray,
    files_outside: np.ndarray,
    bootstrap: FileBootstrap | None,
    confidence: float,
) -> dict[str, Any]:
    """Does a change reach the tokens of the classes (inside) more than others (outside), each against random neurons?

    inside, outside : changes, chosen (tokens,) and random (draws, tokens); the tokens of the two differ, their files
    are coded alike. divergence_* (1 + draws, tokens): Kullback-Leibler divergences, the chosen set's first.

    "difference": (chosen - random) inside less that outside, below 0 where the tokens of the classes are hurt more;
    "specific": its upper bound is. "divergence_ratio": how many times as far as by random neurons the distribution is
    moved inside, by the same outside, 1 where the set has no preference; it does not depend on how sure the model is of
    either kind of token. "moves_more": its lower bound is above 1. Both are null without a bound: not tested.
    """
    difference, logs = [], []
    drawn_difference: list[np.ndarray] = []
    drawn_logs: list[np.ndarray] = []
    for (chosen, random), divergence, files in (
        (inside, divergence_inside, files_inside),
        (outside, divergence_outside, files_outside),
    ):
        paired = chosen - random.mean(axis=0)
        pair = np.stack([divergence[0], divergence[1:].mean(axis=0)])
        difference.append(float(paired.mean()))
        logs.append(_log_ratio(pair.mean(axis=1)))
        if bootstrap is not None:
            drawn_difference.append(mean_replicates(paired, files, bootstrap))
            drawn_logs.append(_log_ratio(mean_replicates(pair, files, bootstrap)))
    found: dict[str, Any] = {"difference": difference[0] - difference[1]}
    found |= bounds(drawn_difference[0] - drawn_difference[1] if drawn_difference else None, confidence)
    ratio = float(np.exp(logs[0] - logs[1]))
    found["divergence_ratio"] = ratio if math.isfinite(ratio) else None
    drawn = np.exp(drawn_logs[0] - drawn_logs[1]) if drawn_logs else None
    found |= bounds(drawn, confidence, ("ratio_low", "ratio_high"))
    found["specific"] = None if found["high"] is None else _below(found["high"])
    found["moves_more"] = None if found["ratio_low"] is None else found["ratio_low"] > 1
    return found


def _log_ratio(pair: np.ndarray) -> np.ndarray:
    """log of the first by the second of (2, ...); NaN where either is nothing but rounding."""
    known = np.where(pair > ROUNDING, pair, np.nan)
    return np.log(known[0]) - np.log(known[1])


def set_against_members(
    together: np.ndarray,
    alone: np.ndarray,
    random_together: np.ndarray,
    random_alone: np.ndarray,
    files: np.ndarray,
    bootstrap: FileBootstrap | None,
    confidence: float,
) -> dict[str, Any]:
    """The effect of a set against the sum of its members' effects.

    together (tokens,): change by the whole set; alone (members, tokens): by each member; random_together (draws,
    tokens) and random_alone (draws, members, tokens): of random sets.

    All figures are harms (changes, the sign turned). "interaction": set less sum, with bounds. "verdict":
    "synergistic" where its lower bound is above 0, "redundant" where its upper bound is below 0, else "additive"; null
    where the set itself does no harm (its lower bound is not above 0), for then there is nothing to share. The words
    are of the effects: members that stand in for each other do little harm one by one and are synergistic here.
    "beyond_random": interaction less that of the random sets, with bounds.
    """
    harm, total = -together, -alone.sum(axis=0)
    interaction = harm - total
    random_interaction = -random_together + random_alone.sum(axis=1)
    by_draw = random_interaction.mean(axis=1)
    beyond = interaction - random_interaction.mean(axis=0)
    drawn = None if bootstrap is None else mean_replicates(np.stack([harm, interaction, beyond]), files, bootstrap)
    of_set, of_interaction, of_beyond = (bounds(None if drawn is None else drawn[i], confidence) for i in range(3))
    verdict = None
    if _above(of_set["low"]):
        verdict = "additive"
        if _above(of_interaction["low"]):
            verdict = "synergistic"
        elif _below(of_interaction["high"]):
            verdict = "redundant"
    return {
        "set": float(harm.mean()),
        "set_low": of_set["low"],
        "sum": float(total.mean()),
        "ratio": _ratio(harm, total),
        "interaction": {"value": float(interaction.mean()), **of_interaction},
        "verdict": verdict,
        "random": {
            "set": float(-random_together.mean()),
            "sum": float(-random_alone.sum(axis=1).mean()),
            "ratio": _ratio(-random_together, -random_alone.sum(axis=1)),
            "interaction": {
                "mean": float(by_draw.mean()),
                "low": float(by_draw.min()),
                "high": float(by_draw.max()),
            },
        },
        "beyond_random": {"value": float(beyond.mean()), **of_beyond},
    }


def _ratio(harm: np.ndarray, total: np.ndarray) -> float | None:
    """Null where the members do no harm in all."""
    return float(harm.mean() / total.mean()) if total.mean() > 0 else None


class Cells:
    """Effects of the sets of all tasks on the tokens of all tasks.

    tasks : names. changes[a, b]: of the set of task a on the tokens of b, chosen (tokens_b,) and random (draws,
    tokens_b). whole[b] (tokens_b,): change where every neuron is at its mean, the most that can be lost. files[b]
    (tokens_b,): codes of files, the same code for the same file in all tasks.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        changes: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]],
        whole: Mapping[str, np.ndarray],
        files: Mapping[str, np.ndarray],
        bootstrap: FileBootstrap | None,
        confidence: float,
    ) -> None:
        self.tasks, self.changes, self.bootstrap, self.confidence = list(tasks), changes, bootstrap, confidence
        size = (len(tasks), len(tasks))
        self.excess, self.share = np.zeros(size), np.zeros(size)
        self.drawn = self.drawn_share = np.zeros((*size, 0))
        if bootstrap is not None:
            self.drawn, self.drawn_share = np.zeros((2, *size, bootstrap.n))
        for j, b in enumerate(tasks):
            lost = float(-whole[b].mean())
            drawn_lost = None if bootstrap is None else -mean_replicates(whole[b], files[b], bootstrap)
            for i, a in enumerate(tasks):
                chosen, random = changes[a, b]
                paired = random.mean(axis=0) - chosen  # harm beyond random
                self.excess[i, j] = paired.mean()
                self.share[i, j] = paired.mean() / lost if lost > 0 else np.nan
                if bootstrap is not None and drawn_lost is not None:
                    self.drawn[i, j] = mean_replicates(paired, files[b], bootstrap)
                    known = np.where(drawn_lost > 0, drawn_lost, np.nan)
                    self.drawn_share[i, j] = self.drawn[i, j] / known

    def _bounds(self, replicates: np.ndarray) -> dict[str, Any]:
        return bounds(replicates if self.bootstrap is not None else None, self.confidence)

    def cell(self, i: int, j: int) -> dict[str, Any]:
        """Harm of set i on the tokens of task j: "chosen", "random", "excess" with bounds (nats); "share": the excess
        as a share of the harm of all neurons at their means, with bounds, null where that does no harm."""
        chosen, random = self.changes[self.tasks[i], self.tasks[j]]
        share = float(self.share[i, j])
        return {
            "chosen": float(-chosen.mean()),
            "random": float(-random.mean()),
            "excess": {"value": float(self.excess[i, j]), **self._bounds(self.drawn[i, j])},
            "share": {
                "value": share if math.isfinite(share) else None,
                **self._bounds(self.drawn_share[i, j]),
            },
        }

    def pair(self, i: int, j: int) -> dict[str, Any]:
        """Double dissociation of two tasks.

        "by_tokens": on the tokens of each, the own set's excess less that of the other set (the same tokens, so nothing
        is scaled); "by_set": of each set, the excess on its own tokens less that on the other's, in shares. All with
        bounds. "harm": both sets hurt their own tokens more than random ones. "verdict": "double" where both sides of
        "by_tokens" have a lower bound above 0 and "harm" holds; "strict" if those of "by_set" have too; "single" where
        one side does, its own set hurting more than random; else "none". "p": the larger of the two sides', as both
        are claimed (intersection-union test, Berger 1982).
        """
        own = {i: j, j: i}
        by_tokens, by_set, p, sides, rows = {}, {}, [], [], []
        for a, b in own.items():
            value = float(self.excess[a, a] - self.excess[b, a])
            side = self.drawn[a, a] - self.drawn[b, a]
            by_tokens[self.tasks[a]] = {"value": value, **self._bounds(side)}
            share = float(self.share[a, a] - self.share[a, b])
            of_set = self._bounds(self.drawn_share[a, a] - self.drawn_share[a, b])
            by_set[self.tasks[a]] = {"value": share if math.isfinite(share) else None, **of_set}
            harm = _above(self._bounds(self.drawn[a, a])["low"])
            sides.append(harm and _above(by_tokens[self.tasks[a]]["low"]))
            rows.append(_above(of_set["low"]))
            if self.bootstrap is not None:
                whole = side[np.isfinite(side)]
                p.append(float(p_value(whole)) if len(whole) else 1.0)
        verdict = ("none", "single", "double")[sum(sides)]
        return {
            "tasks": [self.tasks[i], self.tasks[j]],
            "by_tokens": by_tokens,
            "by_set": by_set,
            "verdict": "strict" if verdict == "double" and all(rows) else verdict,
            "p": max(p) if p else None,
        }

    def pairs(self) -> list[dict[str, Any]]:
        """:meth:`pair` of all, with "p_holm" over them."""
        found = [self.pair(i, j) for i, j in itertools.combinations(range(len(self.tasks)), 2)]
        known = [entry["p"] for entry in found]
        adjusted = holm(known).tolist() if self.bootstrap is not None and known else [None] * len(known)
        return [entry | {"p_holm": p} for entry, p in zip(found, adjusted, strict=True)]

    def summary(self, seed: Sequence[int]) -> dict[str, Any]:
        """The diagonal against the rest: mean of the own excesses less mean of the others, in nats and in shares.

        "p_assignment": how often the mean over the diagonal is as large where the sets are assigned to the tasks in
        every other way (all orders, the true one among them, or ORDERS drawn with ``seed``), in shares where known.
        Its least value is one by the number of orders.
        """
        n = len(self.tasks)
        diagonal = np.eye(n, dtype=bool)
        found: dict[str, Any] = {}
        for name, value, drawn in (
            ("excess", self.excess, self.drawn),
            ("share", self.share, self.drawn_share),
        ):
            gap = float(value[diagonal].mean() - value[~diagonal].mean())
            replicates = drawn[diagonal].mean(axis=0) - drawn[~diagonal].mean(axis=0)
            found[name] = {
                "diagonal": _finite(value[diagonal].mean()),
                "rest": _finite(value[~diagonal].mean()),
                "difference": _finite(gap),
                **self._bounds(replicates),
            }
        table = self.share if np.isfinite(self.share).all() else self.excess
        if math.factorial(n) <= ORDERS:
            orders = np.array(list(itertools.permutations(range(n))))
        else:
            rng = np.random.default_rng(list(seed))
            orders = np.array([np.arange(n), *(rng.permutation(n) for _ in range(ORDERS - 1))])
        sums = table[orders, np.arange(n)].sum(axis=1)
        found["p_assignment"] = float((sums >= sums[0] - 1e-12).mean())
        found["assignments"] = len(orders)
        return found

    def report(self, seed: Sequence[int]) -> dict[str, Any]:
        """ "cells": {task of the set: {task of the tokens: :meth:`cell`}}, "pairs", "summary"."""
        cells = {a: {b: self.cell(i, j) for j, b in enumerate(self.tasks)} for i, a in enumerate(self.tasks)}
        pairs = self.pairs()
        return {
            "cells": cells,
            "pairs": pairs,
            "double": sum(pair["verdict"] in ("double", "strict") for pair in pairs),
            "summary": self.summary(seed),
        }


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
