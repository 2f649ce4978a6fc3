"""Ranking by weight mass, class by class ("linguistic correlation analysis", Dalvi et al. 2019; EMNLP 2020).

Per class the neurons are sorted by |weight| and the shortest prefix that holds a share p of the class's mass is
taken; a neuron enters the order at the smallest p at which any class takes it, p growing in steps of ``mass_step``.
Published code leaves the order inside a step open; here it is by total mass, then by index.
"""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput, by_score

NUMBERS = True


def rank(data: RankingInput) -> Ranking:
    """Order by the step of entry; neurons without any weight come last."""
    # (K, neurons): the columns of one neuron are one group, so their masses add up
    mass = np.abs(data.weights.astype(np.float64)).T.reshape(data.weights.shape[1], data.neurons, data.columns).sum(2)
    per_class = np.stack([by_score(m) for m in mass])
    entry = np.stack([_entry_step(m, o, data.mass_step) for m, o in zip(mass, per_class, strict=True)]).min(axis=0)
    # lexsort sorts by its last key first and is stable, so equal neurons stay in the order of their index
    return Ranking(np.lexsort((-mass.sum(axis=0), entry)), per_class)


def _entry_step(mass: np.ndarray, order: np.ndarray, step: float) -> np.ndarray:
    """(neurons,) the first k at which the prefix that holds a share k*step of the mass contains the neuron."""
    never = np.int64(np.ceil(1 / step)) + 1
    entry = np.full(len(mass), never)
    total = mass.sum()
    if total > 0:
        sorted_mass = mass[order]
        before = np.concatenate([[0.0], np.cumsum(sorted_mass)[:-1]]) / total
        # the shortest prefix reaches k*step only with this neuron if what stands before it holds less; 1e-12 because
        # the sum of a prefix that holds exactly k*step differs from it by rounding
        first = np.floor(before / step + 1e-12).astype(np.int64) + 1
        entry[order] = np.where(sorted_mass > 0, first, never)
    return entry
