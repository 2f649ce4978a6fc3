"""How few neurons can fit train as well: a certified bound for every set of a size (METHOD 3.3). No files.

For outputs p whose residuals R = p - wanted sum to zero over the rows, with G = X'R/n and g_j = sum over the columns of
neuron j and the classes of max(|G| - l1, 0)^2, no set of k neurons has a train objective below

    mean conjugate(p) - (sum of the k largest g_j) / (2 l2):

weak duality for each set, then the worst set. Any such p certifies; those of the relaxation are good ones. Evaluated in
float64. It speaks of the train objective at one penalty, not of accuracy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosieve.subsets import minimal
from neurosieve.subsets.contenders import Fitted, SubsetInput
from neurosieve.subsets.contenders.relaxation import of_all, relax

RATIO = 1.5  # of the sizes at which the relaxation is solved, from the size that was found down
SMALLEST = 5
TURNS = 12  # of the relaxation at a size
WORTH = 1e-3  # a turn that raises the bound by less of it is the last
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

    Returns
    -------
    {"l1", "l2", "objective": that of the set that was found, "n_bound": the fewest neurons that are not excluded from
    reaching it, "factor": size of the set / n_bound}, and the best bound by number of neurons, float64 (neurons + 1,).
    """
    size, probe = len(found.neurons), found.probe
    reached = probe.objective * (1 + ROUNDING)
    nothing = np.broadcast_to(given.target.wanted.mean(axis=1, keepdims=True), given.target.wanted.shape)
    best = lower_bounds(given, nothing, probe.l1, probe.l2)  # of no neuron the objective itself
    start = of_all(given, found)

    def raise_at(k: int) -> None:
        nonlocal start
        for _ in range(TURNS):
            before = best[k]
            relaxed = relax(given, k, start)
            start = relaxed.fitted
            np.maximum(best, lower_bounds(given, relaxed.outputs, probe.l1, probe.l2), out=best)
            if best[k] - before < WORTH * abs(best[k]):
                return

    for k in reversed(minimal.thin([k for k in range(min(SMALLEST, size), size + 1)], RATIO)):
        raise_at(k)
    n_bound = 0
    while n_bound < size and best[n_bound] > reached:
        n_bound += 1
        if n_bound < size and best[n_bound] <= reached:
            start = of_all(given, found)
            raise_at(n_bound)
    return {
        "l1": probe.l1,
        "l2": probe.l2,
        "objective": probe.objective,
        "n_bound": n_bound,
        "factor": size / n_bound if n_bound else None,
    }, best
