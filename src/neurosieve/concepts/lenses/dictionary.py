"""Latents of a sparse autoencoder as a basis beside the neurons.

Question: does a task need fewer latents of a sparse autoencoder, trained on the activations of the layer that has most
of the chosen neurons, than neurons of that layer?

Null: dictionaries of as many random directions with as many active latents, not trained, several draws; for the number
needed also random rotations of the neurons, which hold the same and single out no axis. All bases are put in order by
the ranking `greedy` on the same train rows.

Source: sparse autoencoders after Bricken et al. 2023 and Cunningham et al. 2024 (ICLR), with the TopK activation of
Gao et al. 2024 (arXiv 2406.04093): z = relu of the largest ``active`` of (x - b) E + e, the others 0, and x' = z D + b,
rows of D of length 1; squared error, Adam (Kingma and Ba 2015). Labels play no part in the training.

found: "layer", "neurons", "latents", "active", "r2": share of the variance of the standardised activations that is
rebuilt, {train, judge}, "dead": latents that no train row activates, "score": judge score of all neurons of the layer,
"least": that less the margin of the task, "needed": {neurons, latents, random: [...], rotated: [...]: the smallest
tested number, in order, whose judge score is at least that, or null}, "curves": {neurons, latents: [{n, judge}]}, "at":
{"n", "latents", "neurons", "latents_less_neurons": {difference, low, high}, "random": {mean, low, high}}. Reads and
writes no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurosieve.concepts.lenses import Headline, LensInput, LensReport
from neurosieve.concepts.lenses._fitting import (
    Judged,
    Report,
    Target,
    busiest_layer,
    drawn,
    sizes_up_to,
    standardised,
    target_of,
)
from neurosieve.probes import rankings
from neurosieve.probes.rankings.greedy import DEPTH

UNITS = ("token", "sequence")
NUMBERS = True
DECAY = (0.9, 0.999)  # of Adam's two means
EPSILON = 1e-8


@dataclass
class Autoencoder:
    """encoder (d, m), encoder_bias (m,), decoder (m, d) with rows of length 1, bias (d,), float32; active: of a row."""

    encoder: np.ndarray
    encoder_bias: np.ndarray
    decoder: np.ndarray
    bias: np.ndarray
    active: int

    @classmethod
    def random(cls, width: int, latents: int, active: int, rng: np.random.Generator) -> Autoencoder:
        """Random directions, each read along itself."""
        decoder = rng.standard_normal((latents, width)).astype(np.float32)
        decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
        zeros = (np.zeros(n, np.float32) for n in (latents, width))
        return cls(decoder.T.copy(), next(zeros), decoder, next(zeros), min(active, latents))

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Latents float32 (rows, m) of standardised rows (rows, d); ties at the last place are all kept."""
        Z = (X - self.bias) @ self.encoder + self.encoder_bias
        last = np.partition(Z, Z.shape[1] - self.active, axis=1)[:, Z.shape[1] - self.active, None]
        return np.where((last <= Z) & (Z > 0), Z, np.float32(0))

    def decode(self, Z: np.ndarray) -> np.ndarray:
        return np.asarray(Z @ self.decoder + self.bias)

    def gradients(self, X: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """Mean over rows of the summed squared error, and its gradients in the order of :attr:`weights`."""
        Z = self.encode(X)
        error = self.decode(Z) - X
        back = error * np.float32(2 / len(X))
        into = (back @ self.decoder.T) * (Z > 0)
        bias = back.sum(axis=0) - into.sum(axis=0) @ self.encoder.T
        loss = float(np.square(error).sum(dtype=np.float64) / len(X))
        return loss, [(X - self.bias).T @ into, into.sum(axis=0), Z.T @ back, bias]

    @property
    def weights(self) -> list[np.ndarray]:
        return [self.encoder, self.encoder_bias, self.decoder, self.bias]


def train(
    X: np.ndarray, latents: int, active: int, epochs: int, batch: int, rate: float, rng: np.random.Generator
) -> Autoencoder:
    """An autoencoder of standardised rows X, float32 (rows, d), batches in an order drawn from ``rng``."""
    made = Autoencoder.random(X.shape[1], latents, active, rng)
    means = [[np.zeros_like(w), np.zeros_like(w)] for w in made.weights]
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch):
            step += 1
            _, gradients = made.gradients(X[order[start : start + batch]])
            scale = np.float32(rate * np.sqrt(1 - DECAY[1] ** step) / (1 - DECAY[0] ** step))
            for weight, gradient, (first, second) in zip(made.weights, gradients, means, strict=True):
                first += np.float32(1 - DECAY[0]) * (gradient - first)
                second += np.float32(1 - DECAY[1]) * (np.square(gradient) - second)
                weight -= scale * first / (np.sqrt(second) + np.float32(EPSILON))
            made.decoder /= np.linalg.norm(made.decoder, axis=1, keepdims=True)
    return made


