"""Are single neurons a good choice of directions? Principal directions beside the chosen neurons.

Question: how many principal directions hold 99 % of the variance of the activations, and how well does a probe read the
task from the first k of them, beside k chosen neurons and k random ones?

Null: k random neurons of the same layers as the first k chosen ones. The directions know nothing of the labels, the
chosen neurons do: the headline asks whether directions are better than neurons that know as little.

Source: eigenvectors of the correlation matrix of all neurons, which are the right singular vectors of the standardised
activations; in the layer with most chosen neurons beside them an online Hebbian rule, the generalised Hebbian algorithm
(Sanger 1989, Neural Networks 2, 459-473): unit i learns W_i += rate_i * y_i * (x - sum over j <= i of y_j W_j). A rate
of its own for each unit, RATE over the running mean of its y^2, gives small directions a chance (Lv, Yi and Tan 2007,
IEEE Transactions on Neural Networks 18, 910-916, count directions with such a rate).

found: "directions": {"features", "variance_share", "needed": directions that hold the share, "participation_ratio",
"scores": [{"k": columns, for pairs several of a neuron, "directions", "chosen": judge scores, "random": {mean, low,
high}, "variance_held", "directions_less_chosen", "chosen_less_random", "directions_less_random": {difference, low,
high} paired over files}]};
"two_ways": {"layer", "units", "epochs", "needed", "needed_hebbian", "agreement": [{"directions", "shared": mean squared
cosine of the principal angles, "by_chance", "largest_angle" in degrees}]}. Reads and writes no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, subspace_angles

from neurosieve.concepts.lenses import Headline, LensInput, LensReport
from neurosieve.concepts.lenses._fitting import Report, Target, busiest_layer, drawn, standardised, target_of

UNITS = ("token", "sequence", "pair")
NUMBERS = True
RATE = 0.05  # of the Hebbian rule, in units of a direction's own variance
BATCH = 32  # rows whose changes are added up before the weights move


@dataclass(frozen=True)
class Directions:
    """Orthonormal columns, (features, directions), by falling variance; variance (directions,)."""

    vectors: np.ndarray
    variance: np.ndarray

    def needed(self, share: float) -> int:
        """How many of the first hold ``share`` of the variance of all."""
        held = np.cumsum(self.variance) / self.variance.sum()
        return int(np.searchsorted(held, share - 1e-12) + 1)


def principal(X: np.ndarray) -> Directions:
    """Of standardised rows X (rows, features): eigenvectors of X'X/n, of XX'/n where that is smaller; those without
    variance are left out of the latter. Each has its largest entry above 0."""
    wide = X.astype(np.float64)
    if len(X) >= X.shape[1]:
        values, vectors = eigh(wide.T @ wide / len(X))
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    else:
        values, rows = eigh(wide @ wide.T / len(X))
        some = values[::-1] > 1e-10 * values[-1]
        values, rows = values[::-1][some], rows[:, ::-1][:, some]
        vectors = wide.T @ rows / np.sqrt(len(X) * values)
    sign = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return Directions(vectors * sign, values)


def hebbian(X: np.ndarray, directions: int, epochs: int, seed: list[int]) -> np.ndarray:
    """Weights (directions, features) that the generalised Hebbian algorithm learns from X, rows in a seeded order.

    They are near orthonormal, and of length 1, once it has converged; the rate falls as 1 / epoch.
    """
    rng = np.random.default_rng(seed)
    wide = X.astype(np.float64)
    W = rng.standard_normal((directions, X.shape[1]))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    power = np.square(wide[: 8 * BATCH] @ W.T).mean(axis=0)
    for epoch in range(epochs):
        order = rng.permutation(len(wide))
        for start in range(0, len(wide), BATCH):
            x = wide[order[start : start + BATCH]]
            y = x @ W.T
            power += 0.05 * (np.square(y).mean(axis=0) - power)
            rate = RATE / (1 + epoch) * min(1.0, (start + BATCH) / len(wide) + epoch) / np.maximum(power, 1e-12)
            W += rate[:, None] * (y.T @ x - np.tril(y.T @ y) @ W) / len(x)
    return W


def span_variance(X: np.ndarray, W: np.ndarray) -> Directions:
    """The orthonormal basis of the spans of the first 1, 2, ... rows of W, and the variance of X along each."""
    basis = np.linalg.qr(W.T)[0]
    wide = X.astype(np.float64)
    return Directions(basis, np.square(wide @ basis).mean(axis=0))


def agreement(one: np.ndarray, other: np.ndarray, sizes: list[int]) -> list[Report]:
    """Principal angles between the spans of the first k columns of each: mean squared cosine (1: the same span; of
    random spans k / features), and the largest angle in degrees."""
    found = []
    for k in sizes:
        cosines = np.linalg.svd(one[:, :k].T @ other[:, :k], compute_uv=False)
        angle = float(np.degrees(subspace_angles(one[:, :k], other[:, :k])[0]))
        shared = float(np.square(np.clip(cosines, 0, 1)).mean())
        found.append({"directions": k, "shared": shared, "by_chance": k / len(one), "largest_angle": angle})
    return found


def score_sizes(
    target: Target,
    found: Directions,
    train: np.ndarray,
    judge: np.ndarray,
    chosen: list[np.ndarray],
    random: list[np.ndarray],
    share: float,
) -> Report:
    """ "directions" of the report.

    train, judge : float32 (rows, columns of all neurons), standardised. chosen : for each size k the columns (k,) of
    the first k chosen neurons. random : (draws, k) each, those of random neurons.
    """
    most = max(len(own) for own in chosen)
    first = found.vectors[:, :most].astype(np.float32)
    along, judged_along = standardised(train @ first, judge @ first)
    entries = []
    for own, draws in zip(chosen, random, strict=True):
        k = min(len(own), along.shape[1])
        of_directions = target.scored(np.ascontiguousarray(along[:, :k]), np.ascontiguousarray(judged_along[:, :k]))
        of_chosen = target.scored(train[:, own], judge[:, own])
        of_random = [target.scored(train[:, draw], judge[:, draw]) for draw in draws]
        entries.append(
            {
                "k": k,
                "directions": of_directions.value,
                "chosen": of_chosen.value,
                "random": drawn([judged.value for judged in of_random]),
                "draws": [judged.value for judged in of_random],
                "variance_held": float(found.variance[:k].sum() / found.variance.sum()),
                "directions_less_chosen": target.difference(of_directions, [of_chosen]),
                "chosen_less_random": target.difference(of_chosen, of_random),
                "directions_less_random": target.difference(of_directions, of_random),
            }
        )
    return {
        "features": train.shape[1],
        "variance_share": share,
        "needed": found.needed(share),
        "participation_ratio": float(found.variance.sum() ** 2 / np.square(found.variance).sum()),
        "scores": entries,
    }


def two_ways(layer: np.ndarray, share: float, epochs: int, seed: list[int]) -> Report:
    """The Hebbian rule beside the eigenvectors in one layer, float32 (rows, units), standardised."""
    exact = principal(layer)
    learnt = span_variance(layer, hebbian(layer, layer.shape[1], epochs, seed))
    sizes = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k < len(exact.variance)]
    return {
        "units": layer.shape[1],
        "epochs": epochs,
        "needed": exact.needed(share),
        "needed_hebbian": learnt.needed(share),
        "agreement": agreement(exact.vectors, learnt.vectors, sizes),
    }


def look(data: LensInput) -> LensReport:
    """See the module's docstring."""
    settings, target, usable = data.settings, target_of(data), data.usable
    train, judge = data.matrix("train", usable), data.matrix("judge", usable)
    rng = data.rng("rows")
    rows = np.sort(rng.permutation(len(train))[: settings.rows])
    found = principal(train[rows])
    n = len(data.chosen)
    sizes = sorted({min(k, n) for k in settings.sizes})

    def columns(neurons: np.ndarray) -> np.ndarray:
        return data.features.columns(np.searchsorted(usable, neurons))

    report = score_sizes(
        target,
        found,
        train,
        judge,
        [columns(data.chosen[:k]) for k in sizes],
        [np.stack([columns(draw) for draw in data.random_sets(data.chosen[:k], settings.draws)]) for k in sizes],
        settings.share,
    )
    layer = busiest_layer(data)
    here = data.features.columns(np.flatnonzero(usable // data.width == layer))
    seed = [int(part) for part in data.rng("hebbian").integers(2**32, size=4)]
    both = {"layer": layer, **two_ways(train[rows][:, here], settings.share, settings.epochs, seed)}
    draws = np.array([entry.pop("draws") for entry in report["scores"]])
    of = ", ".join(str(entry["k"]) for entry in report["scores"])
    told = f"judge score of the first directions, mean over {of} of them"
    value = float(np.mean([entry["directions"] for entry in report["scores"]]))
    return LensReport(Headline(told, value, draws.mean(axis=0)), {"directions": report, "two_ways": both})
