"""A random order, seeded: what a ranking that knows nothing gives. A control (config.CONTROL_RANKINGS)."""

from __future__ import annotations

import zlib

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput
from neurosieve.probes.solver import outputs

NUMBERS = True


def rank(data: RankingInput) -> Ranking:
    """A permutation of the neurons, and one of its own for each class."""
    rng = np.random.default_rng([data.seed, zlib.crc32(b"random ranking")])
    rows = outputs(data.n_classes)
    return Ranking(rng.permutation(data.neurons), np.stack([rng.permutation(data.neurons) for _ in range(rows)]))
