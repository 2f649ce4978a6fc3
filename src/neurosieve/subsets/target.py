"""What of the probe's loss depends on the rows alone: outputs, residuals, conjugate; in float64. No files.

Outputs are probabilities of the classes that have rows in train (of two classes those of the second, K' = 1), or the
predicted number in units of the target's deviation. See probes/solver.py for the objective they belong to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax, xlogy

from neurosieve.probes.metrics import NUMBER


class InfeasibleError(RuntimeError):
    """Outputs that certify nothing: a fault of this program."""


@dataclass(frozen=True)
class Target:
    """The labels y (rows,) of train, as the loss has them.

    wanted (K', rows): the one-hot rows, or the standardised number. present: the classes that have rows.
    """

    wanted: np.ndarray
    present: np.ndarray
    mean: float
    std: float
    number: bool

    @classmethod
    def of(cls, y: np.ndarray, n_classes: int) -> Target:
        """Of labels y (rows,), classes or, with n_classes = metrics.NUMBER, numbers."""
        if n_classes == NUMBER:
            mean, std = float(np.mean(y)), float(np.std(y))
            return cls(((np.asarray(y, np.float64) - mean) / std)[None], np.zeros(0, np.int64), mean, std, True)
        present = np.unique(y)
        own = present[1:] if len(present) == 2 else present
        return cls((own[:, None] == y).astype(np.float64), present, 0.0, 1.0, False)

    def outputs(self, scores: np.ndarray) -> np.ndarray:
        """(rows, K or 1) scores of a probe -> float64 (K', rows)."""
        if self.number:
            return ((scores.astype(np.float64) - self.mean) / self.std).T
        if scores.shape[1] == 1:
            return expit(scores.T.astype(np.float64))
        own = scores[:, self.present].astype(np.float64)
        if len(self.present) == 2:
            return expit((own[:, 1] - own[:, 0])[None])
        found: np.ndarray = softmax(own, axis=1)
        return np.ascontiguousarray(found.T)

    def curvature(self, outputs: np.ndarray) -> float:
        """Mean second derivative of the loss by a logit, over rows and classes, at outputs (K', rows)."""
        return 1.0 if self.number else float((outputs * (1 - outputs)).mean())

    def feasible(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (K', rows) nearby whose residuals sum to zero over the rows, as a bound needs; float64 (K', rows).

        Mixed with a constant row that takes up what the sums were off by: it stays a row of probabilities.

        Raises
        ------
        InfeasibleError
            where what comes out is not in the simplex or its residuals do not sum to zero.
        """
        off = (outputs - self.wanted).mean(axis=1)
        if self.number:
            mixed = outputs - off[:, None]
        else:
            share = self.wanted.mean(axis=1)
            least = min(float(share.min()), float(1 - share.max()))
            part = min(1.0, 2 * float(np.abs(off).max()) / least)
            mixed = outputs if part == 0 else (1 - part) * outputs + (part * share - (1 - part) * off)[:, None]
            total = mixed.sum(axis=0)
            inside = mixed.min() >= 0 and total.max() <= 1 + 1e-12 and (len(mixed) == 1 or total.min() >= 1 - 1e-12)
            if not inside:
                raise InfeasibleError(f"outputs from {mixed.min():g} to {mixed.max():g}, sums to {total.max():g}")
        if not np.abs((mixed - self.wanted).mean(axis=1)).max() <= 1e-12:  # nor NaN
            raise InfeasibleError(f"residuals sum to {np.abs((mixed - self.wanted).sum(axis=1)).max():g} over the rows")
        return mixed

    def conjugate(self, outputs: np.ndarray) -> float:
        """What the bound has of the loss at outputs (K', rows): the mean entropy, or the mean of -(r^2 / 2 + r y)."""
        if self.number:
            r = outputs - self.wanted
            return -float((r * r / 2 + r * self.wanted).mean())
        entropy = -xlogy(outputs, outputs).sum(axis=0)
        if len(outputs) == 1:
            entropy -= xlogy(1 - outputs, 1 - outputs)[0]
        return float(entropy.mean())
