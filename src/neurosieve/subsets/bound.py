"""How few neurons can fit train as well: a certified bound for every set of a size (METHOD 3.3). No files.

For outputs p whose residuals R = p - wanted sum to zero over the rows, with G = X'R/n and g_j = sum over the columns of
neuron j and the classes of max(|G| - l1, 0)^2, no set of k neurons has a train objective below

    mean conjugate(p) - (sum of the k largest g_j) / (2 l2):

weak duality for each set, then the worst set. Any such p certifies; those of the relaxation are good ones. Evaluated in
float64. It speaks of the train objective at one penalty, not of accuracy.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from neurosieve.probes.solver import SolverError
from neurosieve.subsets import minimal
from neurosieve.subsets.contenders import Fitted, SubsetInput
from neurosieve.subsets.contenders.relaxation import of_all, relax

log = logging.getLogger(__name__)

RATIO = 2.0  # of the sizes at which the relaxation is solved, from all neurons down
SMALLEST = 5
TURNS = 12  # of the relaxation at a size
WORTH = 2e-3  # a turn that raises the bound by less of it is the last
GAP = 1e-5  # of the fits of a turn: a looser one leaves late turns where they are
NEAR = 0.04  # of n_bound, to which it is found
ROUNDING = 1e-6  # of the objective, which the solver measures from float32 logits


def lower_bounds(given: SubsetInput, outputs: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """float64 (neurons + 1,): no set of k neurons has a train objective below entry k. ``outputs``: float64 (K', rows).

    Raises
    ------
    InfeasibleError
        where the outputs cannot be made to certify anything.
    """
    outputs = given.target.feasible(outputs)
    residual = (outputs - given.target.wanted) / len(given.y)
    G = residual @ given.X.astype(np.float64)
    g = given.per_neuron(np.square(np.maximum(np.abs(G) - l1, 0)).sum(axis=0))
    most = np.concatenate([[0.0], np.cumsum(np.sort(g)[::-1])])
    return given.target.conjugate(outputs) - most / (2 * l2)


def certify(given: SubsetInput, found: Fitted) -> tuple[dict[str, Any], np.ndarray]:
    """What no set of neurons can do at the penalty of a set that was found.

    A fit that does not come to its gap ends the turns at a size: any outputs certify, others only certify more.

    Returns
    -------
    {"l1", "l2", "objective": that of the set that was found, "n_bound": the fewest neurons that the outputs met here do
    not exclude from reaching it, "factor": size of the set / n_bound}, and the best bound by number of neurons, float64
    (neurons + 1,).
    """
    size, probe = len(found.neurons), found.probe
    reached = probe.objective * (1 + ROUNDING)
    nothing = np.broadcast_to(given.target.wanted.mean(axis=1, keepdims=True), given.target.wanted.shape)
    best = lower_bounds(given, nothing, probe.l1, probe.l2)  # of no neuron the objective itself
    given = replace(given, gap=min(given.gap, GAP))
    full = of_all(given, found)
    np.maximum(best, lower_bounds(given, given.outputs(full), probe.l1, probe.l2), out=best)

    starts = {given.neurons: full}

    def raise_at(k: int, decided: bool = False) -> None:
        """Turns at k, begun where those at the next larger number ended, until one is hardly worth it; with ``decided``
        until k is excluded, or the relaxation itself reaches what was reached, so that no outputs exclude k."""
        start, bound = starts[min(n for n in starts if n >= k)], -np.inf
        for _ in range(TURNS):
            before = bound
            try:
                relaxed = relax(given, k, start)
            except SolverError as error:
                log.warning("the bound of %d neurons is looser than it need be: %s", k, error)
                return
            start = starts[k] = relaxed.fitted
            bounds = lower_bounds(given, relaxed.outputs, probe.l1, probe.l2)
            np.maximum(best, bounds, out=best)
            bound = bounds[k]
            if decided and (best[k] > reached or start.probe.objective <= reached):
                return
            if bound - before < WORTH / (10 if decided else 1) * abs(bound):
                return

    for k in reversed(minimal.thin(range(min(SMALLEST, size), given.neurons), RATIO)):
        raise_at(k)
    n_bound, most = _not_excluded(best, reached), size
    while most - n_bound > n_bound * NEAR:
        k = (n_bound + most) // 2
        raise_at(k, decided=True)
        n_bound, most = _not_excluded(best, reached), most if best[k] > reached else k
    return {
        "l1": probe.l1,
        "l2": probe.l2,
        "objective": probe.objective,
        "n_bound": n_bound,
        "factor": size / n_bound if n_bound else None,
    }, best


def _not_excluded(best: np.ndarray, reached: float) -> int:
    """The fewest neurons whose bound is not above the objective that was reached."""
    return int(np.argmax(best <= reached))
