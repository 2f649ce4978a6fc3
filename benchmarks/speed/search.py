"""The search for the smallest subset of neurons, all contenders, beside retraining at every size as NeuroX users do.

Made up (speed/probes.py): tokens x 1,792 neurons (7 layers of 256, the size of the bundled model), six classes. Ours
is the walk of search_subsets from standardised activations: random draws, the orders of `subsets.rankings`, the search
of `subsets.searches`, three penalties a size, the grid and bisection of params.yaml, every probe to its duality gap.

NeuroX's users train a probe on all neurons, order them by its weights and train anew at each size of the published grid
(`published.shares`), 10 epochs of Adam, one penalty, one order. The published way has 36 penalties to choose from at a
size; what one of them costs is measured and the others are counted, which the note says.

Which set is the smaller one is asked at one score, on the same rows: that of NeuroX's probe on all neurons less one
percent. By each one's own probe on all neurons would favour the worse one, for its score is easier to reach.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speed import neurox_peer, probes
from speed.common import ROOT, Options, Row, fresh
from speed.probes import CLASSES

LAYERS, WIDTH = 7, 256
TRAIN, OTHERS = 8000, 8000  # of the others a quarter is tune, the rest judge
SHARE = 0.01  # NeuroX's users stop at the first size within one percent of all neurons
MARGIN = 0.01
PENALTY = 1  # of params.yaml, from the strongest: the middle one of the three that are tried


def divide(folder: str) -> None:
    """The rows of tune in two parts: a quarter, <X, y>_few.npy, and the others, which judge."""
    import numpy as np

    for name in ("X", "y"):
        rows = np.load(Path(folder, f"{name}_tune.npy"))
        for part, some in (("few", rows[: len(rows) // 4]), ("judge", rows[len(rows) // 4 :])):
            np.save(Path(folder, f"{name}_{part}.npy"), some)


def walk(folder: str, layers: int, width: int) -> dict[str, Any]:
    """CPU seconds of our search, and the sizes it ends at by contender."""
    from types import SimpleNamespace

    import numpy as np
    from tqdm import tqdm

    from neurosieve.config import load_params
    from neurosieve.probes import metrics, rankings
    from neurosieve.probes.features import Standardizer
    from neurosieve.probes.fit import candidates, strongest_first
    from neurosieve.probes.intervals import FileBootstrap
    from neurosieve.probes.solver import GramCache, fit, row_weights
    from neurosieve.subsets import minimal
    from neurosieve.subsets.curves import Walk, walk_random
    from neurosieve.subsets.data import Data, Rival, fit_point

    params = load_params(ROOT / "params.yaml")
    X, y = (
        {
            s: np.load(Path(folder, f"{name}{end}.npy"))
            for s, end in (("train", ""), ("tune", "_few"), ("judge", "_judge"))
        }
        for name in ("X", "y")
    )
    files = {split: np.arange(len(rows)) // 40 for split, rows in y.items()}
    neurons = np.arange(layers * width)
    features: Any = SimpleNamespace(
        columns_per_neuron=1, columns=np.asarray, files=files.get, width=width, layers=layers, n_neurons=len(neurons),
        classes=[str(k) for k in range(CLASSES)],
    )  # fmt: skip
    began = time.process_time()
    middle = strongest_first(params.probes.penalties)[PENALTY]
    oracle = fit(X["train"], y["train"], CLASSES, middle.l1, middle.l2)
    data = Data(
        features=features, kept=neurons, standardizer=Standardizer(np.zeros(len(neurons)), np.ones(len(neurons))), X=X,
        y=y, gram=GramCache(X["train"], row_weights(oracle, X["train"])), metric="accuracy", score=metrics.accuracy,
        bootstrap=FileBootstrap(files["judge"], params.probes.bootstrap, params.seed),
        penalties=candidates(params.probes.penalties, middle.l1, middle.l2), params=params,
    )  # fmt: skip
    full = fit_point(data, data.whole, [oracle] * len(data.penalties))
    steps = Walk(data, full, tqdm(disable=True))
    settings = params.subsets
    grid = minimal.size_grid(len(neurons), settings.ratio)
    _, curves = walk_random(steps, "made-up", "tokens", minimal.thin(grid, settings.control_ratio))
    given = rankings.RankingInput(
        X=X["train"], y=y["train"], weights=oracle.weights, columns=1, n_classes=CLASSES, seed=params.seed,
        mass_step=params.probes.lca_step,
    )  # fmt: skip
    fits = sum(len(curve.points) for curve in curves.values())
    walked = {name: steps.along(rankings.load(name)(given).order) for name in settings.rankings}
    walked |= {name: steps.search(name) for name in settings.searches}
    for curve in walked.values():
        steps.test(curve, grid)
    best = max((p for curve in walked.values() for p in curve.points.values()), key=lambda point: point.tune)
    constant = metrics.best_constant(y["judge"], CLASSES, metrics.accuracy)
    majority = data.judged(np.full(len(y["judge"]), constant))
    rival = Rival(best.judged, majority, MARGIN, params.probes.confidence)
    sizes = {}
    for name, curve in walked.items():
        steps.close_in(curve, rival, claims=True)
        sizes[name] = minimal.bracket(curve.sizes, curve.passes(rival)).first
        fits += len(curve.points)
    headline = walked[settings.headline]
    smallest = sizes[settings.headline]
    return {
        "seconds": time.process_time() - began,
        "sizes": sizes,
        "fits": len(data.penalties) * fits,
        "contenders": len(walked),
        "smallest": smallest,
        "judged": {int(size): headline.points[size].judged.value for size in headline.sizes},
        "score": None if smallest is None else walked[settings.headline].points[smallest].judged.value,
        "full": full.judged.value,
    }


def grid(neurons: int) -> list[int]:
    """The sizes of the published grid."""
    import yaml

    shares = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["published"]["shares"]
    return sorted({max(1, int(share * neurons)) for share in shares})


def rows(options: Options) -> Iterator[Row]:
    layers, width = options.size(LAYERS, 3), options.size(WIDTH, 32)
    train, others = options.size(TRAIN, 600), options.size(OTHERS, 800)
    folder = options.work / "search"
    fresh(probes.make, "fast", folder=folder, rows=train, tune=others, layers=layers, width=width, classes=CLASSES)
    fresh(divide, "fast", folder=folder)
    sizes = grid(layers * width)
    files = {name: folder / f"{name}.npy" for name in ("X", "y")}
    files |= {f"{name}_test": folder / f"{name}_judge.npy" for name in ("X", "y")}
    peer = neurox_peer.run(options, "search", numerics="fast", threads=1, **files, sizes=sizes)
    work = f"subset search, {train:,} x {layers * width:,}, from activations"
    for numerics in options.numerics:
        ours = fresh(walk, numerics, threads=1, folder=folder, layers=layers, width=width).value
        once = peer and peer.value["seconds"]
        told = f"{ours['fits']:,} probes to their gap, {ours['contenders']} contenders and random draws"
        yield Row(
            f"{work}: all contenders beside one order, one penalty at {len(sizes)} sizes", ours["seconds"], once,
            "CPU s", "NeuroX", numerics=numerics, partly=options.partly, note=f"{told}; {neurox_peer.note(options)}",
        )  # fmt: skip
        yield Row(
            f"{work}: beside 36 penalties a size", ours["seconds"], once and 36 * once, "CPU s", "NeuroX", reach=30,
            numerics=numerics, partly=options.partly,
            note=f"one penalty measured, 36 counted; {neurox_peer.note(options)}",
        )  # fmt: skip
        judged = {int(size): score for size, score in ours["judged"].items()}  # JSON has no numbers for keys
        enough = kept = None
        note = neurox_peer.note(options)
        if peer:
            base, *scores = peer.value["scores"]
            target = (1 - SHARE) * base
            kept = next((n for n, s in zip(sizes, scores, strict=True) if s > target), layers * width)
            enough = next((n for n, score in sorted(judged.items()) if score > target), layers * width)
            note = f"{target:.4f}; on all neurons NeuroX has {base:.4f}, ours {ours['full']:.4f}; {note}"
        yield Row(
            f"{work}: neurons kept for the accuracy of NeuroX on all of them less 1 %", enough, kept, "neurons",
            "NeuroX", reach=1, numerics=numerics, partly=options.partly, note=note,
        )  # fmt: skip
