"""The probe of the protocol `published`: softmax regression by mini-batches, many of them side by side in one product.

Objective (METHOD 2): mean log-loss + l1 * sum|W| + l2 * ||W||_F, the norm not squared, the intercept free; stochastic
gradient descent with early stopping on token tasks, Adam with a fixed number of epochs on the others. It is not solved
to any gap: that is what the protocol `strict` mends. Reads and writes no files.

The method's description leaves open, and is taken here as: initial weights and intercepts uniform within
1/sqrt(columns), as linear layers commonly start; patience watches the log-loss on dev, without penalty, after each
epoch, and the weights of the best epoch are kept; the last batch of an epoch may be short. Rows are taken in the given
order, as in the published files (NeuroX never shuffles), unless `Method.shuffle` asks for a new one in every epoch.

Speed: the gradient of J models on the same columns is one product with (columns, K * J) weights instead of J thin ones,
and G feature sets of one size go through one batched product. A step of a model is the same in any company but for the
last bits of the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from neurosieve.config import Published

# Constants of Adam (Kingma and Ba 2015, their defaults).
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Method:
    """How a probe is trained. ``patience`` None: no early stopping, the weights of the last epoch."""

    adam: bool
    epochs: int
    patience: int | None
    batch: int
    learning_rate: float
    shuffle: bool = False


def method_of(unit: str, settings: Published) -> Method:
    """Adam for sequences and pairs, stochastic gradient descent for tokens."""
    if unit == "token":
        return Method(
            False, settings.token_epochs, settings.patience, settings.batch, settings.learning_rate, settings.shuffle
        )
    return Method(True, settings.sequence_epochs, None, settings.batch, settings.learning_rate, settings.shuffle)


@dataclass
class Models:
    """Weights of J models on each of G feature sets.

    weights : float32 (G, columns, K * J), column k * J + j of model j, so that a class's models lie side by side.
    intercept : float32 (G, 1, K * J).
    l1, l2 : float32 (G, J).
    epochs : int64 (G, J), trained so far.
    """

    weights: np.ndarray
    intercept: np.ndarray
    l1: np.ndarray
    l2: np.ndarray
    epochs: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.epochs = np.zeros(self.l1.shape, np.int64)

    @property
    def n_classes(self) -> int:
        return self.weights.shape[2] // self.l1.shape[1]

    def logits(self, X: np.ndarray) -> np.ndarray:
        """(G, rows, columns) or (rows, columns) of all sets -> (G, rows, K, J)."""
        Z = X @ self.weights
        Z += self.intercept
        return Z.reshape(*Z.shape[:2], self.n_classes, -1)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """int64 (G, J, rows); ties to the lower class."""
        return np.moveaxis(self.logits(X).argmax(axis=2), 2, 1)

    def of(self, g: int, j: int) -> np.ndarray:
        """Weights of one model, (columns, K)."""
        return self.weights[g].reshape(len(self.weights[g]), self.n_classes, -1)[:, :, j]

    def take(self, sets: np.ndarray, models: np.ndarray) -> Models:
        """Some of the feature sets and of the models, as copies."""
        w, b = (
            a.reshape(*a.shape[:2], self.n_classes, -1)[sets][..., models].reshape(len(sets), a.shape[1], -1)
            for a in (self.weights, self.intercept)
        )
        part = Models(w, b, self.l1[np.ix_(sets, models)], self.l2[np.ix_(sets, models)])
        part.epochs = self.epochs[np.ix_(sets, models)]
        return part

    def put(self, other: Models, sets: np.ndarray, models: np.ndarray, improved: np.ndarray) -> None:
        """Copy back from ``other``, made by ``take(sets, models)``, where ``improved`` (len(sets), len(models))."""
        for mine, theirs in ((self.weights, other.weights), (self.intercept, other.intercept)):
            mine4, theirs4 = (a.reshape(*a.shape[:2], self.n_classes, -1) for a in (mine, theirs))
            for i, g in enumerate(sets):
                at = np.flatnonzero(improved[i])
                mine4[g][..., models[at]] = theirs4[i][..., at]
        self.epochs[np.ix_(sets, models)] = np.where(improved, other.epochs, self.epochs[np.ix_(sets, models)])


def start(
    rngs: Sequence[Sequence[np.random.Generator]], columns: int, n_classes: int, l1: np.ndarray, l2: np.ndarray
) -> Models:
    """Initial models, each drawn from its own generator (G sequences of J), uniform within 1/sqrt(columns)."""
    bound = columns**-0.5
    weights = np.empty((len(rngs), columns, n_classes, len(rngs[0])), np.float32)
    intercept = np.empty((len(rngs), 1, n_classes, len(rngs[0])), np.float32)
    for g, row in enumerate(rngs):
        for j, rng in enumerate(row):
            weights[g, ..., j] = rng.uniform(-bound, bound, (columns, n_classes))
            intercept[g, 0, :, j] = rng.uniform(-bound, bound, n_classes)
    w, b = (a.reshape(*a.shape[:2], -1) for a in (weights, intercept))
    return Models(w, b, np.asarray(l1, np.float32), np.asarray(l2, np.float32))


def _over_classes(ufunc: np.ufunc, values: np.ndarray) -> np.ndarray:
    """Reduce (G, rows, K, J) over classes; class by class, for numpy is slow along a short axis. (G, rows, 1, J)."""
    total = values[:, :, :1].copy()
    for k in range(1, values.shape[2]):
        ufunc(total, values[:, :, k : k + 1], out=total)
    return total


def residuals(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Softmax minus one-hot, in place: ``logits`` (G, rows, K, J), ``y`` (G or 1, rows)."""
    logits -= _over_classes(np.maximum, logits)
    np.exp(logits, out=logits)
    logits /= _over_classes(np.add, logits)
    sets, rows = np.ogrid[: logits.shape[0], : logits.shape[1]]
    logits[sets, rows, y] -= 1
    return logits


