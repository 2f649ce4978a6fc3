"""One probe on all neurons of a model of published size: beside NeuroX, scikit-learn's saga, and cyanure.

12,000 tokens x 9,984 neurons, made up: 13 layers of 768, each the one before plus a mixture of it and of a neighbour's,
so that layers are strongly correlated as in a residual stream; six classes, of the token and of its neighbour. At the
penalty of params.yaml that other tokens choose, and at a tenth of it, to the relative duality gap of params.yaml.

NeuroX minimises no squared norm but the norm itself; its weight is the one at which its objective has the same minimum
as ours. All objectives and gaps are computed here, in float64 and from the definition. cyanure, whose stopping rule is
the same relative gap, is measured where the interpreter of `--neurox-python` has it (`pip install cyanure`).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speed import neurox_peer
from speed.common import ROOT, Failed, Options, Row, fresh

ROWS, TUNE, LAYERS, WIDTH, CLASSES = 12_000, 3000, 13, 768, 6
TIMES = 10  # how much longer saga may take
PATIENCE = 600  # wall seconds that cyanure may take


def make(folder: str, rows: int, tune: int, layers: int, width: int) -> None:
    """X.npy, standardised float32 (rows, layers * width), y.npy int64; the same of ``tune`` other tokens."""
    import numpy as np

    rng = np.random.default_rng(0)
    types, every = 3000, rows + tune
    frequency = 1 / np.arange(5, types + 5)
    token = rng.choice(types, every, p=frequency / frequency.sum())
    # embeddings whose variance lies in few directions, as those of trained models do
    rotation = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
    scale = np.arange(1, width + 1, dtype=np.float32) ** np.float32(-0.5)
    embedding = (rng.standard_normal((types, width), np.float32) * scale) @ rotation
    embedding /= embedding.std()
    h, X = embedding[token], np.empty((every, layers * width), np.float32)
    for layer in range(layers):
        X[:, layer * width : (layer + 1) * width] = h
        mix = rng.standard_normal((2, width, width), np.float32) / np.sqrt(width, dtype=np.float32)
        h = h + np.float32(0.5) * np.tanh(h @ mix[0] + np.roll(h, 1, axis=0) @ mix[1])
    X -= X[:rows].mean(0)
    X /= X[:rows].std(0)
    own, beside = (embedding @ rng.standard_normal((width, CLASSES), np.float32) for _ in range(2))
    logits = (own[token] + np.roll(beside[token], 1, axis=0)) / np.sqrt(width) * 4 + rng.gumbel(size=(every, CLASSES))
    y = logits.argmax(1)
    for name, part in (("", slice(0, rows)), ("_tune", slice(rows, None))):
        np.save(Path(folder, f"X{name}.npy"), X[part])
        np.save(Path(folder, f"y{name}.npy"), y[part])


def primal(X: Any, y: Any, W: Any, b: Any, l2: float) -> float:
    """Mean loss and penalty in float64. W (columns, classes)."""
    import numpy as np

    A = X.astype(np.float64) @ W.astype(np.float64) + b
    loss = np.logaddexp.reduce(A, axis=1) - A[np.arange(len(y)), y]
    return float(loss.mean() + l2 / 2 * np.square(W.astype(np.float64)).sum())


def relative_gap(X: Any, y: Any, W: Any, b: Any, l2: float) -> float:
    """(P - D)/P in float64. The intercept is moved to its optimum first, else D is no bound."""
    import numpy as np

    A, one_hot = X.astype(np.float64) @ W.astype(np.float64), np.eye(W.shape[1])[y]
    b = b.astype(np.float64)
    for _ in range(50):
        P = np.exp(A + b - np.logaddexp.reduce(A + b, axis=1, keepdims=True))
        b = b - np.linalg.lstsq(np.diag(P.mean(0)) - P.T @ P / len(X), (P - one_hot).mean(0), rcond=1e-10)[0]
    loss = np.logaddexp.reduce(A + b, axis=1) - (A + b)[np.arange(len(y)), y]
    whole = loss.mean() + l2 / 2 * np.square(W.astype(np.float64)).sum()
    G = X.T.astype(np.float64) @ (P - one_hot) / len(X)
    entropy = -(P * np.log(np.maximum(P, 1e-300))).sum(1).mean()
    return float((whole - entropy + np.square(G).sum() / (2 * l2)) / whole)


def _data(folder: str, columns: int | None = None, name: str = "") -> tuple[Any, Any]:
    import numpy as np

    X, y = np.load(Path(folder, f"X{name}.npy")), np.load(Path(folder, f"y{name}.npy"))
    return (X if columns is None else np.ascontiguousarray(X[:, :columns])), y


def choose(folder: str, gap: float, penalties: list[float]) -> float:
    """The l2 at which a probe fitted on X predicts most of the other tokens, the largest of equals."""
    from neurosieve.probes.solver import fit

    X, y = _data(folder)
    other, truth = _data(folder, name="_tune")
    scores, probe = [], None
    for l2 in sorted(penalties, reverse=True):
        probe = fit(X, y, CLASSES, 0.0, l2, gap=gap, warm=probe)
        scores.append((float((probe.predict(other) == truth).mean()), l2))
    return max(scores)[1]


def ours(folder: str, l2: float, gap: float, columns: int | None = None) -> dict[str, float]:
    """CPU seconds of a fit from nothing, its objective and gap, the norm of its weights, accuracy on other tokens."""
    import numpy as np

    from neurosieve.probes.solver import fit

    X, y = _data(folder, columns)
    fit(X[:200, :20], y[:200], CLASSES, 0.0, 1.0)  # what is imported on the way
    began = time.process_time()
    probe = fit(X, y, CLASSES, 0.0, l2, gap=gap)
    seconds = time.process_time() - began
    W, b = probe.weights, probe.intercept
    other, truth = _data(folder, columns, "_tune")
    return {
        "seconds": seconds, "objective": primal(X, y, W, b, l2), "gap": relative_gap(X, y, W, b, l2),
        "norm": float(np.linalg.norm(W)), "score": float((probe.predict(other) == truth).mean()),
    }  # fmt: skip


def of_neurox(folder: str, file: str, l2: float) -> float:
    """The objective of what NeuroX wrote."""
    import numpy as np

    X, y = _data(folder)
    with np.load(file) as found:
        return primal(X, y, found["W"].T, found["b"], l2)


def _saga(X: Any, y: Any, l2: float, passes: int) -> tuple[float, Any, Any]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=1 / (len(X) * l2), l1_ratio=0.0, solver="saga", tol=1e-12, max_iter=passes, random_state=0
    )
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stops at max_iter is what is wanted here
        model.fit(X, y)
    return time.process_time() - began, model.coef_.T, model.intercept_


def saga(folder: str, l2: float, seconds: float) -> dict[str, float]:
    """Its objective after as many passes as take about that long, by the time of its first ones."""
    X, y = _data(folder)
    one, three = (_saga(X, y, l2, passes)[0] for passes in (1, 3))
    # a pass takes a tenth of the first at least: what is small is measured badly
    passes = max(1, round((seconds - one) / max((three - one) / 2, one / 10)) + 1)
    took, W, b = _saga(X, y, l2, passes)
    return {"seconds": took, "passes": passes, "objective": primal(X, y, W, b, l2)}


def saga_to_gap(folder: str, l2: float, gap: float, columns: int, limit: float) -> dict[str, float]:
    """Seconds of the shortest of the doubled runs that reaches the gap, the last within ``limit``; its gap."""
    X, y = _data(folder, columns)
    passes, spent = 8, 0.0
    while True:
        took, W, b = _saga(X, y, l2, passes)
        found, spent = relative_gap(X, y, W, b, l2), spent + took
        if found <= gap or spent + 2 * took > limit:
            return {"seconds": took, "gap": found}
        passes *= 2


def cyanure_to_gap(folder: str, l2: float, gap: float, columns: int) -> dict[str, float]:
    """Its own solver of choice, until it says that the gap is reached; the gap that it has."""
    import numpy as np
    from cyanure.estimators import Classifier

    X, y = _data(folder, columns)
    model = Classifier(
        loss="multiclass-logistic", penalty="l2", fit_intercept=True, lambda_1=l2, tol=gap, max_iter=5000,
        verbose=False, n_threads=1,
    )  # fmt: skip
    began = time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - began
    W, b = np.asarray(model.coef_), np.ravel(model.intercept_)
    return {"seconds": seconds, "gap": relative_gap(X, y, W if len(W) == columns else W.T, b, l2)}


def rows(options: Options) -> Iterator[Row]:
    import yaml

    probes = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["probes"]
    gap, penalties = float(probes["gap"]), [float(p["l2"]) for p in probes["penalties"] if not float(p["l1"])]
    count, tune, layers, width = options.size((ROWS, TUNE, LAYERS, WIDTH), (600, 200, 3, 32))
    place, note = options.work, neurox_peer.note(options)
    fresh(make, "fast", folder=place, rows=count, tune=tune, layers=layers, width=width)
    chosen = fresh(choose, "fast", folder=place, gap=gap, penalties=penalties).value
    what = f"a probe on all of {count:,} x {layers * width:,}, {CLASSES} classes, gap {gap:g}"
    partly: dict[str, Any] = {"partly": options.partly}
    for l2 in (chosen, chosen / 10):
        work = f"{what}, l2 {l2:g}"
        theirs = value = None
        for numerics in options.numerics:
            got = fresh(ours, numerics, folder=place, l2=l2, gap=gap).value
            facts: dict[str, Any] = {"numerics": numerics, **partly}
            if theirs is None:  # NeuroX once, without pins
                theirs = neurox_peer.run(
                    options, "probe", X=place / "X.npy", y=place / "y.npy", l2=l2 * got["norm"],
                    X_test=place / "X_tune.npy", y_test=place / "y_tune.npy", output=place / "neurox.npz",
                )  # fmt: skip
                if theirs:
                    value = fresh(of_neurox, "fast", folder=place, file=place / "neurox.npz", l2=l2).value
            score = theirs and f"accuracy on other tokens {got['score']:.3f}, NeuroX {theirs.value['score']:.3f}"
            told = "; ".join(filter(None, [f"gap {got['gap']:.1e}", score, note]))
            yield Row(
                work, got["seconds"], theirs and theirs.value["seconds"], "CPU s", "NeuroX", 0.5, note=told, **facts
            )
            yield Row(work, got["objective"], value, "objective", "NeuroX", 1, note=note, **facts)
            if numerics == options.numerics[-1]:
                other = fresh(saga, numerics, folder=place, l2=l2, seconds=TIMES * got["seconds"]).value
                told = f"saga: {other['seconds']:.1f} s, {other['passes']} passes; ours: {got['seconds']:.1f} s"
                peer = f"saga in {TIMES} times the time"
                yield Row(work, got["objective"], other["objective"], "objective", peer, 1, note=told, **facts)
    for columns in (width, layers * width):
        work = f"to gap {gap:g} on {count:,} x {columns:,}, l2 {chosen:g}"
        got = fresh(ours, "fast", folder=place, l2=chosen, gap=gap, columns=columns).value
        limit = max(10 * got["seconds"], options.size(60, 5))
        given: dict[str, Any] = {"folder": place, "l2": chosen, "gap": gap, "columns": columns}
        other = fresh(saga_to_gap, "fast", limit=limit, **given).value
        reached = other["gap"] <= gap
        told = f"saga's gap {other['gap']:.1e}" + ("" if reached else ", not reached: the time is the least it takes")
        yield Row(work, got["seconds"], other["seconds"], "CPU s", "saga", numerics="fast", note=told, **partly)
        try:
            other = fresh(cyanure_to_gap, "fast", 1, options.neurox_python, PATIENCE, **given).value
            told = f"cyanure's gap {other['gap']:.1e}"
        except Failed as error:
            other, told = {}, str(error).splitlines()[-1]
        yield Row(work, got["seconds"], other.get("seconds"), "CPU s", "cyanure", numerics="fast", note=told, **partly)
