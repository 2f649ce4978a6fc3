"""How few neurons can fit train as well: a certified bound for every set of a size (METHOD 3.3). No files.

For outputs p whose residuals R = p - wanted sum to zero over the rows, with G = X'R/n and g_j = sum over the columns of
neuron j and the classes of max(|G| - l1, 0)^2, no set of k neurons has a train objective below

    mean conjugate(p) - (sum of the k largest g_j) / (2 l2):

weak duality for each set, then the worst set. Any such p certifies; those of the relaxation are good ones. What is
certified is evaluated in float64. It speaks of the train objective at one penalty, not of accuracy.

The turns of the relaxation (contenders/relaxation.py) are shorter and fewer here: neurons with next to no share are out
of the fit until their g_j says otherwise, and shares move further than a turn says.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurosieve.probes.solver import SolverError
from neurosieve.subsets import minimal
from neurosieve.subsets.contenders import Fitted, SubsetInput
from neurosieve.subsets.contenders.relaxation import Relaxed, of_all, scaled, shares_of

log = logging.getLogger(__name__)

RATIO = 2.0  # of the sizes at which the relaxation is solved, from all neurons down
SMALLEST = 5
TURNS = 12  # of the relaxation at a size
LAST = 30  # turns that look for n_bound
WORTH = 2e-3  # a turn that raises the bound by less of it is the last
GAP = 1e-4  # of the fits of a turn, at most
LAST_GAP = 3e-6  # of those that look for n_bound: a looser one leaves late turns where they are
POWER = 1.8  # of what a turn multiplies shares by; from 2 on they could swing for ever
LEAST = 0.05  # of the mean share: neurons below it are left out, and come back with it
ROUNDING = 1e-6  # of the objective, which the solver measures from float32 logits
BLOCK = 256  # columns that are in float64 at a time


def lower_bounds(given: SubsetInput, outputs: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """float64 (neurons + 1,): no set of k neurons has a train objective below entry k. ``outputs``: float64 (K', rows).

    Raises
    ------
    InfeasibleError
        where the outputs cannot be made to certify anything.
    """
    outputs = given.target.feasible(outputs)
    residual = (outputs - given.target.wanted) / len(given.y)
    columns = given.X.shape[1]
    G = np.empty((len(residual), columns))
    for first in range(0, columns, BLOCK):
        G[:, first : first + BLOCK] = residual @ given.X[:, first : first + BLOCK].astype(np.float64)
    most = np.concatenate([[0.0], np.cumsum(np.sort(_worth(given, G, l1))[::-1])])
    return given.target.conjugate(outputs) - most / (2 * l2)


def _worth(given: SubsetInput, G: np.ndarray, l1: float) -> np.ndarray:
    """(neurons,) float64 g_j, from a gradient G (K', columns)."""
    over = np.maximum(np.abs(G) - G.dtype.type(l1), 0)
    return given.per_neuron(np.square(over, dtype=np.float64).sum(axis=0))


@dataclass(frozen=True)
class _Turn:
    """What a turn at a size came to: the relaxation, g (neurons,), and the bound of the size.

    Both from float32 products: they say how to go on, and certify nothing.
    """

    relaxed: Relaxed
    g: np.ndarray
    bound: float

    @classmethod
    def of(cls, given: SubsetInput, k: int, relaxed: Relaxed) -> _Turn:
        outputs, probe = given.target.feasible(relaxed.outputs), relaxed.fitted.probe
        g = _worth(given, given.gradient(outputs), probe.l1)
        largest = float(np.partition(g, -k)[-k:].sum())
        return cls(relaxed, g, given.target.conjugate(outputs) - largest / (2 * probe.l2))

    def next(self, given: SubsetInput, k: int) -> _Turn | None:
        """The turn at k neurons, k >= 1; None where no neuron has a weight to begin with or a share to go on with (a
        strong l1 takes all), or a fit has failed."""
        before, shares = self.relaxed.fitted, self.relaxed.shares
        norms = before.norms() / given.target.std  # of the loss: weights are in units of the target
        if not norms.any():
            return None
        least = LEAST * k / len(before.neurons)
        ratio = np.sqrt(self.g) / before.probe.l2  # norm by share, which turns make the same for all shares below one
        ratio[before.neurons] = norms / shares[before.neurons]
        pushed = np.maximum(shares, least) * ratio**POWER
        pushed[shares_of(pushed, k) < least] = 0
        if not pushed.any():
            return None
        shares = np.where(pushed > 0, shares_of(pushed, k), 0)
        try:
            return self.of(given, k, scaled(given, shares, before))
        except SolverError as error:
            log.warning("the bound of %d neurons is looser than it need be: %s", k, error)
            return None


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
    full = of_all(given, found)
    given = replace(given, gap=min(given.gap, GAP))
    last = _Turn.of(given, given.neurons, Relaxed(np.ones(given.neurons), full, given.outputs(full)))
    solved = {given.neurons: last}

    def keep(turn: _Turn) -> int:
        """Certify what the outputs of a turn do; the fewest neurons whose bound is then not above what was reached:
        at most as many as reached it."""
        np.maximum(best, lower_bounds(given, turn.relaxed.outputs, probe.l1, probe.l2), out=best)
        return int(np.argmax(np.append(best[:size] <= reached, True)))

    n_bound = keep(last)
    for k in reversed(minimal.thin(range(min(SMALLEST, size), given.neurons + 1), RATIO)[:-1]):
        highest: _Turn | None = None
        for _ in range(TURNS):
            following = last.next(given, k)
            if following is None:
                break
            last = solved[k] = following
            before, highest = highest, last if highest is None or last.bound > highest.bound else highest
            if before is not None and last.bound - before.bound < WORTH * abs(last.bound):
                break
        if highest is not None:
            n_bound = keep(highest)

    # turns at the fewest neurons that are not excluded, until the relaxation itself reaches what was reached: no
    # outputs exclude so many then
    last = solved[min(n for n in solved if n >= n_bound)]
    given = replace(given, gap=min(given.gap, LAST_GAP))
    for _ in range(LAST if n_bound else 0):
        following = last.next(given, n_bound)
        if following is None:
            break
        last = following
        if last.bound > reached:
            n_bound = keep(last)
        elif last.relaxed.fitted.probe.objective <= reached:
            break
    n_bound = keep(last)
    return {
        "l1": probe.l1,
        "l2": probe.l2,
        "objective": probe.objective,
        "n_bound": n_bound,
        "factor": size / n_bound if n_bound else None,
    }, best
