"""Rows to look at through lenses: planted tasks and activations (tests/planted.py), neurons said to be chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import planted

from neurosieve.artifacts import Paths, Writer
from neurosieve.concepts.lenses import LensInput, open_row
from neurosieve.config import Params

TASK = "names"
# The width of tests/tiny_models.py, so that a tiny model fits; types t0, t1, ... of tokens `x = t7`.
SETTING = planted.Setting(
    carriers=3, copies=0, noise=0.1, classes=3, layers=3, width=16, rows=(900, 400, 900, 60), margin=0.05
)


def build(
    folder: Path, setting: planted.Setting = SETTING, seed: int = 1, chosen: Any = None, **options: Any
) -> tuple[Params, Paths, np.ndarray]:
    """Params, paths and the chosen neurons: by default the carriers. ``options`` of planted.build."""
    params = planted.make_params(setting, [TASK], seed)
    paths = Paths("planted", folder)
    truth = planted.build(paths, setting, TASK, seed, **options)
    neurons = np.array([group[0] for group in truth.groups]) if chosen is None else np.asarray(chosen)
    for model in (planted.MODEL, planted.TWIN):
        choose(paths, model, TASK, neurons)
    return params, paths, neurons


def choose(paths: Paths, model: str, task: str, neurons: np.ndarray) -> None:
    """Write subsets/search/<model>/<task>/frozen.json as if the search had found these neurons."""
    entry = {"kind": "subset", "ranking": "lca", "claimed": True, "neurons": [int(n) for n in neurons]}
    entry |= {"l1": 0.0, "l2": 0.01}
    with Writer(paths.search(model, task), "subsets", {}) as out:
        out.json("frozen.json", {"headline": "lca", "sets": {"subset-lca": entry}})


def with_settings(params: Params, lens: str, **settings: Any) -> Params:
    """Params in which the lens is on."""
    raw = params.model_dump(mode="json")
    raw["concepts"]["lenses"] = {lens: settings}
    return Params.model_validate(raw, strict=False)


def row(params: Params, paths: Paths, lens: str, **settings: Any) -> LensInput:
    """The view of the planted model's row through a lens."""
    return open_row(with_settings(params, lens, **settings), paths, lens, planted.MODEL, TASK)
