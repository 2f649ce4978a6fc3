"""Inputs of the agreement with NeuroX, drawn from seeds; the .json files name them and their sha256."""

from __future__ import annotations

import hashlib

import numpy as np

STRIDES = [10, 100, 1000]  # steps in which NeuroX lets the mass grow from 0 to 1
MASSES = [0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9]
THRESHOLDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
NEURONS, ROWS, CLASSES = 60, 400, 3


def digest(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def _real(seed: int, classes: int = CLASSES) -> np.ndarray:
    """Weights with heavy tails, as those of a probe are; no two have the same size."""
    weights = np.random.default_rng(seed).standard_t(3, (NEURONS, classes)).astype(np.float32)
    assert all(len(set(np.abs(w).tolist())) == NEURONS for w in weights.T)
    return weights


def _whole(seed: int) -> np.ndarray:
    """Whole numbers, no two of a class the same size: their sums are exact in float32."""
    rng = np.random.default_rng(seed)
    sizes = np.stack([rng.permutation(np.arange(1, 4 * NEURONS))[:NEURONS] for _ in range(CLASSES)], axis=1)
    return (sizes * rng.choice([-1, 1], sizes.shape)).astype(np.float32)


def _ties(seed: int) -> np.ndarray:
    """Whole numbers from -4 to 4: many of the same size, and some zero; the last five neurons have no weight."""
    weights = np.random.default_rng(seed).integers(-4, 5, (NEURONS, CLASSES)).astype(np.float32)
    weights[-5:] = 0
    return weights


def _data(seed: int, classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 (rows, neurons) of many scales, a third of them in correlated groups, and their classes."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, NEURONS))
    for group in range(5):
        own = slice(4 * group, 4 * group + 4)
        mix = 0.3 + 0.15 * group
        X[:, own] = np.sqrt(1 - mix**2) * X[:, own] + mix * X[:, 4 * group + 3 : 4 * group + 4]
    X[:, 1] *= -1  # correlated negatively: |r| is what counts
    y = (X[:, :classes] + 0.5 * rng.standard_normal((ROWS, classes))).argmax(axis=1)
    X += 0.3 * rng.standard_normal((classes, NEURONS))[y]
    return (X * np.exp(rng.standard_normal(NEURONS))).astype(np.float32), y


def _data_ties(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same with whole-number features, eight neurons doubled, one of the doubles mirrored, and two constant."""
    X, y = _data(seed)
    X = np.round(4 * X / X.std(0))
    X[:, 50:58] = X[:, 0:8]
    X[:, 57] *= -1
    X[:, 58:] = [3, 0]
    return X.astype(np.float32), y


WEIGHTS = {
    "real-1": lambda: _real(1),
    "real-2": lambda: _real(2, classes=6),
    "whole": lambda: _whole(3),
    "ties": lambda: _ties(4),
}
DATA = {
    "three-classes": lambda: _data(5),
    "two-classes": lambda: _data(6, classes=2),
    "ties": lambda: _data_ties(7),
}
