"""The chosen neurons as a population: how different its members are, and how much noise it stands.

Question: are the chosen neurons more diverse than random ones, and does a probe on them stand noise and the loss of
members better?

Null: populations of as many random neurons of the same layers, each with a probe of its own at the same penalty, and
the same noise and the same places dropped. Beside them the chosen population of each untrained twin that runs.

Source: tuning diversity and its gain for population codes after Shamir and Sompolinsky 2006 (Neural Computation 18,
1951-1986) and Ecker, Berens, Tolias and Bethge 2011 (Journal of Neuroscience 31, 14272-14283); participation ratio, the
effective number of independent members, after Gao et al. 2017 (bioRxiv 214262). A probe is fitted once, without noise:
what is asked is whether the code is robust, not whether a probe can be trained to be.

found: "members", "heterogeneity": {best_class_entropy (bits, null where there are no classes), mean_abs_correlation,
participation_ratio: {chosen, random: {mean, low, high}}}; "clean": {chosen, random, constant: judge scores}; "noise",
"dropout": {"levels": [{"level", "chosen", "random", "difference", "low", "high": paired over files}], "area": {chosen,
random: share of what the clean probe has above a constant prediction that is left, mean over the levels}}; "twins":
{model: {members, the three measures, "clean", "noise", "dropout": scores by level; of a score near that of a constant
prediction no share is told} or null where it has no subset}. Reads and writes no files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from neurosieve.concepts.auroc import auroc, best_class
from neurosieve.concepts.lenses import Headline, LensInput, LensReport
from neurosieve.concepts.lenses._fitting import Judged, Report, Target, drawn, mean_of, target_of
from neurosieve.probes.solver import Probe

UNITS = ("token", "sequence", "pair")
NUMBERS = True
OTHERS = "twins"


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


def changed(
    populations: list[Population],
    target: Target,
    kind: str,
    levels: list[float],
    repeats: int,
    columns: int,
    seed: list[int],
) -> tuple[list[list[Judged]], np.ndarray]:
    """Scores under noise or dropout, mean over the repeats, by level and population; and what is left of the clean
    score above a constant prediction, (levels, populations).

    All populations meet the same noise, and lose the members at the same places.
    """
    base = target.constant
    clean = [population.under(lambda X: X, target, value_only=True).value for population in populations]
    left = np.zeros((len(levels), len(populations)))
    scores: list[list[Judged]] = []
    for i, level in enumerate(levels):
        scores.append([])
        for j, population in enumerate(populations):
            each = []
            for repeat in range(repeats):
                rng = np.random.default_rng([*seed, i, repeat])
                change = noisy(level, rng) if kind == "noise" else dropped(level, columns, rng)
                each.append(population.under(change, target, value_only=False))
            value = float(np.mean([judged.value for judged in each]))
            paired = [judged.replicates for judged in each if judged.replicates is not None]
            scores[-1].append(Judged(value, mean_of(paired) if paired else None))
            left[i, j] = (value - base) / (clean[j] - base) if clean[j] > base else 0.0
    return scores, left


def stand(
    populations: list[Population],
    target: Target,
    kind: str,
    levels: list[float],
    repeats: int,
    columns: int,
    seed: list[int],
) -> tuple[Report, np.ndarray]:
    """ "noise" or "dropout" of the report, and the areas (populations,); the first population is the chosen one."""
    scores, left = changed(populations, target, kind, levels, repeats, columns, seed)
    entries = [
        {
            "level": level,
            "chosen": here[0].value,
            "random": drawn([judged.value for judged in here[1:]]),
            **target.difference(here[0], here[1:]),
        }
        for level, here in zip(levels, scores, strict=True)
    ]
    area = left.mean(axis=0)
    return {"levels": entries, "area": {"chosen": float(area[0]), "random": drawn(area[1:].tolist())}}, area


def heterogeneity(X: np.ndarray, labels: np.ndarray, n_classes: int, scored: list[int]) -> dict[str, float | None]:
    """Of members X (rows, members): see the module's docstring. n_classes 0: a number is predicted."""
    R = correlation(X)
    return {
        "best_class_entropy": class_entropy(X, labels, n_classes, scored) if n_classes else None,
        "mean_abs_correlation": mean_abs_correlation(R),
        "participation_ratio": participation_ratio(R),
    }


def populations_of(data: LensInput, target: Target, sets: list[np.ndarray]) -> list[Population]:
    """Probes on sets of neurons."""
    every = np.unique(np.concatenate(sets))
    train, judge = data.matrix("train", every), data.matrix("judge", every)
    at = [data.features.columns(np.searchsorted(every, own)) for own in sets]
    return [Population(target.fit(train[:, own]), np.take(judge, own, axis=1)) for own in at]


def look(data: LensInput) -> LensReport:
    """The first ``concepts.neurons`` chosen neurons."""
    settings, target, c = data.settings, target_of(data), data.features.columns_per_neuron
    seed = [int(part) for part in data.rng("noise").integers(2**32, size=4)]
    sets = [np.sort(data.described), *data.random_sets(data.described, settings.draws)]
    populations = populations_of(data, target, sets)
    of = [heterogeneity(p.X[:, ::c], data.labels("judge"), len(data.classes), data.scored) for p in populations]
    clean = [population.under(lambda X: X, target, value_only=True).value for population in populations]
    noise, area = stand(populations, target, "noise", settings.noise, settings.repeats, c, seed)
    dropout, _ = stand(populations, target, "dropout", settings.dropout, settings.repeats, c, seed)
    twins: dict[str, Report | None] = {}
    for name in data.params.searched_twins_of(data.model):
        other = data.other(model=name)
        twins[name] = _twin(other, seed) if len(other.chosen) else None
    found = {
        "members": len(sets[0]),
        "heterogeneity": {key: _beside([each[key] for each in of]) for key in of[0]},
        "clean": {**_beside(clean), "constant": target.constant},
        "noise": noise,
        "dropout": dropout,
        "twins": twins,
    }
    told = "share of the clean score above a constant prediction that is left under noise, mean over levels"
    return LensReport(Headline(told, float(area[0]), area[1:]), found)


def _beside(values: Sequence[float | None]) -> Report:
    """The chosen population's value beside those of the random ones; None where there is none."""
    known = [value for value in values if value is not None]
    return {"chosen": values[0], "random": drawn(known[1:]) if len(known) > 1 else None}


def _twin(data: LensInput, seed: list[int]) -> Report:
    """ "twins" of the report: the chosen population of an untrained twin, at the penalty of its own subset."""
    settings, target, c = data.settings, target_of(data), data.features.columns_per_neuron
    own = populations_of(data, target, [np.sort(data.described)])
    under = {
        kind: [here[0].value for here in changed(own, target, kind, levels, settings.repeats, c, seed)[0]]
        for kind, levels in (("noise", settings.noise), ("dropout", settings.dropout))
    }
    return {
        "members": len(data.described),
        **heterogeneity(own[0].X[:, ::c], data.labels("judge"), len(data.classes), data.scored),
        "clean": own[0].under(lambda X: X, target, value_only=True).value,
        **under,
    }
