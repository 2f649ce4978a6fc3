"""The k neurons of largest share in the convex relaxation of "at most k neurons".

    min over W and z in [0, 1]^p with sum z <= k of  mean loss + l1 sum|W| + l2/2 sum_j ||W_j||^2 / z_j

For fixed z it is the probe on columns scaled by sqrt(z_j), with l1 so scaled too; for fixed W z_j = min(1, ||W_j|| /
tau); the two take turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neurosieve.subsets.contenders import Choose, Fitted, SubsetInput, carried

ROUNDS = 3  # turns at a size, begun from those of the size above
LEAST = 1e-6  # smallest share, so that a neuron may come back


@dataclass(frozen=True)
class Relaxed:
    """Shares z (neurons,), the weights W as a probe of those whose share is not zero, and its outputs (K', rows)."""

    shares: np.ndarray
    fitted: Fitted
    outputs: np.ndarray


def shares_of(norms: np.ndarray, size: int) -> np.ndarray:
    """z_j = min(1, ||W_j|| / tau) with sum z = size; all one where no more than ``size`` norms are above zero."""
    if size >= np.count_nonzero(norms):
        return np.where(norms > 0, 1.0, LEAST)
    falling = np.sort(norms)[::-1]
    rest = np.cumsum(falling[::-1])[::-1]  # sum of the norms from the i-th on
    whole = int(np.argmax(falling[:size] * (size - np.arange(size)) <= rest[:size]))  # so many shares are one
    return np.clip(norms / (rest[whole] / (size - whole)), LEAST, 1.0)


def relax(given: SubsetInput, size: int, start: Fitted) -> Relaxed:
    """One turn: the shares of a probe of all neurons, then the probe on columns scaled by their roots."""
    return scaled(given, shares_of(start.norms(), size), start)


def scaled(given: SubsetInput, shares: np.ndarray, start: Fitted) -> Relaxed:
    """The probe on columns scaled by the roots of the shares z (neurons,), begun from the weights of ``start``.

    Neurons without a share are left out: theirs are not in the probe of what is returned.
    """
    inside = np.flatnonzero(shares)
    root = np.repeat(np.sqrt(shares[inside]), given.columns).astype(np.float32)
    X, gram = given.X, given.gram
    if len(inside) < given.neurons:
        columns = given.at(inside)
        X, gram = np.take(X, columns, axis=1), gram.take(columns)
    X = X * root
    weights = carried(start.probe.weights, start.neurons, inside, given.columns) / root[:, None]
    found = given.solve(X, replace(start.probe, weights=weights), gram.scaled(root), root)
    outputs = given.target.outputs(found.scores(X))
    return Relaxed(shares, Fitted(inside, replace(found, weights=found.weights * root[:, None])), outputs)


def of_all(given: SubsetInput, near: Fitted) -> Fitted:
    """A probe of all neurons at the penalty of ``near``, from which turns begin."""
    every = np.arange(given.neurons)
    full = given.full
    weights = carried(full.probe.weights, full.neurons, every, given.columns)
    if (full.probe.l1, full.probe.l2) == (near.probe.l1, near.probe.l2):
        return Fitted(every, replace(full.probe, weights=weights))
    start = replace(full.probe, weights=weights, l1=near.probe.l1, l2=near.probe.l2)
    return given.fit(every, Fitted(every, start))


def begin(given: SubsetInput) -> Choose:
    solved: dict[tuple[float, float], dict[int, Fitted]] = {}  # by penalty and size

    def choose(size: int, above: Fitted) -> np.ndarray:
        those = solved.setdefault((above.probe.l1, above.probe.l2), {})
        # never from a smaller size: what it left with next to no share would hardly come back in a few turns
        larger = [s for s in those if s > size]
        fitted = those[min(larger)] if larger else of_all(given, above)
        for _ in range(ROUNDS):
            fitted = relax(given, size, fitted).fitted
        those[size] = fitted
        return np.argsort(-fitted.norms(), kind="stable")[:size]

    return choose
