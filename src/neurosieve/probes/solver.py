"""Elastic-net softmax regression and least squares, solved to a stated duality gap.

With standardised rows x_i, classes y_i, weights W (columns, K') and intercept b it minimises

    P(W, b) = 1/n sum_i loss(W'x_i + b, y_i) + l1 sum|W| + l2/2 ||W||_F^2

where the loss is softmax cross-entropy; two classes have one weight vector (K' = 1) and the logistic loss. In the terms
of scikit-learn C = 1/(n(l1+l2)), l1_ratio = l1/(l1+l2).

Any residuals R = p - onehot(y) whose columns sum to zero bound the minimum from below: with G = X'R/n

    D(R) = 1/n sum_i entropy(p_i) - 1/(2 l2) sum max(|G| - l1, 0)^2  <=  min P.

Where a number is predicted (n_classes = metrics.NUMBER) the loss is (w'x_i + b - y_i)^2 / 2 with one weight vector, on
the target standardised by the given rows, so that a penalty means the same whatever the unit of the target; weights and
intercept are given back in that unit. The bound has -(r_i^2 / 2 + r_i y_i) in the place of the entropy (Fenchel's
conjugate of the loss), and all below holds alike: scikit-learn's Ridge(alpha = n l2), ElasticNet(alpha = l1 + l2).

The intercept is always put at its optimum for the given W, which is what makes the columns sum to zero. Then

    P - D = sum over weights of  l1|w| + l2/2 w^2 + w g + max(|g| - l1, 0)^2 / (2 l2),

a sum of terms that are never negative, so the gap is computed without cancellation.

l1 = 0: L-BFGS in the metric of (class curvature) x (Gram matrix) + l2, with an exact line search: the logits are linear
in the step, so only one product with X per iteration goes forward and one back. Measured from a cold start on hidden
states of a code model (8,000 x 1,792, ten classes, gap 1e-4): l2 = 0.01 takes 34 iterations, 54 without row weights.
Along falling penalties the pairs of L-BFGS carry over (:class:`Memory`): on 8,000 x 1,024 of seven classes four
penalties take 64 iterations in all, 98 without. Fits are generators that ask for their products with X, so that those
of many fits are taken together (:func:`together`).
l1 > 0: proximal quasi-Newton steps in the same metric and with the same pairs, each towards the minimum of a model that
needs the Gram matrix and not X (:func:`_proximal`). On 6,000 x 1,792 of six classes thirty fits of six l2 and five l1,
along falling l2, take 206 gradients in all; accelerated proximal gradient on X took 3,339. From a warm start only
columns that may have a weight are looked at (:func:`_screened`); the gap is that on all. Where it stalls (a class of
two rows, far outliers, exact copies) L-BFGS-B in float64 takes over; the certificate is the same.
Of least squares the metric is the Hessian, so with l1 = 0 the first step is that of the closed form (Cholesky of the
Gram matrix) and the others only mend its rounding.
Products are float32, objective and gap float64. Reads and writes no files; the same input gives the same bits.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from scipy.linalg import blas, lapack

from neurosieve.probes.metrics import NUMBER

MEMORY = 40  # pairs that L-BFGS keeps, those of the fits before included
METRIC_SCALE = 0.4  # of the mean curvature; 0.3 to 0.8 differ by a tenth of the iterations
METRIC_SPREAD = 8.0  # class curvatures within this factor share a Cholesky factor
METRIC_FACTORS = 3  # at most so many: iterations 31, 27, 24, 22 with one to four, each costs its Cholesky
FACTORS = 3  # Cholesky factors that a cache keeps
METRIC_REFRESH = 0.25  # the metric is made anew when the curvature has fallen to this part of what it was
ROUNDING = 1e-7  # of the objective from float32 logits, relative
REFRESH = 25  # iterations after which the logits are computed anew, so that rounding does not add up
ABSENT = -1e6  # intercept of a class without train rows
LONGEST = 5.0  # a Newton step moves no intercept further: where all rows are saturated it would leap out of float32
SLOPED = 1e-5  # slope of an intercept that is near enough to its optimum while the weights still move
CENTRED = 1e-4  # largest slope of an intercept that is taken for its optimum: further off the bound is none
RESOLVED = 1e-5  # spread of a target that is less of its size would be lost in float32 predictions
BOUNDED = 4  # times as many iterations where the steps stall, each of them cheaper
FEWER_COLUMNS = 0.8  # share of all up to which a model is taken of those columns alone that have a weight or want one
FEW_COLUMNS = 0.5  # share of all up to which a fit on few columns is tried
WIDE = 2048  # columns from which a sketch stands for the Gram matrix and its Cholesky factors
RANK = 800  # directions of a sketch; 12,000 x 9,984 takes 93 iterations with 400, 70 with 800, which cost 0.8 s more
SKETCHED = 3000  # rows that a sketch is made of
HALVED = 1 << 25  # values of a matrix from which its products are made in two halves, for a second thread
PAIRS = 15  # last of the memory that correct the model of a proximal step
CURVED = 1e-6  # of the largest: less curvature or less of a model is rounding
LEAST = 1e-20  # s'Bs of a pair that a model takes: the step of a smaller one is rounding, and its root no float32
INSIDE = 60  # most iterations in a model, each a tenth of one with X
INSIDE_TO = 0.1  # of the first step in a model: where the last is shorter it is near enough to the minimum
CURVATURE_DECAY = 0.96  # a smaller curvature by this factor is tried every iteration in a model


@dataclass(frozen=True)
class Product:
    """A product with X that a fit waits for: ``rows`` (K', p) @ X.T, or where it goes ``back`` rows (K', n) @ X; with a
    ``cache`` that of rows (K', p) with the Gram matrix."""

    rows: np.ndarray
    back: bool
    cache: GramCache | None = None

    def alone(self, X: np.ndarray) -> np.ndarray:
        if self.cache is not None:
            return self.cache.times(self.rows)
        # of sparse X the product comes back column by column
        return np.ascontiguousarray(_times(self.rows, X if self.back else X.T))


def _times(rows: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Their product. Two, or five to seven rows take longer than the next multiple of four."""
    missing = -len(rows) % 4
    if not isinstance(right, np.ndarray):
        return rows @ right
    if len(rows) not in (2, 5, 6, 7):
        return _halves(rows, right)
    padded = _halves(np.concatenate([rows, np.zeros((missing, rows.shape[1]), rows.dtype)]), right)
    return padded[: len(rows)]


def halved(rows: int, columns: int) -> bool:
    """Whether products with so large a matrix are made in halves, so that a second core helps."""
    return rows * columns >= HALVED


def _halves(rows: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Their product, of a large matrix in two halves of its columns: the same bits on one thread and on two."""
    if not halved(*right.shape):
        return rows @ right
    middle = right.shape[1] // 2
    product = np.empty((len(rows), right.shape[1]), np.result_type(rows, right))
    second = product[:, middle:]
    if os.environ.get("NEUROSIEVE_THREADS", "1") == "1":
        second[:] = rows @ right[:, middle:]
        product[:, :middle] = rows @ right[:, :middle]
        return product
    beside = _beside().submit(lambda: np.copyto(second, rows @ right[:, middle:]))
    product[:, :middle] = rows @ right[:, :middle]
    beside.result()
    return product


@functools.cache
def _beside() -> ThreadPoolExecutor:
    """The second thread; numpy frees the interpreter while it multiplies."""
    return ThreadPoolExecutor(1, "products")


@dataclass(frozen=True)
class At:
    """Where a fit stands after a gradient: weights (K', p), intercept, objective P and gap P - D."""

    W: np.ndarray
    b: np.ndarray
    value: float
    gap: float


# what is sent back is the product, None after an At
Steps = Generator[Product | At, Any, None]
Fitting = Generator[Product, Any, "Probe"]
Solver = Callable[[np.ndarray], np.ndarray]


Result = TypeVar("Result")


class SolverError(RuntimeError):
    """The duality gap was not reached within the allowed iterations."""


def outputs(n_classes: int) -> int:
    """K', the number of weight vectors: one for two classes and for a number."""
    return 1 if n_classes in (NUMBER, 2) else n_classes


@dataclass(frozen=True)
class Probe:
    """A solved probe. ``weights`` float32 (columns, K'), ``intercept`` float32 (K',), K' = 1 for two classes.

    ``gap`` is the relative duality gap (P - D)/P that was reached, ``objective`` P, ``iterations`` the gradients taken.
    ``number``: the one output is the predicted number itself (P is then that of the standardised target).
    """

    weights: np.ndarray
    intercept: np.ndarray
    gap: float
    iterations: int
    objective: float
    l1: float
    l2: float
    number: bool = False

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Logits (rows, K') of standardised rows; or numbers (rows, 1)."""
        return X @ self.weights + self.intercept

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Classes (rows,) int64, ties to the lower class; or numbers (rows,) float32."""
        scores = self.scores(X)
        if self.number:
            return scores[:, 0]
        return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)


class GramCache:
    """X'X/n of train, float32 (columns, columns): made once, then indexed for every subset of the columns.

    It shapes the solver's metric only, never the solution. ``weights`` (rows,) let the rows count by how undecided a
    first probe is about them (:func:`row_weights`), which saves a third of the iterations of the fits that follow.
    """

    def __init__(self, X: np.ndarray, weights: np.ndarray | None = None) -> None:
        rows = X if weights is None else X * np.sqrt(weights).astype(np.float32)[:, None]
        gram = rows.T @ rows
        gram *= np.float32(1 / len(X))
        self._hold(gram)

    def _hold(self, gram: np.ndarray) -> None:
        self.gram = gram
        self._solvers: dict[int, Solver] = {}

    @property
    def columns(self) -> int:
        return len(self.gram)

    def take(self, columns: np.ndarray | slice) -> GramCache:
        """The cache of ``X[:, columns]``; for a slice a view."""
        part = object.__new__(GramCache)
        if isinstance(columns, slice):
            part._hold(self.gram[columns, columns])
        else:  # whole rows first: a third of the time of picking single values
            part._hold(np.take(np.take(self.gram, columns, axis=0), columns, axis=1))
        return part

    def scaled(self, factors: np.ndarray) -> GramCache:
        """The cache of ``X * factors``, float32 (columns,)."""
        part = object.__new__(GramCache)
        part._hold(self.gram * factors[:, None])
        part.gram *= factors
        return part

    def times(self, rows: np.ndarray) -> np.ndarray:
        """rows (m, columns) @ X'X/n."""
        return _times(rows, self.gram)

    def solver(self, level: float, l2: float) -> Solver:
        """What multiplies rows (m, columns) by (level * (X'X/n + ratio))^-1, ratio = l2 / level to the next power of 2:
        so classes, fits of like labels and penalties that lie near each other share a factor."""
        exponent = round(math.log2(l2 / level))
        found = self._solvers.pop(exponent, None) or self._factored(2.0**exponent)
        self._solvers[exponent] = found  # the last
        if len(self._solvers) > FACTORS:
            del self._solvers[next(iter(self._solvers))]
        by = np.float32(1 / level)
        return lambda rows: found(rows) * by

    def _factored(self, ratio: float) -> Solver:
        while True:
            M = self.gram.copy()
            M.ravel()[:: len(M) + 1] += np.float32(ratio)
            factor, failed = lapack.spotrf(M.T, lower=1, overwrite_a=1, clean=0)
            if not failed:
                return lambda rows: _cholesky_solve(factor, rows)
            ratio = 10 * ratio + 1e-7 * float(np.trace(self.gram))  # only a metric: a stiffer one is as valid


def _cholesky_solve(factor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    solved: np.ndarray = lapack.spotrs(factor, rows.T, lower=1)[0].T
    return solved


class Sketch(GramCache):
    """X'X/n of many columns in short: B'B + tail * I with B float32 (RANK, columns), of a sample of the rows.

    Nystroem's approximation from random directions (Frangella, Tropp and Udell 2023): 2 s where the whole of 12,000 x
    9,984 takes 10 s and its Cholesky factors 3 s each and 0.4 GB. Like the whole, it shapes the metric only.
    """

    def __init__(self, X: np.ndarray, weights: np.ndarray | None = None) -> None:
        n, w = len(X), np.ones(len(X)) if weights is None else weights
        if n > SKETCHED:  # rows as often as they count
            ends = np.cumsum(w)
            at, times = np.unique(
                np.searchsorted(ends, (np.arange(SKETCHED) + 0.5) * (ends[-1] / SKETCHED)), return_counts=True
            )
            n, w = SKETCHED, times * (ends[-1] / n)
        else:
            at = np.arange(n)
        rows = X[at] * np.sqrt(w).astype(np.float32)[:, None]
        directions = np.random.default_rng(0).standard_normal((min(RANK, *rows.shape), X.shape[1]), np.float32)
        seen = (directions @ rows.T) @ rows / np.float32(n)
        core = seen.astype(np.float64) @ directions.T.astype(np.float64)
        core += core.T
        core /= 2
        core.ravel()[:: len(core) + 1] += 1e-6 * max(float(np.trace(core)) / len(core), 1e-30)
        values, vectors = np.linalg.eigh(core)
        kept = values > 1e-6 * values[-1]
        root = (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
        squares = float(np.einsum("ij,ij->", rows, rows, dtype=np.float64)) / n
        basis = root.T @ seen
        left = squares - float(np.einsum("ij,ij->", basis, basis, dtype=np.float64))
        self._set(basis, np.full(X.shape[1], max(left, 0.0) / X.shape[1], np.float32))

    def _set(self, basis: np.ndarray, tail: np.ndarray) -> None:
        """``tail`` float32 (columns,): what of each column's mean square the basis has not."""
        self.basis, self.tail = basis, tail
        self._solvers = {}
        self._square: np.ndarray | None = None

    @property
    def columns(self) -> int:
        return len(self.tail)

    def take(self, columns: np.ndarray | slice) -> Sketch:
        part = object.__new__(Sketch)
        part._set(np.ascontiguousarray(self.basis[:, columns]), self.tail[columns])
        return part

    def scaled(self, factors: np.ndarray) -> Sketch:
        part = object.__new__(Sketch)
        part._set(self.basis * factors, self.tail * factors * factors)
        return part

    def times(self, rows: np.ndarray) -> np.ndarray:
        return _times(_times(rows, self.basis.T), self.basis) + rows * self.tail

    def _factored(self, ratio: float) -> Solver:
        # Woodbury's identity
        inverse = 1 / (self.tail + np.float32(ratio))
        if (inverse == inverse[0]).all():  # of columns that were not scaled: one product for all ratios
            if self._square is None:
                self._square = self.basis @ self.basis.T
            core = self._square * inverse[0]
        else:
            core = (self.basis * inverse) @ self.basis.T
        core.ravel()[:: len(core) + 1] += 1
        factor, _ = lapack.spotrf(core, lower=1)

        def solve(rows: np.ndarray) -> np.ndarray:
            rows = rows * inverse
            rows -= (_cholesky_solve(factor, rows @ self.basis.T) @ self.basis) * inverse
            return rows

        return solve


def gram_of(X: np.ndarray, weights: np.ndarray | None = None) -> GramCache:
    """What shapes the metric of fits on X: the Gram matrix, where columns are WIDE or more a sketch of it."""
    return Sketch(X, weights) if X.shape[1] >= WIDE else GramCache(X, weights)


def row_weights(probe: Probe, X: np.ndarray) -> np.ndarray | None:
    """float64 (rows,), mean 1: the curvature sum_k p_k (1 - p_k) of each row's loss under ``probe``; None for a number,
    where all rows have the same."""
    if probe.number:
        return None
    logits = probe.scores(X).T
    p = _softmax(logits)[0] if len(logits) > 1 else _sigmoid(logits)
    curvature = (p * (1 - p)).sum(axis=0, dtype=np.float64)
    return curvature / curvature.mean()


def fit(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    l1: float,
    l2: float,
    gap: float = 1e-4,
    max_iterations: int = 2000,
    warm: Probe | None = None,
    cache: GramCache | None = None,
    factors: np.ndarray | None = None,
) -> Probe:
    """Fit a probe.

    Parameters
    ----------
    X : float32 (rows, columns), standardised. A view of the first columns of a larger array is used without a copy.
    y : int (rows,) classes 0 .. n_classes-1, two or more of them with rows. A class without any is never predicted.
        With n_classes = metrics.NUMBER numbers (rows,), of which two or more differ.
    l1, l2 : penalties, see the module's docstring; l2 > 0.
    gap : relative duality gap at which to stop.
    warm : probe to start from, with the same columns in the same order.
    cache : Gram matrix of these columns; made here if None.
    factors : float32 (columns,) by which l1 is multiplied at each column; one if None.

    Raises
    ------
    SolverError
        where the gap is not reached in ``max_iterations``.
    ValueError
        for arrays that do not fit together, values that are not finite, l2 <= 0, or rows of one class (number) only.
    """

    return alone(X, fitting(X, y, n_classes, l1, l2, gap, max_iterations, warm, cache, factors))


def fitting(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    l1: float,
    l2: float,
    gap: float = 1e-4,
    max_iterations: int = 2000,
    warm: Probe | None = None,
    cache: GramCache | None = None,
    factors: np.ndarray | None = None,
    memory: Memory | None = None,
) -> Fitting:
    """The same as a generator that asks for its products with X, so that :func:`together` can take those of many fits
    at once. ``memory``: what an earlier fit on the same X and y left; what this one learns is added to it."""
    problem, start, stated = posed(X, y, n_classes, l1, l2, warm)
    if factors is not None:
        problem.l1_of = problem.l1_of * factors
    if l1 > 0 and start is not None:
        return stated((yield from _screened(problem, gap, max_iterations, start, cache, memory)))
    return stated((yield from _solve(problem, gap, max_iterations, start, cache, memory)))


def alone(X: np.ndarray, work: Generator[Product, Any, Result]) -> Result:
    """What the generator returns, its products with X taken one by one."""
    answer: np.ndarray | None = None
    while True:
        try:
            answer = work.send(answer).alone(X)
        except StopIteration as done:
            result: Result = done.value
            return result


def together(X: np.ndarray, fits: Sequence[tuple[slice, Generator[Product, Any, Result]]]) -> list[Result]:
    """What generators return that ask for products with columns of X, all asked for at a time taken as one.

    A product of ten rows with X takes twice the time per row that one of fifty takes. ``fits``: the columns (a slice
    with start and stop) that each works on, and the generator. The same fits together give the same bits; beside others
    they differ by rounding.
    """
    cuts = sorted({end for columns, _ in fits for end in (columns.start, columns.stop)})
    work = _in_step([fit for _, fit in fits])
    answers: dict[int, np.ndarray] | None = None
    while True:
        try:
            asked, back = work.send(answers)
        except StopIteration as done:
            results: list[Result] = done.value
            return results
        answers = _products(X, cuts, {i: (fits[i][0], rows) for i, rows in asked.items()}, back)


def side_by_side(fits: Sequence[Generator[Product, Any, Result]]) -> Generator[Product, Any, list[Result]]:
    """Generators that ask for products with the same X as one: what all ask for at a time is one product."""
    work = _in_step(fits)
    answers: dict[int, np.ndarray] | None = None
    while True:
        try:
            asked, back = work.send(answers)
        except StopIteration as done:
            results: list[Result] = done.value
            return results
        parts = [*asked.values()]
        product = yield Product(parts[0] if len(parts) == 1 else np.concatenate(parts), back)
        answers = dict(_parts(asked, parts, product))


def _parts(names: Iterable[int], parts: Sequence[np.ndarray], product: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of ``product`` that belong to each of the parts that it was made of."""
    ends = itertools.accumulate(len(rows) for rows in parts)
    for i, rows, end in zip(names, parts, ends, strict=True):
        yield i, product[end - len(rows) : end]


def _in_step(
    fits: Sequence[Generator[Product, Any, Result]],
) -> Generator[tuple[dict[int, np.ndarray], bool], Any, list[Result]]:
    """Asks for the products with X that the generators wait for, those of one direction at a time, by number of
    generator; takes those with a Gram matrix itself."""
    results: dict[int, Result] = {}
    waiting: dict[int, Product] = {}

    def go_on(i: int, answer: np.ndarray | None) -> None:
        try:
            waiting[i] = fits[i].send(answer)
        except StopIteration as done:
            waiting.pop(i, None)
            results[i] = done.value

    for i in range(len(fits)):
        go_on(i, None)
    while waiting:
        small = [i for i, product in waiting.items() if product.cache is not None]
        if small:  # all of them first, so that none holds up a product with X
            by_cache: dict[int, list[int]] = {}
            for i in small:
                by_cache.setdefault(id(waiting[i].cache), []).append(i)
            for of_one in by_cache.values():
                cache, rows = waiting[of_one[0]].cache, [waiting[i].rows for i in of_one]
                assert cache is not None
                product = cache.times(rows[0] if len(rows) == 1 else np.concatenate(rows))
                for i, answer in _parts(of_one, rows, product):
                    go_on(i, answer)
            continue
        # those that are ahead wait at their gradient for the others: so the products stay wide
        back = all(product.back for product in waiting.values())
        for i, answer in (yield {i: p.rows for i, p in waiting.items() if p.back == back}, back).items():
            go_on(i, answer)
    return [results[i] for i in range(len(fits))]


def _products(
    X: np.ndarray, cuts: Sequence[int], asked: dict[int, tuple[slice, np.ndarray]], back: bool
) -> dict[int, np.ndarray]:
    """The products of ``rows`` with the columns of X by their keys; ``cuts`` bound all columns that are asked for."""
    found: dict[int, np.ndarray] = {}
    for begin, end in itertools.pairwise(cuts):
        block = X[:, begin:end]
        inside = {i: (c, rows) for i, (c, rows) in asked.items() if c.start <= begin and end <= c.stop}
        if not inside:
            continue
        parts = [rows if back else rows[:, begin - c.start : end - c.start] for c, rows in inside.values()]
        product = _times(parts[0] if len(parts) == 1 else np.concatenate(parts), block if back else block.T)
        at = 0
        for i, (c, rows) in inside.items():
            part = product[at : at + len(rows)]
            at += len(rows)
            if not back:
                if i in found:
                    found[i] += part
                else:
                    found[i] = part
            elif c.stop - c.start == end - begin:
                found[i] = part
            else:
                if i not in found:
                    found[i] = np.empty((len(rows), c.stop - c.start), product.dtype)
                found[i][:, begin - c.start : end - c.start] = part
    return found


def posed(
    X: np.ndarray, y: np.ndarray, n_classes: int, l1: float, l2: float, start: Probe | None
) -> tuple[Problem, Probe | None, Callable[[Probe], Probe]]:
    """The problem of the classes that have rows, or of the standardised number; ``start`` as a probe of that problem;
    and what makes of its probe one of all classes, or in the unit of the target.

    Classes without rows are put out of reach. With them the objective has no minimum: it falls as their intercepts go
    to minus infinity. That limit is written as zero weights and the intercept ABSENT, which no logit reaches.
    """
    if n_classes == NUMBER:
        return _of_number(X, y, l1, l2, start)
    present = np.unique(y)
    if not (1 < len(present) < n_classes and present[0] >= 0 and present[-1] < n_classes):
        return Problem(X, y, n_classes, l1, l2), start, lambda found: found
    own = present[1:] if len(present) == 2 else present  # two classes have one weight vector
    if start is not None:
        start = replace(start, weights=start.weights[:, own], intercept=start.intercept[own])

    def of_all(found: Probe) -> Probe:
        weights = np.zeros((X.shape[1], n_classes), np.float32)
        intercept = np.full(n_classes, ABSENT, np.float32)
        weights[:, own], intercept[present], intercept[own] = found.weights, 0, found.intercept
        return replace(found, weights=weights, intercept=intercept)

    return Problem(X, np.searchsorted(present, y), len(present), l1, l2), start, of_all


def _of_number(
    X: np.ndarray, y: np.ndarray, l1: float, l2: float, start: Probe | None
) -> tuple[Problem, Probe | None, Callable[[Probe], Probe]]:
    y = np.asarray(y, np.float64)
    mean, std = float(y.mean()) if y.size else 0.0, float(y.std()) if y.size else 0.0
    if y.size and not (np.isfinite(std) and std > RESOLVED * abs(mean)):
        raise ValueError(
            f"targets of mean {mean:g} and standard deviation {std:g}: they must be finite and differ by more than "
            f"{RESOLVED:g} of their size; take a constant off them, or leave the task out"
        )
    if start is not None:
        start = replace(start, weights=start.weights / np.float32(std), intercept=(start.intercept - mean) / std)

    def in_its_unit(found: Probe) -> Probe:
        weights, intercept = found.weights * np.float32(std), (found.intercept * std + mean).astype(np.float32)
        return replace(found, weights=weights, intercept=intercept, number=True)

    return _Squares(X, (y - mean) / (std or 1), NUMBER, l1, l2), start, in_its_unit


def _solve(
    problem: Problem,
    gap: float,
    max_iterations: int,
    warm: Probe | None,
    cache: GramCache | None,
    memory: Memory | None,
) -> Fitting:
    """Minimise to the gap; see :func:`fit`."""
    X, l1, l2 = problem.X, problem.l1, problem.l2
    W, b = problem.start(warm)
    cache = gram_of(X) if cache is None else cache
    if cache.columns != X.shape[1]:
        raise ValueError(f"the cache is of {cache.columns} columns, X has {X.shape[1]}; use cache.take")
    steps = (_proximal if l1 > 0 else _quasi_newton)(problem, W, b, cache, Memory() if memory is None else memory)
    # `steps` yields where it is after every gradient, from float32 logits; what is returned is measured anew
    previous, best = np.inf, np.inf
    iterations = 0
    answer: np.ndarray | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration:
            break
        if isinstance(step, Product):
            answer = yield step
            continue
        iterations, answer = iterations + 1, None
        value, absolute = step.value, step.gap
        if not np.isfinite(value + absolute):
            raise ValueError("the objective is not finite: X holds NaN, infinity or values that overflow float32")
        # the best lower bound so far also bounds later points, and is the better one while the gap is not monotone
        best = min(absolute, best + value - previous if np.isfinite(best) else np.inf)
        previous = value
        if best <= gap * value:
            b, objective, absolute, slack = yield from problem.measure(step.W, step.b)
            best = min(best + objective - value + ROUNDING * objective, absolute)
            # a class so rare that only an exact intercept gives a bound: others lie above the minimum
            if slack > gap * objective / 10 if l1 > 0 else best < -gap * objective / 10:
                best = absolute
            previous = objective
            if best <= gap * objective:
                return Probe(  # a bound may lie above the objective by what rounding did
                    np.ascontiguousarray(step.W.T), b.astype(np.float32), max(best, 0.0) / objective,
                    iterations, objective, l1, l2,
                )  # fmt: skip
        if iterations >= max_iterations:
            break
    found = _bounded(problem, gap, max_iterations)
    if found.gap <= gap:
        return replace(found, iterations=iterations + found.iterations)
    best, previous = found.gap * found.objective, found.objective
    raise SolverError(
        f"relative duality gap {best / previous:.1e} after {iterations} iterations, wanted {gap:.1e} "
        f"({problem.n} rows, {problem.p} columns, {problem.what}, l1 {l1:g}, l2 {l2:g}): "
        "raise probes.max_iterations, or write a stronger penalty in probes.penalties"
    )


def _screened(
    problem: Problem,
    gap: float,
    max_iterations: int,
    warm: Probe,
    cache: GramCache | None,
    memory: Memory | None,
) -> Fitting:
    """The same with l1 > 0 on the columns that are likely to have weights: those of ``warm``, and by the strong rule
    (Tibshirani et al. 2012) those whose slopes at ``warm`` come near l1. The gap is that on all columns; while it is
    too large those that were left out wrongly join, and the fit on few columns goes on to a smaller gap."""
    W, b = problem.start(warm)
    P, _, b = problem.centre((yield Product(W, False)), b, SLOPED)
    slope = np.abs((yield Product(problem.residual(P), True))).max(axis=0)
    before = problem.l1_of * max(1.0, warm.l1 / problem.l1)
    inside = W.any(axis=0) | (slope >= 2 * problem.l1_of - before)
    inside[slope.argmax()] = True
    iterations, closer = 0, gap / 2
    while inside.mean() <= FEW_COLUMNS and closer > gap / 100:
        at = np.flatnonzero(inside)
        part = problem.take(at)
        start = replace(warm, weights=np.ascontiguousarray(W[:, at].T), intercept=b.astype(np.float32))
        found = alone(part.X, _solve(part, closer, max_iterations, start, cache and cache.take(at), None))
        iterations += found.iterations
        W = np.zeros_like(W)
        W[:, at] = found.weights.T
        P, loss, b = problem.centre(
            (yield Product(W, False)).astype(np.float64), found.intercept.astype(np.float64), 1e-13
        )
        G = yield Product(problem.residual(P), True)
        objective, absolute = loss + problem.penalty(W), problem.gap(W, P, G)
        if absolute <= gap * objective:
            weights, intercept = np.ascontiguousarray(W.T), b.astype(np.float32)
            return Probe(weights, intercept, absolute / objective, iterations, objective, problem.l1, problem.l2)
        missed = (np.abs(G).max(axis=0) > problem.l1_of) & ~inside
        inside |= missed
        closer = closer if missed.any() else closer / 4
    warm = replace(warm, weights=np.ascontiguousarray(W.T), intercept=b.astype(np.float32))
    found = yield from _solve(problem, gap, max_iterations, warm, cache, memory)
    return replace(found, iterations=iterations + found.iterations)


def _softmax(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K, n) logits -> probabilities, and (n,) log of the sum of exponentials."""
    top = A.max(axis=0)
    P = A - top
    np.exp(P, out=P)
    total = P.sum(axis=0)
    P /= total
    return P, np.log(total) + top


def _sigmoid(A: np.ndarray) -> np.ndarray:
    E = np.exp(-np.abs(A))
    return np.where(A >= 0, 1, E) / (1 + E)


class Problem:
    """The data and the pieces of the objective. Arrays are class-major: W (K', p), logits and probabilities (K', n)."""

    scale = METRIC_SCALE

    def __init__(self, X: np.ndarray, y: np.ndarray, n_classes: int, l1: float, l2: float) -> None:
        y = np.asarray(y)
        if X.ndim != 2 or X.dtype != np.float32 or y.shape != X.shape[:1] or not X.size:
            raise ValueError(f"X must be float32 (rows, columns) and y (rows,); found {X.dtype} {X.shape}, {y.shape}")
        if not (l2 > 0 and l1 >= 0):
            raise ValueError(
                f"found l1 {l1:g}, l2 {l2:g}; write l1 >= 0 and l2 > 0: without l2 the minimum is not unique"
            )
        self.X, self.l1, self.l2 = X, l1, l2
        self.l1_of = np.full(X.shape[1], l1)  # of each column
        self.n, self.p = X.shape
        self.k = outputs(n_classes)
        self.y = y.astype(np.float32)
        self.prepare(y, n_classes)

    def take(self, columns: np.ndarray) -> Problem:
        """The same with these columns alone."""
        part = copy.copy(self)
        part.X, part.l1_of, part.p = self.X[:, columns], self.l1_of[columns], len(columns)
        return part

    def prepare(self, y: np.ndarray, n_classes: int) -> None:
        """Check the classes and count them."""
        if n_classes < 2 or y.min() < 0 or y.max() >= n_classes:
            raise ValueError(f"found classes {y.min()} .. {y.max()}, expected 0 .. {n_classes - 1} of 2 or more")
        counts = np.bincount(y, minlength=n_classes)
        if (counts == 0).any():
            raise ValueError(
                f"class {np.flatnonzero(counts == 0)[0]} has no row in train (rows by class: {counts.tolist()}); "
                "give train more rows, or leave the class out of the task"
            )
        self.what = f"{n_classes} classes"
        self.share = counts / self.n if self.k > 1 else counts[1:] / self.n
        self.at = y * self.n + np.arange(self.n)  # where each row's own class lies in a raveled (K, n) array

    def start(self, warm: Probe | None) -> tuple[np.ndarray, np.ndarray]:
        """Weights (K', p) and intercept to start from: those of ``warm``, or zero and the class frequencies."""
        if warm is None:
            b = np.log(self.share) if self.k > 1 else np.log(self.share / (1 - self.share))
            return np.zeros((self.k, self.p), np.float32), b
        if warm.weights.shape != (self.p, self.k):
            raise ValueError(f"the warm start has weights {warm.weights.shape}, expected {(self.p, self.k)}")
        return np.ascontiguousarray(warm.weights.T, np.float32), warm.intercept.astype(np.float64)

    def forward(self, W: np.ndarray) -> np.ndarray:
        return W @ self.X.T

    def gradient(self, P: np.ndarray) -> np.ndarray:
        """X'(p - onehot)/n, (K', p) in the precision of X."""
        return self.residual(P) @ self.X

    def residual(self, P: np.ndarray) -> np.ndarray:
        """(p - onehot)/n, (K', n)."""
        R: np.ndarray = P.astype(self.X.dtype, order="C")
        if self.k == 1:
            R -= self.y
        else:
            R.ravel()[self.at] -= 1
        R *= self.X.dtype.type(1 / self.n)
        return R

    def loss(self, A: np.ndarray) -> tuple[np.ndarray, float]:
        """Logits (K', n) -> probabilities and the mean loss, in the precision of the logits, summed in float64."""
        if self.k == 1:
            own = np.maximum(A, 0) + np.log1p(np.exp(-np.abs(A)), dtype=np.float64) - self.y * A
            return _sigmoid(A), float(own.mean(dtype=np.float64))
        P, log_sum = _softmax(A)
        return P, float(log_sum.mean(dtype=np.float64) - self.own(A).mean(dtype=np.float64))

    def own(self, A: np.ndarray) -> np.ndarray:
        """(n,) the entry of each row's own class; for two classes the logit where the class is 1, else 0."""
        return (A * self.y).ravel() if self.k == 1 else A.ravel().take(self.at)

    def intercept_gradient(self, P: np.ndarray) -> np.ndarray:
        return P.mean(axis=1, dtype=np.float64) - self.share

    def class_curvature(self, P: np.ndarray) -> np.ndarray:
        """Mean Hessian of the loss by the logits, (K', K')."""
        if self.k == 1:
            return np.array([[(P * (1 - P)).mean(dtype=np.float64)]])
        return np.diag(P.mean(axis=1, dtype=np.float64)) - (P @ P.T).astype(np.float64) / self.n

    def bent(self, P: np.ndarray, D: np.ndarray) -> np.ndarray:
        """How the slopes of the loss by the logits change with a change D of them, both (K', n)."""
        if self.k == 1:
            return P * (1 - P) * D
        H: np.ndarray = P * D
        H -= P * H.sum(axis=0)
        return H

    def curvature(self, P: np.ndarray, D: np.ndarray) -> tuple[float, np.ndarray]:
        """Second derivatives of the mean loss along a change D (K', n) of the logits: by D twice, by D and b."""
        H = self.bent(P, D)
        return float(np.vdot(H, D)) / self.n, H.mean(axis=1, dtype=np.float64)

    def intercept_step(self, P: np.ndarray, slope: np.ndarray) -> np.ndarray:
        return np.linalg.solve(self.intercept_curvature(P), slope)

    def intercept_curvature(self, P: np.ndarray) -> np.ndarray:
        """Class curvature made regular: equal shifts of all classes have none, and saturated rows next to none."""
        return self.class_curvature(P) + (1 / self.k**2 if self.k > 1 else 0.0) + 1e-10 * np.eye(self.k)

    def centre(self, Z: np.ndarray, b: np.ndarray, accuracy: float) -> tuple[np.ndarray, float, np.ndarray]:
        """Optimal intercept for logits Z without it: probabilities, mean loss, intercept."""
        value = np.inf
        step = np.zeros_like(b)
        for _ in range(100):
            P, new = self.loss(Z + b[:, None].astype(Z.dtype))
            if new > value * (1 + 1e-7) + 1e-12:  # convex, so a shorter step will do
                step /= 2
                b = b + step
                continue
            slope = self.intercept_gradient(P)
            value = new
            if np.abs(slope).max() <= accuracy:
                break
            step = np.clip(self.intercept_step(P, slope), -LONGEST, LONGEST)
            b = b - step
        return P, new, b

    def penalty(self, W: np.ndarray) -> float:
        return float(np.abs(W).sum(axis=0, dtype=np.float64) @ self.l1_of) + self.l2 / 2 * float(
            np.square(W).sum(dtype=np.float64)
        )

    def gap(self, W: np.ndarray, P: np.ndarray, G: np.ndarray) -> float:
        """P - D at weights W, from the probabilities P and the gradient G there; none (a huge number, for infinity is
        an overflow) where the intercept is not at its optimum, for then R is not feasible."""
        if np.abs(self.intercept_gradient(P)).max() > CENTRED:
            return float(np.finfo(np.float64).max)
        if self.l1 == 0:
            return float(np.square(G + np.float32(self.l2) * W).sum(dtype=np.float64)) / (2 * self.l2)
        A = np.abs(W)
        number = self.X.dtype.type
        l1 = self.l1_of.astype(number)
        over = np.maximum(np.abs(G) - l1, 0)
        terms = l1 * A + W * (number(self.l2 / 2) * W + G) + over * over * number(0.5 / self.l2)
        return float(terms.sum(dtype=np.float64))

    def measure(self, W: np.ndarray, b: np.ndarray) -> Generator[Product, Any, tuple[np.ndarray, float, float, float]]:
        """Optimal intercept, objective and gap of weights W in float64, but for the products with X; and by how much
        bounds from intercepts that are only SLOPED near their optimum may be too high."""
        P, loss, b = self.centre((yield Product(W, False)).astype(np.float64), b, 1e-13)
        least = np.linalg.eigvalsh(self.class_curvature(P))[min(1, self.k - 1)]  # equal shifts of all classes have none
        slack = SLOPED**2 / (2 * max(float(least), 1e-300))
        return b, loss + self.penalty(W), self.gap(W, P, (yield Product(self.residual(P), True))), slack


class _Squares(Problem):
    """The same of least squares; "probabilities" are the predicted numbers themselves. y has the mean 0."""

    scale = 1.0  # the metric is the Hessian itself

    def prepare(self, y: np.ndarray, n_classes: int) -> None:
        self.what, self.share = "a number", np.zeros(1)

    def start(self, warm: Probe | None) -> tuple[np.ndarray, np.ndarray]:
        return super().start(warm) if warm is not None else (np.zeros((1, self.p), np.float32), np.zeros(1))

    def loss(self, A: np.ndarray) -> tuple[np.ndarray, float]:
        return A, float(np.square(A - self.y).mean(dtype=np.float64)) / 2

    def class_curvature(self, P: np.ndarray) -> np.ndarray:
        return np.ones((1, 1))

    def bent(self, P: np.ndarray, D: np.ndarray) -> np.ndarray:
        return D


class Memory:
    """Steps and changes of the loss's gradient, float32 (K', p) each, that one fit leaves to the next on the same rows
    and labels: they tell the curvature, whatever the penalty."""

    def __init__(self) -> None:
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, step: np.ndarray, change: np.ndarray) -> None:
        self.pairs = [*self.pairs[-MEMORY + 1 :], (step, change)]


class Metric:
    """Factors of M = scale * C (x) X'X/n + l2, with C the mean curvature between the classes.

    C is diagonalised, so that M falls apart into one matrix per eigenvector of C; eigenvalues within METRIC_SPREAD
    share one.
    """

    def __init__(self, cache: GramCache, C: np.ndarray, l2: float, scale: float) -> None:
        values, vectors = np.linalg.eigh(C)
        # equal shifts of all classes have no curvature: that eigenvalue is 0 but for rounding; no gradient lies there
        values = np.maximum(values[::-1], 1e-3 * values[-1])
        self.basis = np.ascontiguousarray(vectors[:, ::-1]).astype(np.float32)
        self.total = float(values.sum())
        self.blocks: list[tuple[slice, Solver]] = []
        begin = 0
        while begin < len(values):
            last = len(self.blocks) == METRIC_FACTORS - 1
            end = len(values) if last else begin + int((values[begin:] >= values[begin] / METRIC_SPREAD).sum())
            level = np.exp(np.log(values[begin:end]).mean())
            self.blocks.append((slice(begin, end), cache.solver(scale * level, l2)))
            begin = end

    def solve(self, *parts: np.ndarray) -> list[np.ndarray]:
        """M^-1 times each of the arrays (K', p), all in one pass."""
        k = len(self.basis)
        turned = [self.basis.T @ part for part in parts]
        solved = [np.empty_like(part) for part in turned]
        for rows, solver in self.blocks:
            found = solver(np.concatenate([part[rows] for part in turned]))
            for into, part in zip(solved, np.split(found, len(parts)), strict=True):
                into[rows] = part
        return [self.basis @ part for part in solved] if k > 1 else solved


def _quasi_newton(problem: Problem, W: np.ndarray, b: np.ndarray, cache: GramCache, memory: Memory) -> Steps:
    """L-BFGS (Nocedal and Wright, algorithm 7.4) that begins with the metric; yields after every gradient."""
    l2 = np.float32(problem.l2)
    Z = (yield Product(W, False)) if W.any() else np.zeros((problem.k, problem.n), np.float32)
    P, loss, b = problem.centre(Z, b, 1e-6)
    metric: Metric | None = None
    size: np.float32 | None = None
    # step, change of the gradient, and their product
    pairs = [(s, y + l2 * s, float(np.vdot(s, y + l2 * s))) for s, y in memory.pairs]
    step = before = np.empty(0, np.float32)
    for count in itertools.count(1):
        G = yield Product(problem.residual(P), True)
        if step.size:
            memory.add(step, G - before)
        yield At(W, b, loss + problem.penalty(W), problem.gap(W, P, G))
        C = problem.class_curvature(P)
        if metric is None or np.trace(C) < METRIC_REFRESH * metric.total:
            metric, size = Metric(cache, C, problem.l2, problem.scale), None
        if step.size:
            change = memory.pairs[-1][1] + l2 * step
            if (product := float(np.vdot(step, change))) > 0:
                pairs = [*pairs[-MEMORY + 1 :], (step, change, product)]
        before, slope = G, G + l2 * W
        v = slope.copy()
        along = []
        for s, c, product in reversed(pairs):
            along.append(float(np.vdot(s, v)) / product)
            _add(v, -along[-1], c)
        if pairs and size is None:  # how much larger than the metric the curvature is
            _, c, product = pairs[-1]
            v, solved = metric.solve(v, c)
            size = np.float32(product / float(np.vdot(c, solved)))
        else:
            (v,) = metric.solve(v)
        if size is not None:
            v *= size
        for (s, c, product), a in zip(pairs, reversed(along), strict=True):
            _add(v, a - float(np.vdot(c, v)) / product, s)
        start = -float(np.vdot(slope, v))
        if start >= 0:  # rounding has used up the history
            (v,), pairs, size = metric.solve(slope), [], None
            start = -float(np.vdot(slope, v))
        D = -v
        dZ = yield Product(D, False)
        t, b, P, loss = _line_search(problem, W, Z, b, D, dZ, start, loss)
        step = np.float32(t) * D
        W = W + step
        Z = Z + np.float32(t) * dZ if count % REFRESH else (yield Product(W, False))


def _add(to: np.ndarray, factor: float, rows: np.ndarray) -> None:
    """to += factor * rows in place, both float32, contiguous: numpy would write the product down first."""
    blas.saxpy(rows.ravel(), to.ravel(), a=factor)


def _line_search(
    problem: Problem,
    W: np.ndarray,
    Z: np.ndarray,
    b: np.ndarray,
    D: np.ndarray,
    dZ: np.ndarray,
    slope: float,
    loss: float,
    chord: float = 0.0,
    most: float = math.inf,
) -> tuple[float, np.ndarray, np.ndarray, float]:
    """Step t along D, which changes the logits by dZ, with the intercept, by Newton's method in the K'+1 unknowns.

    Convex and smooth, and a trial costs no product with X. Stops where the derivative has fallen to a twentieth, or
    falls still at ``most``, and the intercept is near its optimum. ``chord``: slope of a penalty taken for linear.
    """
    own = float(problem.own(dZ).sum(dtype=np.float64)) / problem.n
    wd, dd = float(np.vdot(W, D)), float(np.vdot(D, D))
    ww = float(np.vdot(W, W))
    t, accepted = 1.0, loss + problem.l2 / 2 * ww
    here: tuple[float, np.ndarray] = (0.0, b)
    for _ in range(40):
        A = dZ * np.float32(t)
        A += Z
        A += b[:, None].astype(np.float32)
        P, loss = problem.loss(A)
        value = loss + t * chord + problem.l2 / 2 * (ww + 2 * t * wd + t * t * dd)
        if value > accepted + 1e-6 * abs(accepted):  # overshot: half way back
            t, b = (t + here[0]) / 2, (b + here[1]) / 2
            continue
        accepted, here = value, (t, b)
        dt = float(np.vdot(P, dZ)) / problem.n - own + problem.l2 * (wd + t * dd) + chord
        db = problem.intercept_gradient(P)
        if (abs(dt) <= 0.05 * abs(slope) or (t == most and dt < 0)) and np.abs(db).max() <= SLOPED:
            break
        tt, tb = problem.curvature(P, dZ)
        H = np.empty((problem.k + 1, problem.k + 1))
        H[0, 0], H[0, 1:], H[1:, 0] = tt + problem.l2 * dd, tb, tb
        H[1:, 1:] = problem.intercept_curvature(P)
        if t == most and dt < 0:  # stays there
            H[0, 1:], H[1:, 0], dt = 0, 0, 0
        move = np.linalg.solve(H, np.concatenate([[dt], db]))
        t, b = min(max(t - move[0], t / 10), 10 * t, most), b - np.clip(move[1:], -LONGEST, LONGEST)
    return t, b, P, loss


def _proximal(problem: Problem, W: np.ndarray, b: np.ndarray, cache: GramCache, memory: Memory) -> Steps:
    """Proximal quasi-Newton steps (Lee, Sun and Saunders 2014) for l1 > 0; yields after every gradient.

    Each goes towards the minimum of a model of the objective, of the penalty as it is and a quadratic loss whose
    curvature is the metric, corrected by the last pairs (compact BFGS: Byrd, Nocedal and Schnabel 1994). That minimum
    is sought without X (:func:`_inside`). Along the step the penalty is bounded by its chord, which is exact at the
    whole step: there weights are zero, and none is passed over.
    """
    Z = (yield Product(W, False)) if W.any() else np.zeros((problem.k, problem.n), np.float32)
    P, loss, b = problem.centre(Z, b, SLOPED)
    C: np.ndarray | None = None
    l1, L = problem.l1_of.astype(np.float32), 0.0
    step = before = np.empty(0, np.float32)
    for count in itertools.count(1):
        G = yield Product(problem.residual(P), True)
        if step.size:
            memory.add(step, G - before)
        before, penalty = G, problem.penalty(W)
        yield At(W, b, loss + penalty, problem.gap(W, P, G))
        now = problem.class_curvature(P)
        if C is None or not METRIC_REFRESH < np.trace(now) / np.trace(C) < 1 / METRIC_REFRESH:
            C = now
        # the others stay at zero; where they should not their slope says so after the step
        at = np.flatnonzero(W.any(axis=0) | (np.abs(G) > l1).any(axis=0))
        for pairs in (memory.pairs[-PAIRS:], []):
            model = _Model(cache, C, pairs)
            if at.size < FEWER_COLUMNS * problem.p:
                N = np.zeros_like(W)
                N[:, at], L = yield from _inside(model.take(at), l1[at], problem.l2, W[:, at], G[:, at], L)
            else:
                N, L = yield from _inside(model, l1, problem.l2, W, G, L)
            D = N - W
            chord = problem.penalty(N) - penalty - problem.l2 / 2 * float(np.vdot(N + W, D))
            start = float(np.vdot(G, D)) + problem.l2 * float(np.vdot(W, D)) + chord
            if start < 0:
                break
        else:
            return  # rounding: no step goes down
        dZ = yield Product(D, False)
        t, b, P, loss = _line_search(problem, W, Z, b, D, dZ, start, loss, chord, 1.0)
        step = D if t == 1 else np.float32(t) * D
        W = N if t == 1 else W + step
        Z = Z + np.float32(t) * dZ if count % REFRESH else (yield Product(W, False))


class _Model:
    """Curvature of the mean loss in a model of it: B = a C (x) X'X/n, corrected so that B s = y for the pairs (s, y)
    of ``memory``; a is what the last pair says."""

    def __init__(self, cache: GramCache, C: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        self.cache, self.C = cache, C.astype(np.float32)
        self.left = self.right = np.empty((0, 0), np.float32)
        if not pairs:
            return
        k = len(C)
        S, Y = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        turned = (self.C @ S.reshape(len(pairs), k, -1)).reshape(S.shape)
        S, Y, B = (rows.reshape(len(pairs), -1) for rows in (S, Y, cache.times(turned)))
        # each pair to the unit s'Bs = 1
        size = np.einsum("ij,ij->i", S, B, dtype=np.float64)
        product = np.einsum("ij,ij->i", S, Y, dtype=np.float64)
        kept = (product > CURVED * size) & (size > LEAST) & (product < size / LEAST)
        if not kept.any():
            return
        unit = (1 / np.sqrt(size[kept])).astype(np.float32)[:, None]
        S, Y, B = S[kept] * unit, Y[kept] * unit, B[kept] * unit
        along = (product / np.where(kept, size, 1))[kept][-1]
        self.C *= np.float32(along)
        B *= np.float32(along)
        SB, SY = (S @ B.T).astype(np.float64), (S @ Y.T).astype(np.float64)
        lower = np.tril(SY, -1)
        core = np.block([[(SB + SB.T) / 2, lower], [lower.T, -np.diag(np.diag(SY))]])
        values, vectors = np.linalg.eigh(core)
        sound = np.abs(values) > CURVED * np.abs(values).max()
        self.left = vectors[:, sound].T.astype(np.float32) @ np.concatenate([B, Y])
        self.right = self.left / values[sound].astype(np.float32)[:, None]

    def take(self, columns: np.ndarray) -> _Model:
        """That of a step that moves no other columns."""
        part = copy.copy(self)
        part.cache = self.cache.take(columns)
        if len(self.left):
            of_all = (len(self.left), len(self.C), -1)
            part.left, part.right = (
                rows.reshape(of_all)[:, :, columns].reshape(len(rows), -1) for rows in (self.left, self.right)
            )
        return part

    def times(self, D: np.ndarray) -> Generator[Product, Any, np.ndarray]:
        """B D, (K', columns)."""
        H: np.ndarray = yield Product(self.C @ D, False, self.cache)
        if len(self.left):
            H = H - ((self.right @ D.ravel()) @ self.left).reshape(D.shape)
        return H


def _inside(
    model: _Model, l1: np.ndarray, l2: float, W: np.ndarray, G: np.ndarray, L: float
) -> Generator[Product, Any, tuple[np.ndarray, float]]:
    """Minimise the model at W with gradient G, loosely, by accelerated proximal gradient (Beck and Teboulle 2009) with
    restarts (O'Donoghue and Candes 2015). L is the curvature met along its steps, at first a guess (0: none), and is
    tried smaller every time; that at the end comes back too. l1 (columns,) float32."""
    N = V = W
    BN = BV = np.zeros_like(W)  # B times their distance from W
    momentum, wanted = 1.0, 0.0
    for _ in range(INSIDE):
        size = np.float32(1 / L if L else 1e-3)
        U = V - size * (G + BV)
        M = np.sign(U) * np.maximum(np.abs(U) - l1 * size, 0) / (1 + np.float32(l2) * size)
        D = M - V
        weight = float(np.vdot(D, D))
        if not weight:
            return M, L
        BM = yield from model.times(M - W)
        met = float(np.vdot(D, BM - BV)) / weight
        if not L or met > 1.05 * L:
            L = max(met, 1.2 * L)
            if not L > 0:
                break
            continue
        if float(np.vdot(V - M, M - N)) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        push = np.float32((momentum - 1) / following)
        V, BV = M + push * (M - N), BM + push * (BM - BN)
        N, BN, momentum = M, BM, following
        moved = weight * L * L
        wanted = wanted or INSIDE_TO**2 * moved
        if moved < wanted:
            break
        L *= CURVATURE_DECAY
    return N, L


def _bounded(problem: Problem, gap: float, max_iterations: int) -> Probe:
    """The probe that L-BFGS-B (Byrd et al. 1995) finds from a cold start, which need not be at the gap.

    In float64 throughout, certificate included, on weights split into what is above and what is below zero: there the
    penalty is smooth. Started anew where it sees no progress, which forgets a bad history; slower than proximal steps
    where those converge, but the intercept moves with the weights, and float64 resolves columns of unlike scales.
    """
    from scipy.optimize import minimize  # a tenth of a second that few processes need

    exact = copy.copy(problem)
    exact.X, exact.y = problem.X.astype(np.float64), problem.y.astype(np.float64)
    k, p, l1 = problem.k, problem.p, problem.l1_of

    def whole(v: np.ndarray) -> tuple[float, np.ndarray]:
        W, b = (v[: k * p] - v[k * p : 2 * k * p]).reshape(k, p), v[2 * k * p :]
        P, loss = exact.loss(exact.forward(W) + b[:, None])
        G = exact.gradient(P) + exact.l2 * W
        value = loss + float(v[: 2 * k * p].reshape(-1, p).sum(axis=0) @ l1) + exact.l2 / 2 * float(np.vdot(W, W))
        return value, np.concatenate([(G + l1).ravel(), (l1 - G).ravel(), exact.intercept_gradient(P)])

    W, b = (a.astype(np.float64) for a in problem.start(None))  # where the steps stalled may lie far off
    bounds = [(0.0, None)] * (2 * k * p) + [(None, None)] * k
    left = BOUNDED * max_iterations
    best: Probe | None = None
    while True:
        settings = {"maxcor": MEMORY, "maxiter": left, "maxfun": 2 * left, "ftol": 0.0, "gtol": 1e-12}
        start = np.concatenate([np.maximum(W, 0).ravel(), np.maximum(-W, 0).ravel(), b])
        found = minimize(whole, start, jac=True, method="L-BFGS-B", bounds=bounds, options=settings)
        left -= max(1, found.nit)
        W, b = (found.x[: k * p] - found.x[k * p : 2 * k * p]).reshape(k, p), found.x[2 * k * p :]
        stored = W.astype(np.float32)  # what is certified is what is returned
        at, objective, absolute, _ = alone(exact.X, exact.measure(stored.astype(np.float64), b))
        probe = Probe(
            np.ascontiguousarray(stored.T), at.astype(np.float32), max(absolute, 0.0) / objective,
            BOUNDED * max_iterations - left, objective, problem.l1, problem.l2,
        )  # fmt: skip
        if best is None or probe.gap < best.gap:
            best = probe
        if best.gap <= gap or left <= 0 or not found.nit:
            return best
