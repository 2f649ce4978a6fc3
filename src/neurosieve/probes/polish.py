"""A fitted probe taken to a far smaller gap by Newton's method in float64. Reads and writes no files.

The solver stops where its float32 products no longer tell the way. From there two or three Newton steps do, each by
conjugate gradients with the solver's metric as preconditioner (truncated Newton, Dembo and Steihaug 1983), with the
intercept always at its optimum. From a gap of 5e-5 to 8e-5, measured under the pins on hidden states of a code model:
6,000 x 157 with four classes in 0.03 s, 8,000 x 169 with ten in 0.12 s, 8,000 x 512 in 0.45 s.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np

from neurosieve.probes.solver import GramCache, Metric, Probe, Problem, posed, row_weights

COLUMNS = 512  # more are left as they are
STEPS = 12  # of Newton's method
INNER = 200  # of conjugate gradients in each
HALVINGS = 20
TRUNCATED = (0.03, 0.1)  # least and most of the gradient that a step may leave
CENTRED = 1e-13  # slope of an intercept that is at its optimum


def polish(
    X: np.ndarray, y: np.ndarray, n_classes: int, probe: Probe, gap: float = 1e-8, cache: GramCache | None = None
) -> Probe:
    """The same probe at a relative duality gap of ``gap``; ``objective`` and ``gap`` in float64, of float32 weights.

    Where such weights cannot resolve it, the probe of the smallest gap that was met: its ``gap`` says which. It comes
    back as it is with more than COLUMNS columns, and with l1 > 0: Newton's method would have to know which weights are
    zero, and a gap of 1e-4 does not tell. ``iterations`` counts those of conjugate gradients on top.

    Parameters
    ----------
    X, y, n_classes : what the probe was fitted on, as in solver.fit.
    cache : Gram matrix of these columns; made here if None. It decides how fast, not where to.

    Raises
    ------
    ValueError
        for arrays that do not fit together, as solver.fit does.
    """
    if probe.l1 > 0 or X.shape[1] > COLUMNS:
        return probe

    problem, start, stated = posed(X, y, n_classes, 0.0, probe.l2, probe)
    W, b = problem.start(start)
    found = stated(_newton(problem, W, b, gap, GramCache(X, row_weights(probe, X)) if cache is None else cache))
    return replace(found, iterations=probe.iterations + found.iterations)


@dataclass(frozen=True)
class _Point:
    """Weights (K', p) that float32 holds, their optimal intercept, probabilities (K', n), gradient (K', p)."""

    W: np.ndarray
    b: np.ndarray
    P: np.ndarray
    G: np.ndarray
    objective: float
    gap: float

    @classmethod
    def at(cls, exact: Problem, W: np.ndarray, b: np.ndarray) -> _Point:
        W = W.astype(np.float32).astype(np.float64)  # what is certified is what is returned
        P, loss, b = exact.centre(exact.forward(W), b, CENTRED)
        G, objective = exact.gradient(P), loss + exact.penalty(W)
        return cls(W, b, P, G + exact.l2 * W, objective, exact.gap(W, P, G) / objective)


def _newton(problem: Problem, W: np.ndarray, b: np.ndarray, gap: float, cache: GramCache) -> Probe:
    """Steps until the gap is met or the objective falls no more; the best point that was met."""
    exact = copy.copy(problem)
    exact.X, exact.y = problem.X.astype(np.float64), problem.y.astype(np.float64)
    here = best = _Point.at(exact, W, b)
    metric = Metric(cache, exact.class_curvature(here.P), exact.l2, 1.0)
    iterations = 0
    for _ in range(STEPS):
        if best.gap <= gap:
            break
        D, count = _direction(exact, here, metric, float(np.clip(np.sqrt(0.1 * gap / here.gap), *TRUNCATED)))
        iterations += count
        length = 1.0
        for _ in range(HALVINGS):
            tried = _Point.at(exact, here.W + length * D, here.b)
            if tried.objective < here.objective or tried.gap < here.gap:
                break
            length /= 2
        else:
            break
        here = tried
        best = min(best, here, key=lambda point: point.gap)
    return Probe(
        np.ascontiguousarray(best.W.T, np.float32), best.b.astype(np.float32), best.gap, iterations, best.objective,
        exact.l1, exact.l2,
    )  # fmt: skip


def _direction(exact: Problem, here: _Point, metric: Metric, accuracy: float) -> tuple[np.ndarray, int]:
    """D (K', p) with Hessian D = -gradient, but for a part ``accuracy`` of it; and the number of iterations."""

    def preconditioned(R: np.ndarray) -> np.ndarray:
        return metric.solve(R.astype(np.float32))[0].astype(np.float64)

    def hessian(D: np.ndarray) -> np.ndarray:
        """That of the objective with the intercept at its optimum, times D."""
        H = exact.bent(here.P, exact.forward(D))
        shift = np.linalg.solve(bend, H.mean(axis=1))
        H -= exact.bent(here.P, np.broadcast_to(shift[:, None], H.shape))
        product: np.ndarray = (H / exact.n) @ exact.X + exact.l2 * D
        return product

    bend = exact.intercept_curvature(here.P)
    D, R = np.zeros_like(here.G), -here.G
    Q = Z = preconditioned(R)
    product, wanted, count = float(np.vdot(R, Z)), accuracy * float(np.linalg.norm(R)), 0
    while count < INNER and np.linalg.norm(R) > wanted:
        count += 1
        HQ = hessian(Q)
        length = product / float(np.vdot(Q, HQ))
        D, R = D + length * Q, R - length * HQ
        Z = preconditioned(R)
        before, product = product, float(np.vdot(R, Z))
        Q = Z + product / before * Q
    return D, count
