"""The chosen neurons as a population: how different its members are, and how much noise it stands.

Question: are the chosen neurons more diverse than random ones, and does a probe on them stand noise and the loss of
members better?

Null: populations of as many random neurons of the same layers, each with a probe of its own at the same penalty, and
the same noise and the same places dropped. The row of the untrained twin has a report of its own: where the network has
learnt nothing, its chosen population is the second comparison.

Source: tuning diversity and its gain for population codes after Shamir and Sompolinsky 2006 (Neural Computation 18,
1951-1986) and Ecker, Berens, Tolias and Bethge 2011 (Journal of Neuroscience 31, 14272-14283); participation ratio, the
effective number of independent members, after Gao et al. 2017 (bioRxiv 214262). A probe is fitted once, without noise:
what is asked is whether the code is robust, not whether a probe can be trained to be.

found: "members", "heterogeneity": {best_class_entropy (bits, null where there are no classes), mean_abs_correlation,
participation_ratio: {chosen, random: {mean, low, high}}}; "clean": {chosen, random, constant: judge scores}; "noise",
"dropout": {"levels": [{"level", "chosen", "random", "difference", "low", "high": paired over files}], "area": {chosen,
random: share of what the clean probe has above a constant prediction that is left, mean over the levels}}. Reads and
writes no files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neurosieve.concepts.auroc import auroc, best_class
from neurosieve.concepts.lenses import Headline, LensInput, LensReport
from neurosieve.concepts.lenses._fitting import Judged, Report, Target, drawn, mean_of, target_of
from neurosieve.probes.solver import Probe

UNITS = ("token", "sequence", "pair")
NUMBERS = True


def class_entropy(X: np.ndarray, labels: np.ndarray, n_classes: int, scored: list[int]) -> float:
    """Entropy in bits of the classes that the columns of X (rows, columns) separate best (by AUROC)."""
    found = [best_class(values, scored) for values in auroc(X, labels, n_classes)]
    count = np.bincount([c for c in found if c is not None], minlength=n_classes).astype(np.float64)
    p = count[count > 0] / count.sum()
    return float(-(p * np.log2(p)).sum()) + 0.0


def correlation(X: np.ndarray) -> np.ndarray:
    """Correlations of the columns, float64; 0 with a column without variance, and 1 of every one with itself."""
    wide = X.astype(np.float64)
    wide -= wide.mean(axis=0)
    length = np.linalg.norm(wide, axis=0)
    wide = np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)
    found = wide.T @ wide
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def mean_abs_correlation(R: np.ndarray) -> float:
    """Mean of |r| over pairs of different members; 0 for one member."""
    n = len(R)
    return float((np.abs(R).sum() - n) / (n * (n - 1))) if n > 1 else 0.0


def participation_ratio(R: np.ndarray) -> float:
    """(sum of eigenvalues)^2 / sum of their squares: n for uncorrelated members, 1 for copies of one."""
    return float(np.trace(R) ** 2 / np.square(R).sum())


@dataclass(frozen=True)
class Population:
    """A probe and the judge columns that it reads, float32 (rows, columns), standardised."""

    probe: Probe
    X: np.ndarray

    def under(self, change: Callable[[np.ndarray], np.ndarray], target: Target, *, value_only: bool) -> Judged:
        return target.judged(self.probe.predict(change(self.X)), value_only=value_only)


def noisy(level: float, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Adds normal noise of this standard deviation."""
    return lambda X: X + np.float32(level) * rng.standard_normal(X.shape, np.float32)


def dropped(share: float, columns: int, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Sets a share of the neurons (of ``columns`` columns each) to 0, the mean, in every row the same."""

    def change(X: np.ndarray) -> np.ndarray:
        n = X.shape[1] // columns
        out = np.zeros(n, bool)
        out[rng.permutation(n)[: round(share * n)]] = True
        return X * np.repeat(~out, columns).astype(np.float32)

    return change


def stand(
    populations: list[Population],
    target: Target,
    kind: str,
    levels: list[float],
    repeats: int,
    columns: int,
    seed: list[int],
) -> tuple[Report, np.ndarray]:
    """ "noise" or "dropout" of the report, and the areas (populations,); the first population is the chosen one.

    All populations meet the same noise, and lose the members at the same places.
    """
    base = target.constant
    clean = [population.under(lambda X: X, target, value_only=True).value for population in populations]
    kept = np.zeros((len(levels), len(populations)))
    entries = []
    for i, level in enumerate(levels):
        scores: list[Judged] = []
        for population in populations:
            each = []
            for repeat in range(repeats):
                rng = np.random.default_rng([*seed, i, repeat])
                change = noisy(level, rng) if kind == "noise" else dropped(level, columns, rng)
                each.append(population.under(change, target, value_only=False))
            value = float(np.mean([judged.value for judged in each]))
            paired = [judged.replicates for judged in each if judged.replicates is not None]
            scores.append(Judged(value, mean_of(paired) if paired else None))
        for j, judged in enumerate(scores):
            above = clean[j] - base
            kept[i, j] = (judged.value - base) / above if above > 0 else 0.0
        entries.append(
            {
                "level": level,
                "chosen": scores[0].value,
                "random": drawn([judged.value for judged in scores[1:]]),
                **target.difference(scores[0], scores[1:]),
            }
        )
    area = kept.mean(axis=0)
    return {"levels": entries, "area": {"chosen": float(area[0]), "random": drawn(area[1:].tolist())}}, area


def look(data: LensInput) -> LensReport:
    """The first ``concepts.neurons`` chosen neurons."""
    settings, target = data.settings, target_of(data)
    sets = [np.sort(data.described), *data.random_sets(data.described, settings.draws)]
    every = np.unique(np.concatenate(sets))
    train, judge = data.matrix("train", every), data.matrix("judge", every)
    at = [data.features.columns(np.searchsorted(every, own)) for own in sets]
    populations = [Population(target.fit(train[:, own]), np.take(judge, own, axis=1)) for own in at]
    c = data.features.columns_per_neuron
    measured: dict[str, list[float]] = {"mean_abs_correlation": [], "participation_ratio": []}
    entropies: list[float] = []
    for population in populations:
        single = population.X[:, ::c]
        R = correlation(single)
        measured["mean_abs_correlation"].append(mean_abs_correlation(R))
        measured["participation_ratio"].append(participation_ratio(R))
        if data.classes:
            entropies.append(class_entropy(single, data.labels("judge"), len(data.classes), data.scored))
    if data.classes:
        measured = {"best_class_entropy": entropies, **measured}
    clean = [population.under(lambda X: X, target, value_only=True).value for population in populations]
    seed = [int(part) for part in data.rng("noise").integers(2**32, size=4)]
    noise, area = stand(populations, target, "noise", settings.noise, settings.repeats, c, seed)
    dropout, _ = stand(populations, target, "dropout", settings.dropout, settings.repeats, c, seed)
    found = {
        "members": len(sets[0]),
        "heterogeneity": {
            "best_class_entropy": None,
            **{name: {"chosen": values[0], "random": drawn(values[1:])} for name, values in measured.items()},
        },
        "clean": {"chosen": clean[0], "random": drawn(clean[1:]), "constant": target.constant},
        "noise": noise,
        "dropout": dropout,
    }
    told = "share of the clean score above a constant prediction that is left under noise, mean over levels"
    return LensReport(Headline(told, float(area[0]), area[1:]), found)