def log_loss(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean log-loss, float64 (G, J), of ``logits`` (G, rows, K, J), which are overwritten; ``y`` (rows,)."""
    logits -= _over_classes(np.maximum, logits)
    own = logits[:, np.arange(len(y)), y]
    np.exp(logits, out=logits)
    return (np.log(_over_classes(np.add, logits)[:, :, 0]) - own).mean(axis=1, dtype=np.float64)


def gradient(models: Models, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of the objective on a batch: of the weights (G, columns, K * J) and of the intercept (G, 1, K * J).

    X (G or 1, rows, columns), y (G or 1, rows). d||W||_F is W / ||W||_F, taken as 0 at W = 0, as is d|w| at 0.
    """
    R = residuals(models.logits(X), y).reshape(len(models.weights), X.shape[1], -1)
    R *= np.float32(1 / X.shape[1])
    grad = X.transpose(0, 2, 1) @ R
    K, W = models.n_classes, models.weights
    scratch = np.square(W)
    norm = np.sqrt(scratch.sum(axis=1).reshape(len(W), K, -1).sum(axis=1))
    if models.l1.any():
        np.sign(W, out=scratch)
        scratch *= _by_column(models.l1, K)
        grad += scratch
    if models.l2.any():
        np.multiply(W, _by_column(models.l2 / np.maximum(norm, np.float32(1e-30)), K), out=scratch)
        grad += scratch
    return grad, R.sum(axis=1, keepdims=True)


def _by_column(value: np.ndarray, n_classes: int) -> np.ndarray:
    """(G, J) -> (G, 1, K * J)."""
    return np.tile(value, n_classes)[:, None, :]


class _Adam:
    """Moments of the gradients, and the step that they give."""

    def __init__(self, learning_rate: float) -> None:
        self.rate, self.steps = learning_rate, 0
        self.first: list[np.ndarray] = []
        self.second: list[np.ndarray] = []

    def step(self, variables: Sequence[np.ndarray], gradients: Sequence[np.ndarray]) -> None:
        if not self.steps:
            self.first = [np.zeros_like(v) for v in variables]
            self.second = [np.zeros_like(v) for v in variables]
        self.steps += 1
        rate = np.float32(self.rate / (1 - BETA1**self.steps))
        root = np.float32((1 - BETA2**self.steps) ** -0.5)
        for v, g, m, s in zip(variables, gradients, self.first, self.second, strict=True):
            m *= np.float32(BETA1)
            m += np.float32(1 - BETA1) * g
            s *= np.float32(BETA2)
            s += np.float32(1 - BETA2) * np.square(g)
            v -= rate * m / (np.sqrt(s) * root + np.float32(EPSILON))


def train(
    models: Models,
    X: np.ndarray,
    y: np.ndarray,
    X_dev: np.ndarray,
    y_dev: np.ndarray,
    method: Method,
    orders: Sequence[np.random.Generator] | None = None,
) -> Models:
    """Train ``models`` from where they are; returns the trained ones.

    Parameters
    ----------
    X, X_dev : float32 (G, rows, columns); for G = 1 views are enough.
    y, y_dev : int (rows,), the same for every feature set. Dev is read only where the method has a patience.
    orders : a generator per feature set, where ``method.shuffle``.
    """
    if method.shuffle and (orders is None or len(orders) != len(models.weights)):
        raise ValueError("shuffle needs one generator of orders per feature set")
    y = np.asarray(y, np.int64)
    adam = _Adam(method.learning_rate) if method.adam else None
    if method.patience is None:
        for _ in range(method.epochs):
            _epoch(models, X, y, method, adam, orders)
        return models
    # every set and model that is still in training, by its place in `kept`
    sets, which = np.arange(models.l1.shape[0]), np.arange(models.l1.shape[1])
    kept, running = models, models.take(sets, which)
    best, worse = np.full(models.l1.shape, np.inf), np.zeros(models.l1.shape, np.int64)
    active = np.ones(models.l1.shape, bool)
    for _ in range(method.epochs):
        _epoch(running, X, y, method, adam, orders)
        loss = log_loss(running.logits(X_dev), np.asarray(y_dev, np.int64))
        at = np.ix_(sets, which)
        improved = active[at] & (loss < best[at])
        kept.put(running, sets, which, improved)
        best[at] = np.where(improved, loss, best[at])
        worse[at] = np.where(improved, 0, worse[at] + 1)
        active[at] &= worse[at] < method.patience
        if not active.any():
            break
        on, live = np.flatnonzero(active[sets].any(axis=1)), np.flatnonzero(active[:, which].any(axis=0))
        if adam is None and (len(on) < len(sets) or len(live) < len(which)):
            running = running.take(on, live)
            if len(on) < len(sets):
                X, X_dev = X[on], X_dev[on]
                orders = [orders[int(i)] for i in on] if orders is not None else None
            sets, which = sets[on], which[live]
    return kept


def _epoch(
    models: Models,
    X: np.ndarray,
    y: np.ndarray,
    method: Method,
    adam: _Adam | None,
    orders: Sequence[np.random.Generator] | None,
) -> None:
    order = np.stack([rng.permutation(len(y)) for rng in orders]) if method.shuffle and orders is not None else None
    for first in range(0, len(y), method.batch):
        if order is None:
            rows = slice(first, first + method.batch)
            part, labels = X[:, rows], y[None, rows]
        else:
            chosen = order[:, first : first + method.batch]
            part, labels = X[np.arange(len(X))[:, None], chosen], y[chosen]
        grad, intercept = gradient(models, part, labels)
        if adam is not None:
            adam.step((models.weights, models.intercept), (grad, intercept))
        else:
            grad *= np.float32(method.learning_rate)
            models.weights -= grad
            models.intercept -= np.float32(method.learning_rate) * intercept
    models.epochs += 1
