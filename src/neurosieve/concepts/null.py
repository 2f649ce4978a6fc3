"""Whether the score of a neuron is more than chance: labels permuted over token types, or over functions.

The values of a neuron on tokens of one type are alike, and so are the labels: rows are not exchangeable, types are.
A permutation over rows calls a neuron that reacts to a handful of types by chance significant (METHOD 3.2, row 23).
Reads and writes no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurosieve.concepts.auroc import concordance_of_ranks
from neurosieve.concepts.metrics import scores as scores_of
from neurosieve.probes.metrics import column_ranks

# Rows and units that a class, and what is not of the class, must have among unseen types to be judged on those alone.
MIN_ROWS = 20
MIN_UNITS = 5
TINY_SD = 1e-12  # an AUROC that no permutation changes has this spread from rounding


def permuted_labels(
    labels: np.ndarray, units: np.ndarray, n: int, rng: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """Labels as given and, below, ``n`` times permuted over units: (n + 1, rows).

    The labels of a unit, in the order of its rows, are one sequence, which moves as a whole: in every draw each unit
    of a stratum is given the sequence of another one of the stratum, no sequence given twice, and its rows read it
    from a random place on, round in a circle. Strata are units of the same group whose numbers of rows have the same
    whole part of log2.

    Why that is fair: under the null hypothesis nothing about a unit but its stratum tells which labels it has, so the
    sequences of two units of a stratum may be swapped, and nothing ties the order of the labels within a unit to that
    of the values but their running together, so that a sequence may be turned. With units of equal numbers of rows
    these moves are a group and the test is exact; within a stratum the numbers differ by less than a factor of two.
    Without strata a common type would take the labels of rare ones: a common word is more often an operator or a
    variable, and chance findings with real types and labels then went up to half of the neurons instead of 5 %. That
    a neuron tells common types from rare ones is therefore no finding here.

    labels : (rows,); units : (rows,) ints from 0, none missing; groups : (rows,) ints, the same in all rows of a unit.
    """
    order = np.argsort(units, kind="stable")
    count = np.bincount(units)
    start = np.cumsum(count) - count
    place = np.empty(len(units), np.int64)  # of the row in its unit
    place[order] = np.arange(len(units)) - start[units[order]]
    sequences = labels[order]
    stratum = np.frexp(count)[1]
    if groups is not None:
        stratum = stratum + 64 * groups[order[start]]
    by_stratum = np.argsort(stratum, kind="stable")
    out = np.empty((n + 1, len(labels)), labels.dtype)
    out[0] = labels
    source = np.empty(len(count), np.int64)
    for draw in range(1, n + 1):
        source[by_stratum] = np.lexsort((rng.random(len(count)), stratum))
        turn = rng.integers(count)
        of = source[units]
        out[draw] = sequences[start[of] + (place + turn[of]) % count[of]]
    return out


@dataclass(frozen=True)
class Null:
    """Scores of described neurons, observed and under permutation; for numbers Spearman's correlations.

    scores : (permutations + 1, neurons, classes, 2), the observed ones first, last axis high and low in the class;
    classes : the tested ones, (classes,) ints; unseen : (classes,) bool, judged on the rows of types unseen in train
    (else on all rows).
    """

    scores: np.ndarray
    classes: list[int]
    unseen: np.ndarray

    def on_unseen(self, c: int) -> bool:
        """Whether class ``c`` was judged on the rows of unseen types."""
        return bool(self.unseen[self.classes.index(c)])

    @property
    def mean(self) -> np.ndarray:
        """Of the permutations and the observation, (neurons, classes, 2); not 0 where classes differ in frequency."""
        return np.asarray(self.scores.mean(axis=0))

    @property
    def sd(self) -> np.ndarray:
        return np.asarray(self.scores.std(axis=0))

    @property
    def z(self) -> np.ndarray:
        """Standard scores of ``scores``; 0 where no permutation changes anything.

        Centred and scaled per neuron, class and direction, else the class with the fewest types would set the maximum
        alone.
        """
        scaled = (self.scores - self.mean) / np.where(self.sd > TINY_SD, self.sd, np.inf)
        return np.asarray(scaled)


def permute(
    X: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray,
    seen: np.ndarray | None,
    classes: list[int],
    n: int,
    rng: np.random.Generator,
    metric: str,
) -> Null:
    """Scores of every column for every class under ``n`` permutations of the labels over units.

    Where ``seen`` is given (tokens), a class is judged on rows of unseen units, if it and the rest have MIN_ROWS rows
    of MIN_UNITS units there; seen and unseen units do not swap labels, so one permutation serves both.

    X : (rows, columns); labels, units : (rows,) ints; seen : (rows,) bool, the same in all rows of a unit; metric : a
    name in metrics.SCORES.
    """
    drawn = permuted_labels(labels, units, n, rng, None if seen is None else seen.astype(np.int64))
    at = np.zeros(len(labels), bool) if seen is None else ~seen
    unseen = np.array([judged_on_unseen(labels[at] == c, units[at]) for c in classes], bool)
    found = np.empty((n + 1, X.shape[1], len(classes), 2))
    for rows, which in ((at, unseen), (np.ones(len(labels), bool), ~unseen)):
        if which.any():
            found[:, :, which] = scores_of(metric, X[rows], drawn[:, rows], [classes[i] for i in np.flatnonzero(which)])
    # a draw in which a class of units of unequal size has no row, or nothing else has one, is no evidence
    return Null(np.nan_to_num(found, nan=0.0), classes, unseen)


def permute_numbers(
    X: np.ndarray, y: np.ndarray, units: np.ndarray, seen: np.ndarray | None, n: int, rng: np.random.Generator
) -> Null:
    """The same for numbers y (rows,): Spearman's correlation of every column with them, as of one class, number 0.

    It is judged on the rows of unseen units where these are as many as a class and the others must be together.
    """
    drawn = permuted_labels(y, units, n, rng, None if seen is None else seen.astype(np.int64))
    at, unseen = np.ones(len(y), bool), False
    if seen is not None and (~seen).sum() >= 2 * MIN_ROWS and len(np.unique(units[~seen])) >= 2 * MIN_UNITS:
        at, unseen = ~seen, True
    r = 2 * concordance_of_ranks(column_ranks(X[at]), column_ranks(drawn[:, at].T).T) - 1
    return Null(np.nan_to_num(np.stack([r, -r], axis=-1), nan=0.0)[:, :, None], [0], np.array([unseen]))


def judged_on_unseen(member: np.ndarray, units: np.ndarray) -> bool:
    """Whether the rows of a class and the others are enough to judge on. member : (rows,) bool; units : (rows,)."""
    return all(m.sum() >= MIN_ROWS and len(np.unique(units[m])) >= MIN_UNITS for m in (member, ~member))


def family_wise(evidence: np.ndarray, z: np.ndarray) -> np.ndarray:
    """p of each neuron from the maximum of z over all neurons, classes and directions, the observation counted.

    evidence : (neurons,) at least 0, z or less of one class and direction of the neuron, or of several; z : (draws,
    neurons, classes, 2), the observation first. At most a share p of the benchmarks without any concept have a neuron
    with p or less (Westfall and Young 1993, single step). (neurons,)
    """
    highest = np.sort(_highest(z))
    return _at_least(highest, evidence) / len(highest)


def pooled(evidence: np.ndarray, z: np.ndarray) -> np.ndarray:
    """p of each neuron from the maxima over classes and directions of all neurons together, for the false discovery
    rate."""
    null = np.sort(np.maximum(z[1:].max(axis=(2, 3)), 0).ravel())
    return (1 + _at_least(null, evidence)) / (1 + len(null))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """q of each p: the smallest false discovery rate at which it is found (Benjamini and Hochberg 1995)."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return q


def critical(z: np.ndarray, level: float) -> float:
    """What z must exceed for a family-wise p of at most ``level``."""
    highest = np.sort(_highest(z))
    return float(highest[-1 - int(level * len(highest) + 1e-9)])


def _highest(z: np.ndarray) -> np.ndarray:
    """The largest of each draw; at least 0, the evidence of a neuron that is no sign of any class."""
    return np.maximum(z.max(axis=(1, 2, 3)), 0)


def _at_least(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.asarray(len(ascending) - np.searchsorted(ascending, values, side="left"))


def purity(z: np.ndarray, member: np.ndarray, units: np.ndarray, top: int) -> dict[str, float | int]:
    """Share of the class among the ``top`` rows with the largest |z|, beside its share of all rows.

    z : (rows,) of one neuron; member : (rows,) bool; units : (rows,) type of each row. Ties go to the earlier row.
    ``types``: how many types the rows come from; ten rows of one type are one observation, not ten.
    """
    rows = np.argsort(-np.abs(z), kind="stable")[:top]
    return {
        "top": len(rows),
        "share": float(member[rows].mean()),
        "chance": float(member.mean()),
        "types": len(np.unique(units[rows])),
    }
