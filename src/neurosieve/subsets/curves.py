"""Curves: the best set that a contender finds at each size, judged, and walked to the minimum. No files."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.config import Params
from neurosieve.subsets import contenders, minimal
from neurosieve.subsets.contenders import Choose, along
from neurosieve.subsets.data import Data, Part, Point, Rival, fit_point, polish_point, warm_from

RANDOM, BOTTOM, PIPELINE = "random", "bottom", "pipeline"


@dataclass
class Curve:
    """Sets of falling size that a contender chooses among some of the kept neurons.

    ``points`` begin with the largest set and grow by :meth:`test`, which keeps the features of the set before.
    """

    data: Data
    choose: Choose
    points: dict[int, Point]
    _part: Part | None = None

    @property
    def sizes(self) -> np.ndarray:
        return np.array(sorted(self.points))

    @property
    def largest(self) -> int:
        return max(self.points)

    def test(self, size: int) -> Point:
        """Choose, fit, tune and judge a set, each penalty from its weights at the next larger size."""
        if size not in self.points:
            above = self.points[min(s for s in self.points if s > size)]
            neurons = self.choose(size, above.fitted)
            part = self._part = (self._part or self.data.whole).take(neurons, self.data)
            warm = warm_from(above, neurons, self.data.features.columns_per_neuron)
            self.points[size] = fit_point(self.data, part, warm, above.chosen)
        return self.points[size]

    def tested(self, rival: Rival) -> minimal.Tested:
        """All its sizes beside the rival."""
        points = [self.points[s] for s in self.sizes]
        return rival.tested(self.sizes, [p.judged for p in points], [p.tune for p in points])

    def passes(self, rival: Rival) -> np.ndarray:
        """bool (sizes,), by the rule of the minimum."""
        return minimal.fitted_passes(self.tested(rival))

    def within(self, rival: Rival) -> np.ndarray:
        """bool (sizes,): whether the estimate alone is within the margin."""
        return self.tested(rival).difference > -rival.margin

    def release(self) -> None:
        """Free the copies of the features; the points stay."""
        self._part = None


def random_orders(params: Params, model: str, task: str, n: int, draws: int) -> list[np.ndarray]:
    """Permutations of ``n`` neurons, seeded by the benchmark, the row and the draw."""
    names = [zlib.crc32(name.encode()) for name in (model, task, RANDOM)]
    return [np.random.default_rng([params.seed, *names, draw]).permutation(n) for draw in range(draws)]


@dataclass(frozen=True)
class Walk:
    """How the curves of a row are walked. ``full``: the point of all neurons, the same whatever the contender. coarse:
    a row that may claim nothing; searches take large steps there."""

    data: Data
    full: Point
    progress: tqdm[Any]
    coarse: bool = False

    def start(self, choose: Choose, full: Point | None = None) -> Curve:
        """The curve of a contender, with the largest set tested."""
        full = self.full if full is None else full
        return Curve(self.data, choose, {len(full.neurons): full})

    def along(self, order: np.ndarray) -> Curve:
        """The curve along an order of the kept neurons."""
        return self.start(along(order), self.full.ordered(order, self.data.features.columns(order)))

    def search(self, name: str) -> Curve:
        """The curve of a search."""
        return self.start(contenders.load(name)(self.data.given(self.full, coarse=self.coarse)))

    def test(self, curve: Curve, sizes: Iterable[int]) -> None:
        for size in sorted(sizes, reverse=True):
            curve.test(size)
            self.progress.update()
        curve.release()

    def close_in(self, curve: Curve, rival: Rival, *, claims: bool) -> None:
        """Bisect towards the minimum; where none can be claimed, towards the smallest size that is within the margin
        by its estimate. The set that it ends at is polished, and then has to pass still."""
        while True:
            ok = _sought(curve, rival, claims)
            size = minimal.next_size(curve.sizes, ok)
            if size is not None:
                self.test(curve, [size])
                continue
            size = minimal.bracket(curve.sizes, ok).first
            if size is None or curve.points[size].polished:
                return
            curve.points[size] = polish_point(self.data, curve.points[size])


@dataclass(frozen=True)
class Dev:
    """Whether judge can resolve the margin: half-widths of the difference of random halves to the reference."""

    half_size: int
    half_widths: list[float]
    margin: float

    @classmethod
    def of(cls, halves: list[Point], rival: Rival) -> Dev:
        widths = [h.judged.value - rival.reference.value - rival.lower(h.judged, rival.reference) for h in halves]
        return cls(len(halves[0].neurons), widths, rival.margin)

    @property
    def half_width(self) -> float:
        return float(np.median(self.half_widths))

    @property
    def too_small(self) -> bool:
        return self.half_width > self.margin / 2

    def report(self, data: Data) -> dict[str, Any]:
        """ "dev" of curves.json."""
        rows = len(data.y["judge"])
        return {
            "too_small": self.too_small,
            "half_width": self.half_width,
            "half_widths": self.half_widths,
            "half_size": self.half_size,
            "rows": rows,
            "files": data.bootstrap.n_drawn,
            "rows_needed": minimal.rows_needed(rows, self.half_width, self.margin) if self.too_small else None,
        }


def walk_random(walk: Walk, model: str, task: str, sizes: list[int]) -> tuple[list[Point], dict[str, Curve]]:
    """Random orders: ``half_draws`` halves, for :class:`Dev`, and the first ``random_draws`` at ``sizes``, as
    controls."""
    n, settings = len(walk.data.kept), walk.data.params.subsets
    half = -(-n // 2)
    controls: dict[str, Curve] = {}
    halves: list[Point] = []
    draws = max(settings.random_draws, settings.half_draws)
    for draw, order in enumerate(random_orders(walk.data.params, model, task, n, draws)):
        curve = walk.along(order)
        walk.test(curve, {*sizes, half} if draw < settings.random_draws else {half})
        if draw < settings.half_draws:
            halves.append(curve.points[half])
        if draw < settings.random_draws:
            controls[f"{RANDOM}-{draw}"] = curve
    return halves, controls


def _sought(curve: Curve, rival: Rival, claims: bool) -> np.ndarray:
    """bool (sizes,): which pass; where none does or none can be claimed, which are within the margin."""
    passes = curve.passes(rival)
    return passes if claims and passes.any() else curve.within(rival)


def against_random(curves: dict[str, Curve], draws: list[Curve], confidence: float) -> dict[str, Any]:
    """ "beats_random" of curves.json, over the sizes that a contender and the random draws have in common."""
    tested = set.intersection(*(set(draw.points) for draw in draws)) - {draws[0].largest}
    found: dict[str, dict[str, Any]] = {}
    for name, curve in curves.items():
        sizes = sorted(tested & set(curve.points))
        judged = [curve.points[s].judged for s in sizes]
        random = [[draw.points[s].judged for s in sizes] for draw in draws]
        if sizes:
            found[name] = minimal.beats_random(
                sizes,
                np.array([j.value for j in judged]),
                np.stack([j.replicates for j in judged]),
                np.array([[j.value for j in draw] for draw in random]),
                np.stack([np.stack([j.replicates for j in draw]) for draw in random]),
                confidence,
            )
    common = sorted(set.intersection(*(set(f["sizes"]) for f in found.values()))) if found else []
    better = [any(f["lower"][f["sizes"].index(s)] > 0 for f in found.values()) for s in common]
    return {
        "rankings": found,
        "sizes": common,
        "random_suffices_from": minimal.suffices_from(common, np.array(better)) if common else None,
    }
