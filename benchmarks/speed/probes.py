"""Probes on all neurons, on layers and prefixes, along penalties, and on control labels, to a stated duality gap.

The features are made up: layers that are each the one before plus a mixture of it and of its neighbour's, so that they
are correlated as in a residual stream, of a spectrum like that of the bundled model's hidden states (nine tenths of the
variance in 300 directions); the class is that of the token and of its neighbour. Beside ours:

- NeuroX, which stops after ten epochs and states no gap. Its penalty is the root of the sum of squares: it is given the
  weight with which ours would be its minimum too. The objective is ours, at the weights and intercepts of either.
- scikit-learn's saga, given ten times our seconds; and saga and cyanure until our gap is reached, which is computed
  here in float64 from the definition. cyanure, which states a gap of its own, is no dependency: CYANURE_PYTHON names an
  interpreter that has it; absent: not measured.
- each fit by itself: from nothing, with a Gram matrix of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from speed import neurox_peer
from speed.common import Failed, Options, Row, fresh, growth

GAP = 1e-4
LAYERS, WIDTH, CLASSES = 13, 768, 6
ROWS, TUNE = 12_000, 2_000
GRID = (0.1, 0.03, 0.01, 0.003)  # the default benchmark's penalties, l1 = 0
SMALL = (7, 256)  # layers and width of the bundled model
TYPES = 3000
L1S = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03)
L2S = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
MOST = 100  # times our seconds that another solver may take to our gap


def make(folder: str, rows: int, tune: int, layers: int, width: int, classes: int) -> None:
    """Standardised X.npy float32 (rows, layers * width) and y.npy, and those of tune."""
    import numpy as np

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    every = rows + tune
    frequency = 1 / np.arange(5, TYPES + 5)
    token = rng.choice(TYPES, every, p=frequency / frequency.sum())
    falling = np.arange(1, width + 1, dtype=np.float32) ** np.float32(-0.5)
    turn = np.linalg.qr(rng.standard_normal((width, width)).astype(np.float32))[0]
    embedding = (rng.standard_normal((TYPES, width), np.float32) * falling) @ turn
    embedding /= embedding.std()
    h = embedding[token]
    X = np.empty((every, layers * width), np.float32)
    X[:, :width] = h
    for layer in range(1, layers):
        mix = rng.standard_normal((2, width, width), np.float32) / np.float32(width**0.5)
        h = h + 0.5 * np.tanh(h @ mix[0] + np.roll(h, 1, axis=0) @ mix[1])
        X[:, layer * width : (layer + 1) * width] = h
    X -= X[:rows].mean(axis=0)
    X /= X[:rows].std(axis=0)
    own, beside = (embedding @ rng.standard_normal((width, classes)).astype(np.float32) for _ in range(2))
    logits = (own[token] + np.roll(beside[token], 1, axis=0)) / (width**0.5 / 4) + rng.gumbel(size=(every, classes))
    y = logits.argmax(axis=1)
    for name, part in (("", slice(0, rows)), ("_tune", slice(rows, every))):
        np.save(place / f"X{name}.npy", X[part])
        np.save(place / f"y{name}.npy", y[part])


def _load(folder: str, name: str = "") -> tuple[Any, Any]:
    import numpy as np

    return np.load(Path(folder, f"X{name}.npy")), np.load(Path(folder, f"y{name}.npy"))


def fits(folder: str, penalties: list[float], rows: int | None = None, columns: int | None = None) -> dict[str, Any]:
    """The probes of these penalties on all columns, their products taken together: seconds with all that they need;
    objectives, gaps, tune accuracies and norms of the weights; weights in ours_<i>.npz."""
    import numpy as np

    from neurosieve.probes.solver import fitting, gram_of, together

    X, y = _load(folder)
    X, y = np.ascontiguousarray(X[:rows, :columns]), y[:rows]
    classes, every = int(y.max()) + 1, slice(0, X.shape[1])
    start = time.process_time()
    cache = gram_of(X)
    found = together(X, [(every, fitting(X, y, classes, 0.0, l2, GAP, cache=cache)) for l2 in penalties])
    seconds = time.process_time() - start
    for i, probe in enumerate(found):
        np.savez(Path(folder, f"ours_{i}.npz"), W=probe.weights.T, b=probe.intercept)
    tune, y_tune = _load(folder, "_tune")
    return {
        "seconds": seconds,
        "objectives": [p.objective for p in found],
        "gaps": [p.gap for p in found],
        "tune": [float((p.predict(tune[:, every]) == y_tune).mean()) for p in found],
        "norms": [float(np.linalg.norm(p.weights)) for p in found],
    }


def objective(folder: str, weights: str, l1: float, l2: float) -> float:
    """Of the W (K, columns) and b of an .npz file, in float64."""
    import numpy as np

    X, y = _load(folder)
    stored = np.load(weights)
    W = stored["W"].astype(np.float64)
    Z = (X @ W.T.astype(np.float32)).astype(np.float64) + stored["b"]
    loss = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(y)), y]
    return float(loss.mean() + l1 * np.abs(W).sum() + l2 / 2 * np.square(W).sum())


def saga(folder: str, l2: float, seconds: float) -> dict[str, float]:
    """scikit-learn's saga for so many passes as fit into ``seconds``: what it took, passes, objective."""
    import warnings

    import numpy as np
    from sklearn.linear_model import LogisticRegression

    X, y = _load(folder)

    def run(passes: int) -> tuple[float, Any]:
        model = LogisticRegression(C=1 / (len(X) * l2), solver="saga", tol=1e-12, max_iter=passes, random_state=0)
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stops at max_iter is what is wanted here
            model.fit(X, y)
        return time.process_time() - start, model

    one, two = run(1)[0], run(2)[0]
    passes = max(1, int((seconds - one) / max(two - one, 1e-3)) + 1)
    took, model = run(passes)
    stored = str(Path(folder, "saga.npz"))
    np.savez(stored, W=model.coef_, b=model.intercept_)
    return {"seconds": took, "passes": passes, "objective": objective(folder, stored, 0.0, l2)}


