"""Time of the probe solver against scikit-learn, to the same duality gap on the same features.

    python benchmarks/probe_solver.py [--rows 8000] [--limit 120] [--params params.yaml --model NAME --task NAME]

Without --model and --task the features are made up: seven layers of 256 units, each the one before plus a mixture of it
and of a neighbour's, so that layers are strongly correlated as in a residual stream; the class is that of the token and
of its neighbour. With them, the activations of a benchmark that has been run are read.

One line per fit: columns, penalty, start, processor seconds, iterations and gap of this solver; processor seconds of
scikit-learn (lbfgs where l1 = 0, else saga; its iterations are doubled until the gap is reached, and the run that
reached it counts), the ratio, and the share of train rows on which both predict the same. ">" stands where scikit-learn
was not there within --limit seconds. The gap is computed here, in float64 and from the definition. Writes nothing.
"""

from __future__ import annotations

import argparse
import time
import warnings

from neurosieve import numerics

if __name__ == "__main__":
    numerics.apply("portable")  # before numpy is loaded: one thread, the same kernels as the benchmark's

import numpy as np
from sklearn.linear_model import LogisticRegression

from neurosieve.artifacts import Paths
from neurosieve.config import load_params
from neurosieve.probes.features import layout, standardize_train
from neurosieve.probes.solver import GramCache, Probe, fit, row_weights

GAP = 1e-4
LAYERS, WIDTH, TYPES = 7, 256, 3000


def made_up(rows: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Standardised (rows, LAYERS * WIDTH) float32 and labels."""
    frequency = 1 / np.arange(5, TYPES + 5)
    token = rng.choice(TYPES, rows, p=frequency / frequency.sum())
    embedding = rng.standard_normal((TYPES, WIDTH)).astype(np.float32)
    h = embedding[token]
    layers = [h]
    for _ in range(LAYERS - 1):
        mix = rng.standard_normal((2, WIDTH, WIDTH)).astype(np.float32) / np.sqrt(WIDTH, dtype=np.float32)
        h = h + 0.5 * np.tanh(h @ mix[0] + np.roll(h, 1, axis=0) @ mix[1])
        layers.append(h)
    X = np.concatenate(layers, axis=1)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    own, beside = (embedding @ rng.standard_normal((WIDTH, classes)).astype(np.float32) for _ in range(2))
    logits = (own[token] + np.roll(beside[token], 1, axis=0)) / 4 + rng.gumbel(size=(rows, classes))
    return X, logits.argmax(1)


def stored(params_file: str, model: str, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Train features of a benchmark that has been run, as the probes phase makes them."""
    params = load_params(params_file)
    features = layout(Paths(params.benchmark), params, model, task)
    X = features.load("train")
    kept, standardizer = standardize_train(X, features, np.arange(features.n_neurons))
    return np.ascontiguousarray(standardizer.apply(X)[:, features.columns(np.flatnonzero(kept))]), features.labels(
        "train"
    )


def relative_gap(X: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, l1: float, l2: float) -> float:
    """(P - D)/P in float64; W (columns, K'). The intercept is moved to its optimum first, else D is not a bound."""
    Z = X @ W
    if two := W.shape[1] == 1:  # a softmax over (0, z) is the logistic loss
        Z, b = np.concatenate([np.zeros_like(Z), Z], axis=1), np.array([0.0, b[0]])
    one_hot = np.eye(Z.shape[1])[y]
    for _ in range(50):
        P = np.exp(Z + b - np.logaddexp.reduce(Z + b, axis=1, keepdims=True))
        b = b - np.linalg.lstsq(np.diag(P.mean(0)) - P.T @ P / len(X), (P - one_hot).mean(0), rcond=1e-10)[0]
    loss = np.logaddexp.reduce(Z + b, axis=1) - (Z + b)[np.arange(len(y)), y]
    primal = loss.mean() + l1 * np.abs(W).sum() + l2 / 2 * np.square(W).sum()
    G = X.T @ (P - one_hot)[:, 1 if two else 0 :] / len(X)
    entropy = -(P * np.log(np.maximum(P, 1e-300))).sum(1).mean()
    dual = entropy - np.square(np.maximum(np.abs(G) - l1, 0)).sum() / (2 * l2)
    return float((primal - dual) / primal)


def theirs(X: np.ndarray, y: np.ndarray, l1: float, l2: float, limit: float) -> tuple[float, LogisticRegression | None]:
    """Processor seconds of the shortest of the doubled runs that reaches the gap, and the model; None at the limit."""
    kind = {"solver": "saga", "l1_ratio": l1 / (l1 + l2)} if l1 else {"solver": "lbfgs"}
    exact, iterations, began = X.astype(np.float64), 25, time.process_time()
    while True:
        model = LogisticRegression(C=1 / (len(X) * (l1 + l2)), tol=1e-12, max_iter=iterations, random_state=0, **kind)
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stops at max_iter is what is wanted here
            model.fit(X, y)
        seconds = time.process_time() - start
        if relative_gap(exact, y, model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64), l1, l2) <= GAP:
            return seconds, model
        if time.process_time() - began + 2 * seconds > limit:
            return seconds, None
        iterations *= 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--classes", type=int, default=12)
    parser.add_argument("--limit", type=float, default=120, help="seconds scikit-learn may take for one fit")
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--model")
    parser.add_argument("--task")
    given = parser.parse_args()
    numerics.check("portable")
    if given.model and given.task:
        X, y = stored(given.params, given.model, given.task)
    else:
        X, y = made_up(given.rows, given.classes, np.random.default_rng(0))
    present, y = np.unique(y, return_inverse=True)
    classes = len(present)
    print(f"{X.shape[0]} rows, {X.shape[1]} columns, {classes} classes; to a relative duality gap of {GAP:g}")
    print("columns     l1     l2 start   ours s iterations     gap  theirs s    ratio  same predictions")

    start = time.process_time()
    first = fit(X[:, -WIDTH:], y, classes, 0.0, 0.1)
    cache = GramCache(X, row_weights(first, X[:, -WIDTH:]))
    print(
        f"Gram matrix of all columns, rows weighted by a probe on the last {WIDTH}: {time.process_time() - start:.2f} s"
    )

    def line(columns: int, l1: float, l2: float, warm: Probe | None) -> Probe:
        part = X[:, :columns]
        own_cache = cache.take(slice(0, columns))
        start = time.process_time()
        probe = fit(part, y, classes, l1, l2, gap=GAP, warm=warm, cache=own_cache)
        seconds = time.process_time() - start
        found = relative_gap(
            part.astype(np.float64), y, probe.weights.astype(np.float64), probe.intercept.astype(np.float64), l1, l2
        )
        other, model = theirs(part, y, l1, l2, given.limit)
        same = "" if model is None else f"{(model.predict(part) == probe.predict(part)).mean():.4f}"
        begin, over = "cold" if warm is None else "warm", ">" if model is None else " "
        print(
            f"{columns:7d} {l1:6g} {l2:6g} {begin:5s} {seconds:8.2f} {probe.iterations:10d} {found:7.1e} "
            f"{over}{other:8.1f} {over}{other / seconds:7.1f}  {same}",
            flush=True,
        )
        return probe

    for columns in (X.shape[1], X.shape[1] // 8):
        probe = None
        for l2 in (0.1, 0.01, 0.003):
            probe = line(columns, 0.0, l2, probe)
        line(columns, 0.001, 0.01, None)


if __name__ == "__main__":
    main()
