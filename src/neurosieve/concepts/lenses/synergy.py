"""Do the chosen neurons say the same, or more together than one by one?

Question: are sets of chosen neurons less redundant than random ones, among their members and in what they say of the
label?

Null: as many random neurons of the same layers. The estimator is biased where there are few rows: what it gives when
every column is permuted by itself (members), or the labels are permuted over token types or functions (label), is
subtracted and stands beside it.

Source: among members the O-information (Rosas, Mediano, Gastpar and Jensen 2019, Physical Review E 100, 032305),
omega(X) = (n - 2) H(X) + sum over i of H(X_i) - H(X_without_i), above 0 where redundancy dominates and below 0 where
synergy does. About the label the redundancy-synergy index with that sign, sum I(X_i; Y) - I(X; Y) (Chechik et al. 2001,
NIPS 14), and what the label adds to the O-information, (1 - n) I(X; Y) + sum I(X_without_i; Y) (Scagliarini et al.
2022, Physical Review Research 4, 013184). Entropies are of a Gaussian copula: each neuron is replaced by the normal
score of its rank, and that of a normal distribution with their correlations is taken, within classes and over all (Ince
et al. 2017, Human Brain Mapping 38, 1541-1573). So only linear dependence of normal scores is seen: what lies in the
third moments, as the exclusive or of two neurons, is not; and informations are not bounded by the entropy of the label.

found: "sizes": [{"size", "sets", "omega": {chosen, random: {mean, low, high} over sets, bias subtracted}, "omega_low",
"omega_high": bounds over files of the mean of chosen less random, "omega_difference", "chosen_above": share of the
pairs of sets, "synergistic": {chosen, random: share of sets below 0}, "bias", "label": {"classes", "information",
"index", "gradient": {chosen, random, bias, chosen_above}} or null}], in nats. Reads and writes no files.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from neurosieve.concepts.lenses import Headline, LensInput, LensReport, Nothing
from neurosieve.concepts.lenses._fitting import Report, Target, drawn, target_of
from neurosieve.probes.intervals import FileBootstrap, lower, upper
from neurosieve.probes.metrics import column_ranks

UNITS = ("token", "sequence", "pair")
NUMBERS = True
ROWS_PER_MEMBER = 10  # of a class, in a set: with fewer its covariances are noise, and its rows are left out
TINY = 1e-9  # added to the diagonal of a correlation matrix: members that are copies leave it singular


def normal_scores(X: np.ndarray) -> np.ndarray:
    """Columns by their ranks, as quantiles of the standard normal: float64 (rows, columns), ties share their mean."""
    return np.asarray(ndtri(column_ranks(X) / (len(X) + 1)))


def correlations(Z: np.ndarray) -> np.ndarray:
    """Correlation matrix of normal scores (rows, columns); a column without variance is uncorrelated with all."""
    return _to_correlation(np.cov(Z, rowvar=False, bias=True).reshape(Z.shape[1], Z.shape[1]))


def _to_correlation(covariance: np.ndarray) -> np.ndarray:
    """(..., n, n) covariances to correlations, TINY added to the diagonal."""
    sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    scale = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)
    found = covariance * scale[..., None, :] * scale[..., :, None]
    at = np.arange(found.shape[-1])
    found[..., at, at] = 1 + TINY
    return np.asarray(found)


def o_information(R: np.ndarray) -> np.ndarray:
    """O-information of normal variables with correlation matrices R (..., n, n), n >= 3, nats: (...).

    With h = log det / 2 the constants of the entropies cancel; log det of R without i is log det R + log (R^-1)_ii.
    """
    n = R.shape[-1]
    if n < 3:
        raise ValueError(f"found {n} variables; the O-information needs three")
    whole = np.linalg.slogdet(R)[1]
    inverse = np.diagonal(np.linalg.inv(R), axis1=-2, axis2=-1)
    alone = np.log(np.diagonal(R, axis1=-2, axis2=-1)).sum(axis=-1)
    return np.asarray(((n - 2) * whole + alone - (n * whole + np.log(inverse).sum(axis=-1))) / 2)


def label_information(Z: np.ndarray, labels: np.ndarray, classes: list[int]) -> tuple[float, np.ndarray, np.ndarray]:
    """I(X; Y), I(X_i; Y) (n,) and I(X_without_i; Y) (n,) in nats, of normal scores Z (rows, n) and a class Y.

    All rows are of one of the ``classes``. Covariances are of all rows, and within classes; see the module's docstring.
    """
    total = _halves(np.cov(Z, rowvar=False, bias=True))
    found = [np.asarray(part, np.float64) for part in total]
    for c in classes:
        own = Z[labels == c]
        for i, part in enumerate(_halves(np.cov(own, rowvar=False, bias=True))):
            found[i] = found[i] - len(own) / len(Z) * np.asarray(part, np.float64)
    return float(found[0]), found[1], found[2]


def _halves(covariance: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Half the log determinants of a covariance (n, n): of all, of each alone, of all without each."""
    n = len(covariance)
    C = covariance + TINY * np.eye(n)
    whole = np.linalg.slogdet(C)[1]
    return whole / 2, np.log(np.diagonal(C)) / 2, (whole + np.log(np.diagonal(np.linalg.inv(C)))) / 2