def relative_gap(X: Any, y: Any, W: Any, b: Any, l1: float, l2: float) -> float:
    """(P - D)/P of W (columns, K) in float64. The intercept is moved to its optimum first, else D is not a bound."""
    import numpy as np

    Z, one_hot = X @ W, np.eye(W.shape[1])[y]
    for _ in range(50):
        P = np.exp(Z + b - np.logaddexp.reduce(Z + b, axis=1, keepdims=True))
        b = b - np.linalg.lstsq(np.diag(P.mean(0)) - P.T @ P / len(X), (P - one_hot).mean(0), rcond=1e-10)[0]
    loss = np.logaddexp.reduce(Z + b, axis=1) - (Z + b)[np.arange(len(y)), y]
    primal = loss.mean() + l1 * np.abs(W).sum() + l2 / 2 * np.square(W).sum()
    G = X.T @ (P - one_hot) / len(X)
    entropy = -(P * np.log(np.maximum(P, 1e-300))).sum(axis=1).mean()
    dual = entropy - np.square(np.maximum(np.abs(G) - l1, 0)).sum() / (2 * l2)
    return float((primal - dual) / primal)


def to_gap(folder: str, solver: str, l1: float, l2: float, limit: float) -> dict[str, float]:
    """Seconds of the shortest of the runs with doubled iterations that reaches GAP; of the longest within ``limit``
    seconds where none does, and the gap there."""
    import warnings

    import numpy as np

    X, y = _load(folder)
    exact = X.astype(np.float64)
    if solver == "ours":
        from neurosieve.probes.solver import fit

        start = time.process_time()
        probe = fit(X, y, int(y.max()) + 1, l1, l2, GAP)
        took = time.process_time() - start
        W, b = probe.weights.astype(np.float64), probe.intercept.astype(np.float64)
        return {"seconds": took, "gap": relative_gap(exact, y, W, b, l1, l2)}
    iterations, began = 20, time.process_time()
    while True:
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            W, b = _OTHERS[solver](X, y, l1, l2, iterations)
        took = time.process_time() - start
        gap = relative_gap(exact, y, W.astype(np.float64), b.astype(np.float64), l1, l2)
        if gap <= GAP or time.process_time() - began + 2 * took > limit:
            return {"seconds": took, "gap": gap}
        iterations *= 2


def _saga(X: Any, y: Any, l1: float, l2: float, iterations: int) -> tuple[Any, Any]:
    from sklearn.linear_model import LogisticRegression

    total = l1 + l2
    model = LogisticRegression(
        C=1 / (len(X) * total), l1_ratio=l1 / total, solver="saga", tol=1e-12, max_iter=iterations, random_state=0
    ).fit(X, y)
    return model.coef_.T, model.intercept_


def _cyanure(X: Any, y: Any, l1: float, l2: float, iterations: int) -> tuple[Any, Any]:
    from cyanure.estimators import Classifier

    penalty = {"penalty": "elasticnet", "lambda_1": l1, "lambda_2": l2} if l1 else {"penalty": "l2", "lambda_1": l2}
    model = Classifier(
        loss="multiclass-logistic", tol=1e-9, max_iter=iterations, n_threads=1, verbose=False, **penalty
    ).fit(X, y)
    return model.coef_.reshape(X.shape[1], -1), model.intercept_.ravel()


