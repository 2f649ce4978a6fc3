"""Searches for the best set of neurons at every size: one file, one contender; a file dropped in is registered.

A file ``<name>.py`` (``_`` for ``-``) defines ``begin(given: SubsetInput) -> Choose``. What it returns is asked for
sizes from large to small, each time with the probe of the next larger set that was tested, and answers with a set of
exactly that size: positions of neurons, best first. Sets need not be nested. Reads and writes no files; files whose
name begins with ``_`` are helpers. Orders of neurons (probes/rankings) are contenders without a file: :func:`along`.

Every contender keeps to this: of labels it sees those of train alone (the penalty of the probe that it is given was
chosen on tune, and sizes between those of the grid are asked for by judge); the columns of one neuron are taken or left
as one; two classes, more, and numbers all work; the same input gives the same sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from neurosieve.config import module_named, search_names
from neurosieve.probes.solver import GramCache, Probe, fit
from neurosieve.subsets.target import Target


@dataclass(frozen=True)
class Fitted:
    """A set of neurons (positions, in the order of the probe's columns) and its probe, at the penalty it was given."""

    neurons: np.ndarray
    probe: Probe

    def norms(self) -> np.ndarray:
        """(neurons of the set,) float64, root of the sum of squares of a neuron's weights."""
        squares = np.square(self.probe.weights, dtype=np.float64).sum(axis=1)
        found: np.ndarray = np.sqrt(squares.reshape(len(self.neurons), -1).sum(axis=1))
        return found


@dataclass(frozen=True)
class SubsetInput:
    """Train, as a contender may look at it.

    X : float32 (rows, neurons * columns), standardised, neuron-major columns. y : (rows,) classes or numbers.
    columns : columns per neuron. n_classes : metrics.NUMBER for numbers. gram : of X. full : the probe of all neurons.
    gap, max_iterations : of the fits. coarse_above : sets of more neurons than these may shrink in larger steps.
    """

    X: np.ndarray
    y: np.ndarray
    columns: int
    n_classes: int
    gram: GramCache
    full: Fitted
    target: Target
    gap: float
    max_iterations: int
    coarse_above: float = math.inf

    @property
    def neurons(self) -> int:
        return self.X.shape[1] // self.columns

    def at(self, neurons: np.ndarray) -> np.ndarray:
        """(some * columns,) columns of some neurons (some,), in their order."""
        return (np.asarray(neurons)[:, None] * self.columns + np.arange(self.columns)).ravel()

    def per_neuron(self, values: np.ndarray) -> np.ndarray:
        """(neurons,) sums over the columns of each neuron, of values (neurons * columns,)."""
        return values.reshape(-1, self.columns).sum(axis=1)

    def solve(self, X: np.ndarray, near: Probe, gram: GramCache, factors: np.ndarray | None = None) -> Probe:
        """The probe of columns X (rows, some) at the penalty of ``near``, l1 times ``factors`` (some,), begun from its
        weights; ``gram``: of X."""
        return fit(
            X, self.y, self.n_classes, near.l1, near.l2, gap=self.gap, max_iterations=self.max_iterations, warm=near,
            cache=gram, factors=factors,
        )  # fmt: skip

    def fit(self, neurons: np.ndarray, near: Fitted) -> Fitted:
        """The probe of some neurons (positions) at the penalty of ``near``, begun from its weights."""
        columns = self.at(neurons)
        warm = replace(near.probe, weights=carried(near.probe.weights, near.neurons, neurons, self.columns))
        return Fitted(neurons, self.solve(np.take(self.X, columns, axis=1), warm, self.gram.take(columns)))

    def outputs(self, fitted: Fitted) -> np.ndarray:
        """float64 (K', rows) of train, see Target."""
        order = np.argsort(fitted.neurons)  # columns are gathered in a third of the time where they lie in order
        there, probe = fitted.neurons[order], fitted.probe
        probe = replace(probe, weights=carried(probe.weights, fitted.neurons, there, self.columns))
        return self.target.outputs(probe.scores(np.take(self.X, self.at(there), axis=1)))

    def gradient(self, outputs: np.ndarray) -> np.ndarray:
        """Gradient of the mean loss by the weights of every column, float32 (K', neurons * columns); ``outputs``:
        float64 (K', rows)."""
        residual = (outputs - self.target.wanted) / len(self.y)
        return residual.astype(np.float32) @ self.X


Choose = Callable[[int, Fitted], np.ndarray]


def carried(weights: np.ndarray, there: np.ndarray, wanted: np.ndarray, columns: int) -> np.ndarray:
    """Weights (wanted * columns, K) of the neurons ``wanted``, from those of the neurons ``there``; else zero."""
    if len(wanted) <= len(there) and np.array_equal(there[: len(wanted)], wanted):
        return weights[: len(wanted) * columns]
    grouped = weights.reshape(len(there), columns, -1)
    place = np.full(max(int(there.max()), int(wanted.max())) + 1, -1)
    place[there] = np.arange(len(there))
    at = place[wanted]
    found = np.where((at >= 0)[:, None, None], grouped[at], np.float32(0))
    return found.reshape(len(wanted) * columns, -1)


def along(order: np.ndarray) -> Choose:
    """The first neurons of an order (neurons,)."""
    return lambda size, above: order[:size]


def load(name: str) -> Callable[[SubsetInput], Choose]:
    """``begin`` of a registered contender.

    Raises
    ------
    ValueError
        for a name without a file.
    """
    begin: Callable[[SubsetInput], Choose] = module_named(__name__, "search", name, search_names()).begin
    return begin
