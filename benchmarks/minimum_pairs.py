"""Do two models need different numbers of neurons? The intervals of the leaderboard where the truth is known.

    nice python benchmarks/minimum_pairs.py [--draws 50] [--seed 0] [--bootstrap 500]

Prints the table that docs/minimum-rule.md quotes; the same seed gives the same table. Takes some minutes of one core.
Curves and judges are those of minimum_rule.py, of two models whose errors on a file have a correlation in common. Each
draw has two judges of the same true scores. On one of them stands what the leaderboard says: the paired interval of the
difference of the two minima (leaderboard/draws.py), and whether their intervals from n_least to n_minimal are disjoint;
the other says where the difference then is.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from minimum_rule import (
    CONFIDENCE,
    KURTOSIS_CV,
    RATIO,
    ROWS_CV,
    RULES,
    SHAPES,
    SHARED,
    SMALLEST,
    Bounds,
    Judge,
    N,
    Rule,
    correlated,
    fine_sizes,
    pick_suffix,
    search,
    spread,
)  # fmt: skip
from tqdm import tqdm

from neurosieve.leaderboard.draws import paired
from neurosieve.probes import intervals
from neurosieve.subsets import minimal

JUDGES = ((15000, 600, 0.01), (15000, 600, 0.02), (3000, 300, 0.02))  # rows, files, margin
IN_COMMON = (0.0, 0.5)  # correlation of the errors of the two models on a file
REFIT = 0.002  # standard deviation of the true scores of the sizes about the curve
SAME = [(shape, shape) for shape in ("steep", "power law", "shallow", "plateau")]
OTHER = [("steep", "power law"), ("power law", "shallow"), ("steep", "shallow")]
RULE = RULES["the same, up to the last near size"]


def draw_judges(
    rng: np.random.Generator, sizes: np.ndarray, rows: int, files: int, common: float
) -> tuple[np.ndarray, np.ndarray]:
    """(F,) rows of the files of a judge, and (2, F, S) the errors of both models there, as minimum_rule.draw_files."""
    shape = 1 / ROWS_CV**2
    of_file = rng.gamma(shape, rows / files / shape, size=files)
    tail = rng.gamma(1 / KURTOSIS_CV**2, KURTOSIS_CV**2, size=files)
    all_sizes, each_size = np.sqrt(SHARED), np.sqrt(1 - SHARED)
    noise = np.stack([
        all_sizes * rng.standard_normal((files, 1)) + each_size * correlated(rng, files, sizes, "nested")
        for _ in range(3)
    ])  # fmt: skip
    errors = np.sqrt(common) * noise[:1] + np.sqrt(1 - common) * noise[1:]
    return of_file, errors * np.sqrt(of_file * tail)[:, None] * spread(sizes)


@dataclass(frozen=True)
class Answer:
    """n_least, n_minimal and (B,) the minima of the replicates, as the benchmark gives them."""

    n_least: int
    n_minimal: int
    drawn: np.ndarray


def answer(sizes: np.ndarray, grid: np.ndarray, judge: Judge) -> Answer:

    def bounds(tested: np.ndarray) -> Bounds:
        return judge.fit(RULE, sizes, tested)[:, -2:-1], judge.fit(Rule(), sizes, tested)[:, -2:-1]

    found, at = search(RULE, sizes, grid, judge.margin, bounds)
    replicates = judge.replicates(at)
    far = np.ones_like(replicates)  # every size is above the best baseline
    tested = minimal.Tested(
        sizes[at], judge.diff[at], replicates, far[:, 0], far, judge.margin, CONFIDENCE, judge.last(at)
    )
    drawn = minimal.drawn_minima(tested).astype(np.float64)
    least = minimal.least_possible(tested)
    assert least is not None  # the largest size is the reference
    return Answer(least, int(sizes[found]), np.where(drawn == 0, np.inf, drawn))


@dataclass(frozen=True)
class Setting:
    """True curves of two models, a judge (rows, files, margin), correlation of the errors of the models on a file."""

    shapes: tuple[str, str]
    judge: tuple[int, int, float]
    common: float

    @property
    def models(self) -> str:
        return f"both {self.shapes[0]}" if self.shapes[0] == self.shapes[1] else " and ".join(self.shapes)


def simulate(setting: Setting, number: int, seed: int, draws: int, n: int) -> dict[str, list[bool]]:
    """Name of a figure -> (2 draws,)."""
    rows, files, margin = setting.judge
    grid_sizes = np.array([s for s in minimal.size_grid(N, RATIO) if s >= SMALLEST])
    sizes = fine_sizes(grid_sizes)
    grid = np.flatnonzero(np.isin(sizes, grid_sizes))
    curves = [-SHAPES[shape](sizes.astype(np.float64)) for shape in setting.shapes]
    truth = [int(sizes[int(pick_suffix(sizes, (curve > -margin)[:, None])[0])]) for curve in curves]
    boots = [intervals.FileBootstrap(np.arange(files), n, [seed, 2, k]).weights for k in range(2)]
    scale = np.minimum(1, spread(sizes) / spread(np.array([N / 4])))
    found: dict[str, list[bool]] = {name: [] for name in ("inside", "not 0", "apart", "wrong")}
    for draw in range(draws):
        rng = np.random.default_rng([seed, number, draw])
        true = [curve + REFIT * scale * correlated(rng, 1, sizes, "nested")[0] for curve in curves]
        of_tune, tuned = draw_judges(rng, sizes, rows // 5, files // 5, setting.common)
        answers = []
        for boot in boots:
            of_file, errors = draw_judges(rng, sizes, rows, files, setting.common)
            answers.append([
                answer(sizes, grid, Judge.of(of_file, e, t, t + on_tune.sum(0) / of_tune.sum(), margin, boot))
                for e, t, on_tune in zip(errors, true, tuned, strict=True)
            ])  # fmt: skip
        for (a, b), (other_a, other_b) in itertools.permutations(answers):
            known = paired(a.drawn, b.drawn, CONFIDENCE)
            low = -math.inf if known["low"] is None else known["low"]
            high = math.inf if known["high"] is None else known["high"]
            apart = a.n_minimal < b.n_least or b.n_minimal < a.n_least
            right = (a.n_minimal < b.n_minimal) == (truth[0] < truth[1]) and truth[0] != truth[1]
            found["inside"].append(low <= other_a.n_minimal - other_b.n_minimal <= high)
            found["not 0"].append(low > 0 or high < 0)
            found["apart"].append(apart)
            found["wrong"].append(apart and not right)
    return found


def shares(found: Iterable[Mapping[str, Sequence[bool]]]) -> list[str]:
    pooled = [np.concatenate(of) for of in zip(*(one.values() for one in found), strict=True)]
    return [f"{np.mean(of):.1%}" for of in pooled]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=50, help="of each setting; two judges each")
    parser.add_argument("--bootstrap", type=int, default=500, help="replicates")
    given = parser.parse_args()
    settings = [Setting(*of) for of in itertools.product([*SAME, *OTHER], JUDGES, IN_COMMON)]
    results = {
        setting: simulate(setting, number, given.seed, given.draws, given.bootstrap)
        for number, setting in enumerate(tqdm(settings, unit="setting", mininterval=5))
    }
    parts: dict[str, Callable[[Setting], bool]] = {
        "equal curves": lambda s: s.shapes in SAME,
        **{name: lambda s, name=name: s.models == name for name in dict.fromkeys(s.models for s in settings)},
        **{
            f"{rows:,} rows, margin {margin}": lambda s, judge=(rows, files, margin): s.judge == judge
            for rows, files, margin in JUDGES
        },
        **{f"{common:g} in common": lambda s, common=common: s.common == common for common in IN_COMMON},
    }
    print("| models | other judge's difference in the interval | interval leaves out 0 | apart | wrongly apart |")
    print("|---|---|---|---|---|")
    for name, chosen in parts.items():
        print(f"| {name} | {' | '.join(shares(found for setting, found in results.items() if chosen(setting)))} |")


if __name__ == "__main__":
    main()