_OTHERS: dict[str, Callable[..., tuple[Any, Any]]] = {"saga": _saga, "cyanure": _cyanure}


def _penalties() -> list[Any]:
    from neurosieve.config import Penalty
    from neurosieve.probes.fit import strongest_first

    return strongest_first([Penalty(l1=l1, l2=l2) for l1 in L1S for l2 in L2S])


def shared(folder: str, what: str, layers: int, alone: bool, limit: int | None = None) -> dict[str, Any]:
    """Seconds and objectives of many fits, as the phases make them or each ``alone``: from nothing, with a Gram matrix
    of its own. what : penalties, layers, prefixes or controls; ``limit`` of the fits, every so many of them."""
    import numpy as np

    from neurosieve.config import Params, Penalty, Probes
    from neurosieve.probes.fit import path
    from neurosieve.probes.solver import fit, fitting, gram_of, row_weights, together

    X, y = _load(folder)
    k, width = int(y.max()) + 1, X.shape[1] // layers
    sets = {
        "penalties": [slice(0, X.shape[1])],
        "layers": [slice(i * width, (i + 1) * width) for i in range(layers)],
        "prefixes": [slice(0, (i + 1) * width) for i in range(1, layers)],
        "controls": [slice(0, X.shape[1])],
    }[what]
    penalties = _penalties() if what == "penalties" else [Penalty(l1=0.0, l2=l2) for l2 in GRID]
    labels = [y]
    if what == "controls":
        kinds = np.random.default_rng(0).integers(0, k, (5, TYPES))
        types = np.unique(X[:, : min(8, width)], axis=0, return_inverse=True)[1] % TYPES
        penalties, labels = [Penalty(l1=0.0, l2=0.01)], [of_type[types] for of_type in kinds]
    jobs = [(c, own, p) for c in sets for own in labels for p in penalties]
    every = max(1, len(jobs) // limit) if limit else 1
    some = jobs[::every]
    start = time.process_time()
    if alone:
        probes = [fit(np.ascontiguousarray(X[:, c]), own, k, p.l1, p.l2, GAP) for c, own, p in some]
        return {
            "seconds": (time.process_time() - start) * len(jobs) / len(some),
            "objectives": [p.objective for p in probes],
            "at": list(range(0, len(jobs), every)),
            "of": len(jobs),
        }
    if what == "controls":
        cache = gram_of(X)
        found = [together(X, [(sets[0], fitting(X, own, k, 0.0, 0.01, GAP, cache=cache)) for own in labels])]
    else:
        weights = None
        if what == "prefixes":
            first = X[:, :width]
            weights = row_weights(fit(first, y, k, 0.0, 0.01, GAP), first)
        gram = gram_of(X, weights) if what != "layers" else None
        params = Params.model_construct(probes=Probes.model_construct(gap=GAP, max_iterations=2000))
        paths = []
        for c in sets:
            part = X[:, c]
            paths.append((c, path(part, y, k, penalties, params, gram_of(part) if gram is None else gram.take(c))))
        found = together(X, paths)
    return {"seconds": time.process_time() - start, "objectives": [p.objective for each in found for p in each]}


def rows(options: Options) -> Iterator[Row]:
    layers, width, count, tune = options.size((LAYERS, WIDTH, ROWS, TUNE), (4, 48, 600, 200))
    folder, small = options.work / "base", options.work / "small"
    shape = f"{count:,} x {layers * width:,}, {CLASSES} classes"
    fresh(make, "fast", folder=folder, rows=count, tune=tune, layers=layers, width=width, classes=CLASSES)
    grid = fresh(fits, "fast", folder=folder, penalties=GRID).value
    chosen = GRID[grid["tune"].index(max(grid["tune"]))]
    two = [chosen, chosen / 10]
    for numerics in options.numerics:
        facts: dict[str, Any] = {"numerics": numerics, "partly": options.partly}
        got = fresh(fits, numerics, folder=folder, penalties=two).value
        told = f"l2 {two[0]:g} (chosen on tune) and {two[1]:g}, gaps {got['gaps'][0]:.1e} and {got['gaps'][1]:.1e}"
        theirs = [
            neurox_peer.run(
                options,
                "probe",
                X=folder / "X.npy",
                y=folder / "y.npy",
                l2=l2 * norm,
                output=folder / f"neurox_{i}.npz",
            )
            for i, (l2, norm) in enumerate(zip(two, got["norms"], strict=True))
        ]
        seconds = None if None in theirs else sum(each.value["seconds"] for each in theirs if each is not None)
        yield Row(
            f"two probes of {shape}, gap {GAP:g}", got["seconds"], seconds, "CPU s", "NeuroX", 0.5,
            note="; ".join(filter(None, [told, neurox_peer.note(options)])), **facts,
        )  # fmt: skip
        for i, l2 in enumerate(two):
            other = None
            if theirs[i] is not None:
                other = fresh(
                    objective, numerics, folder=folder, weights=folder / f"neurox_{i}.npz", l1=0.0, l2=l2
                ).value
            yield Row(f"its objective at l2 {l2:g}", got["objectives"][i], other, "objective", "NeuroX", 1, **facts)
        if numerics == options.numerics[-1]:
            one = fresh(fits, numerics, folder=folder, penalties=two[:1]).value
            slow = fresh(saga, numerics, folder=folder, l2=two[0], seconds=10 * one["seconds"]).value
            spent = f"ours {one['seconds']:.3g} s; {slow['passes']} passes in {slow['seconds']:.3g} s"
            yield Row(
                f"objective at l2 {two[0]:g}, saga given ten times our seconds", one["objectives"][0],
                slow["objective"], "objective", "saga", 1, note=spent, **facts,
            )  # fmt: skip
    numerics = options.numerics[0]
    facts = {"numerics": numerics, "partly": options.partly}
    some = [count // 4, count // 2, count]
    costs = [fresh(fits, numerics, folder=folder, penalties=two[:1], rows=n).value["seconds"] for n in some]
    yield growth(f"a probe, {layers * width:,} neurons, rows x1 to x4", some, costs, 1, "CPU s", **facts)
    some = [layers * width // part for part in (8, 4, 2, 1)]
    costs = [fresh(fits, numerics, folder=folder, penalties=two[:1], columns=p).value["seconds"] for p in some]
    yield growth(f"a probe, {count:,} rows, neurons x1 to x8", some, costs, 1, "CPU s", **facts)

    layers, width = options.size(SMALL, (3, 32))
    count = options.size(6000, 400)
    shape = f"{count:,} x {layers * width:,}, {CLASSES} classes"
    fresh(make, "fast", folder=small, rows=count, tune=tune, layers=layers, width=width, classes=CLASSES)
    yield from _equal_gap(options, small, shape, facts)
    for what, title, limit in (
        ("penalties", f"{len(L1S) * len(L2S)} penalties, {len(L2S)} of them with l1 = 0", 12),
        ("layers", f"all single layers, {len(GRID)} penalties", None),
        ("prefixes", f"all prefixes of layers, {len(GRID)} penalties", None),
        ("controls", "5 control tasks", None),
    ):
        ours = fresh(shared, numerics, folder=small, what=what, layers=layers, alone=False).value
        each = fresh(shared, numerics, folder=small, what=what, layers=layers, alone=True, limit=limit).value
        apart = max(
            abs(ours["objectives"][at] / value - 1) for at, value in zip(each["at"], each["objectives"], strict=True)
        )
        note = f"objectives equal to {apart:.0e}" + (
            f"; each alone: {len(each['at'])} of {each['of']}, scaled up" if limit else ""
        )
        yield Row(f"{title}: {shape}", ours["seconds"], each["seconds"], "CPU s", "each alone", 5, note=note, **facts)


def _equal_gap(options: Options, folder: Path, shape: str, facts: dict[str, Any]) -> Iterator[Row]:
    """Seconds to our gap of the others, without l1 and with it."""
    numerics = facts["numerics"]
    for l1, l2 in ((0.0, 0.01), (0.001, 0.01)):
        ours = fresh(to_gap, numerics, folder=folder, solver="ours", l1=l1, l2=l2, limit=0).value
        for solver, python in (("saga", None), ("cyanure", os.environ.get("CYANURE_PYTHON", ""))):
            theirs, note = None, ""
            if python != "":
                limit = options.size(MOST, 5) * max(ours["seconds"], 0.05)
                try:
                    found = fresh(
                        to_gap, numerics, python=python, folder=folder, solver=solver, l1=l1, l2=l2, limit=limit
                    ).value
                except Failed as error:
                    note = str(error).splitlines()[-1]
                else:
                    theirs = found["seconds"]
                    note = "" if found["gap"] <= GAP else f"not there: its gap is {found['gap']:.0e}"
            yield Row(
                f"to a gap of {GAP:g}, l1 {l1:g}, l2 {l2:g}: {shape}", ours["seconds"], theirs, "CPU s", solver, 1,
                note=note, **facts,
            )  # fmt: skip