def rebuilt(made: Autoencoder, X: np.ndarray) -> float:
    """R2 over all columns together: 1 - summed squared error / summed squares about the column means."""
    error = np.square(made.decode(made.encode(X)) - X).sum(dtype=np.float64)
    return float(1 - error / np.square(X - X.mean(axis=0, dtype=np.float64)).sum())


@dataclass(frozen=True)
class Basis:
    """Standardised columns of train and judge, best first: float32 (rows, at most DEPTH)."""

    train: np.ndarray
    judge: np.ndarray

    @classmethod
    def of(cls, train: np.ndarray, judge: np.ndarray, target: Target, rows: np.ndarray, keep: int = DEPTH) -> Basis:
        """``train`` and ``judge`` in the order of the ranking `greedy` on the train ``rows``; the first ``keep``."""
        train, judge = standardised(train, judge)
        outputs = np.zeros((train.shape[1], 1 if target.n_classes in (0, 2) else target.n_classes), np.float32)
        given = rankings.RankingInput(train[rows], target.train[rows], outputs, 1, target.n_classes)
        first = rankings.load("greedy")(given).order[:keep]
        return cls(np.take(train, first, axis=1), np.take(judge, first, axis=1))

    def scored(self, target: Target, n: int) -> Judged:
        return target.scored(np.ascontiguousarray(self.train[:, :n]), np.ascontiguousarray(self.judge[:, :n]))


def needed(basis: Basis, target: Target, least: float, ratio: float) -> tuple[int | None, list[Report]]:
    """The smallest tested number of the first columns whose judge score is ``least`` or more, and what was tested."""
    curve: list[Report] = []
    for n in sizes_up_to(basis.train.shape[1], ratio):
        value = basis.scored(target, n).value
        curve.append({"n": n, "judge": value})
        if value >= least:
            return n, curve
    return None, curve


def look(data: LensInput) -> LensReport:
    """See the module's docstring."""
    settings, target, layer = data.settings, target_of(data), busiest_layer(data)
    here = data.usable[data.usable // data.width == layer]
    X, judge = data.matrix("train", here), data.matrix("judge", here)
    latents = settings.expansion * len(here)
    rows = np.sort(data.rng("rows").permutation(len(X))[: settings.rows])
    made = train(
        X, latents, settings.active, settings.epochs, settings.batch, settings.learning_rate, data.rng("autoencoder")
    )
    Z = made.encode(X)
    learnt = Basis.of(Z, made.encode(judge), target, rows)
    neurons = Basis.of(X, judge, target, rows)
    whole = target.scored(X, judge)
    least = whole.value - data.params.margin(data.task).value
    n = min(settings.headline, len(here))
    of_latents, of_neurons = learnt.scored(target, n), neurons.scored(target, n)

    null: list[float] = []
    of_random: list[int | None] = []
    for draw in range(settings.draws):
        other = Autoencoder.random(len(here), latents, settings.active, data.rng("random", str(draw)))
        some = draw < settings.rotations
        basis = Basis.of(other.encode(X), other.encode(judge), target, rows, DEPTH if some else n)
        null.append(basis.scored(target, n).value)
        if some:
            of_random.append(needed(basis, target, least, settings.ratio)[0])
    of_rotated: list[int | None] = []
    for draw in range(settings.rotations):
        turn = np.linalg.qr(data.rng("rotation", str(draw)).standard_normal((len(here), len(here))))[0]
        turned = turn.astype(np.float32)
        basis = Basis.of(X @ turned, judge @ turned, target, rows)
        of_rotated.append(needed(basis, target, least, settings.ratio)[0])

    n_latents, latent_curve = needed(learnt, target, least, settings.ratio)
    n_neurons, neuron_curve = needed(neurons, target, least, settings.ratio)
    found = {
        "layer": layer,
        "neurons": len(here),
        "latents": latents,
        "active": made.active,
        "r2": {"train": rebuilt(made, X), "judge": rebuilt(made, judge)},
        "dead": int((~(Z > 0).any(axis=0)).sum()),
        "score": whole.value,
        "least": least,
        "needed": {"neurons": n_neurons, "latents": n_latents, "random": of_random, "rotated": of_rotated},
        "curves": {"neurons": neuron_curve, "latents": latent_curve},
        "at": {
            "n": n,
            "latents": of_latents.value,
            "neurons": of_neurons.value,
            "latents_less_neurons": target.difference(of_latents, [of_neurons]),
            "random": drawn(null),
        },
    }
    return LensReport(Headline(f"judge score of the {n} best latents", of_latents.value, np.array(null)), found)