def about_label(Z: np.ndarray, labels: np.ndarray, classes: list[int]) -> dict[str, float]:
    """{"information": I(X; Y), "index": redundancy-synergy index, "gradient": change of the O-information}, nats."""
    n = Z.shape[1]
    whole, alone, without = label_information(Z, labels, classes)
    return {
        "information": whole,
        "index": float(alone.sum()) - whole,
        "gradient": (1 - n) * whole + float(without.sum()),
    }


def permuted_columns(Z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every column in an order of its own: the same marginals, nothing in common."""
    return rng.permuted(Z, axis=0)


def compare(
    Z: np.ndarray, chosen: list[np.ndarray], random: list[np.ndarray], target: Target, rng: np.random.Generator,
    permutations: int,
) -> Report:  # fmt: skip
    """Sets of chosen neurons beside as many of random ones, pair by pair, but for what is said of the label.

    Z : float64 (rows, columns) normal scores. chosen, random : columns of each set, all of one size. The bounds are of
    the difference of the means over sets, with the ranks as they are.
    """
    R = correlations(Z)
    omega = {kind: omega_of(R, sets) for kind, sets in (("chosen", chosen), ("random", random))}
    shuffled = [
        float(o_information(correlations(permuted_columns(Z[:, chosen[i % len(chosen)]], rng))))
        for i in range(permutations)
    ]
    bias = float(np.mean(shuffled))
    low = high = None
    if target.bootstrap is not None:
        of = [_replicates(Z, sets, target.files, target.bootstrap) for sets in (chosen, random)]
        low, high = (float(bound(of[0] - of[1], target.confidence)) for bound in (lower, upper))
    return {
        "size": len(chosen[0]),
        "sets": len(chosen),
        "omega": {kind: drawn((values - bias).tolist()) for kind, values in omega.items()},
        "omega_difference": float((omega["chosen"] - omega["random"]).mean()),
        "omega_low": low,
        "omega_high": high,
        "chosen_above": float((omega["chosen"] > omega["random"]).mean()),
        "synergistic": {kind: float((values < bias).mean()) for kind, values in omega.items()},
        "bias": bias,
    }


def omega_of(R: np.ndarray, sets: list[np.ndarray]) -> np.ndarray:
    """O-information of sets of one size, (sets,), from the correlations of all columns."""
    return o_information(np.stack([R[np.ix_(own, own)] for own in sets]))


def _replicates(Z: np.ndarray, sets: list[np.ndarray], files: np.ndarray, bootstrap: FileBootstrap) -> np.ndarray:
    """Mean O-information of the sets in every replicate of the bootstrap: (B,)."""
    order = np.argsort(files, kind="stable")
    starts = np.searchsorted(files[order], np.arange(bootstrap.n_files))
    weights = bootstrap.weights.astype(np.float64)
    rows = weights @ np.bincount(files, minlength=bootstrap.n_files)
    total = np.zeros(len(weights))
    for own in sets:
        z = Z[order][:, own]
        sums = weights @ np.add.reduceat(z, starts, axis=0) / rows[:, None]
        products = np.add.reduceat((z[:, :, None] * z[:, None, :]).reshape(len(z), -1), starts, axis=0)
        second = (weights @ products / rows[:, None]).reshape(len(weights), len(own), len(own))
        total += o_information(_to_correlation(second - sums[:, :, None] * sums[:, None, :]))
    return total / len(sets)


def compare_label(
    Z: np.ndarray, chosen: list[np.ndarray], random: list[np.ndarray], labels: np.ndarray, classes: list[int],
    permuted: np.ndarray,
) -> Report:  # fmt: skip
    """ "label" of the report. labels : (rows,) classes; permuted : (draws, rows) the same permuted; rows of other
    classes than ``classes`` are left out."""
    values = {
        kind: [about_label(Z[at][:, own], labels[at], classes) for own in sets]
        for at in [np.isin(labels, classes)]
        for kind, sets in (("chosen", chosen), ("random", random))
    }
    shuffled = []
    for i, each in enumerate(permuted):
        at = np.isin(each, classes)
        shuffled.append(about_label(Z[at][:, chosen[i % len(chosen)]], each[at], classes))
    found: Report = {"classes": len(classes)}
    for name in ("information", "index", "gradient"):
        bias = float(np.mean([entry[name] for entry in shuffled]))
        above = [a[name] > b[name] for a, b in zip(values["chosen"], values["random"], strict=True)]
        found[name] = {
            **{kind: drawn([entry[name] - bias for entry in each]) for kind, each in values.items()},
            "bias": bias,
            "chosen_above": float(np.mean(above)),
        }
    return found


def look(data: LensInput) -> LensReport:
    """The first ``concepts.neurons`` chosen neurons; of pairs the first of ``probes.pair_features``."""
    settings, target = data.settings, target_of(data)
    chosen = np.sort(data.described)
    if len(chosen) < 3:
        raise Nothing(f"{len(chosen)} chosen neurons: a set has three members or more")
    random = data.random_sets(chosen, settings.draws)
    every = np.unique(np.concatenate([chosen, random.ravel()]))
    Z = normal_scores(data.matrix("judge", every)[:, :: data.features.columns_per_neuron])
    at, drawn_at = np.searchsorted(every, chosen), np.searchsorted(every, random)
    R = correlations(Z)
    sizes = sorted({min(size, len(chosen)) for size in (*settings.sizes, settings.headline)})
    shown = min(settings.headline, len(chosen))
    rng = data.rng("sets")
    rows = np.bincount(data.labels("judge"), minlength=len(data.classes)).tolist() if data.classes else []
    permuted = data.permuted("judge", settings.permutations) if data.classes else None
    entries: list[Report] = []
    headline = None
    for size in sizes:
        places = [np.sort(rng.choice(len(chosen), size, replace=False)) for _ in range(settings.sets)]
        own = [at[each] for each in places]
        other = [drawn_at[i % settings.draws][each] for i, each in enumerate(places)]
        entry = compare(Z, own, other, target, rng, settings.permutations)
        classes = [c for c in data.scored if rows[c] >= ROWS_PER_MEMBER * size]
        entry["label"] = None
        if permuted is not None and len(classes) > 1:
            entry["label"] = compare_label(Z, own, other, data.labels("judge"), classes, permuted)
        entries.append(entry)
        if size == shown:
            null = [-omega_of(R, [draw[each] for each in places]).mean() for draw in drawn_at]
            value = -float(omega_of(R, own).mean())
            headline = Headline(
                f"mean synergy (minus the O-information) of sets of {size}, nats", value, np.array(null)
            )
    assert headline is not None
    return LensReport(headline, {"sizes": entries})
