"""The order of ``lca`` from its end: what the neurons give that a probe needs least. A control."""

from __future__ import annotations

import numpy as np

from neurosieve.probes.rankings import Ranking, RankingInput, lca

NUMBERS = True


def rank(data: RankingInput) -> Ranking:
    """``lca`` reversed, ties with it."""
    top = lca.rank(data)
    return Ranking(top.order[::-1], np.ascontiguousarray(top.per_class[:, ::-1]))
