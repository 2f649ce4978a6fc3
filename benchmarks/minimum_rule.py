"""Which rule finds the smallest subset of neurons on a noisy curve? Rules are compared where the truth is known.

    nice python benchmarks/minimum_rule.py [--draws 30] [--seed 0] [--bootstrap 500] [--build BUILD]

Prints the tables that docs/minimum-rule.md quotes; the same seed gives the same tables. It takes about ten minutes
of one core. No build is needed: the noise of judge is made from the constants below. They were measured on token-roles
(15,000 judge rows of 200 files) and name-scope (6,000 of 209) of the default benchmark, model neurosieve-base, orders
lca, greedy and probeless, sizes of 100 and more. ``--build`` measures them again on a build folder, and then takes the
errors of its real files (order lca, sizes of the grid alone) in place of made-up ones.

**How it was measured.** Macro-F1 is linear in the confusion counts to first order, so each file has a contribution
(gradient at the total counts, times the file's counts) to the difference of a size and the reference. The sum of
their squares is the variance over draws of files; its root agrees within a tenth with the bootstrap's own half-widths
for most sizes of 100 and more.

SPREAD         standard deviation of the difference per root of a row: a + b log(n / size), and 0 at n, where subset
               and reference are one. Measured: a 0.12-0.28, b 0.12-0.22. The variance of a file's errors grows with
               its rows (per row it is the same in thirds of the files by size, within a third): no cluster effect is
               simulated beside files of unequal length and quality.
SHARED, REACH  correlation of the differences of two sizes of one order: SHARED + (1 - SHARED) exp(-|log ratio|/REACH).
               Measured for ratios of 1.2: 0.68-0.83, 1.44: 0.52-0.76, 2: 0.45-0.64, 4: 0.24-0.51.
SHARED_OWN     the same for sets chosen apart (other orders, random draws, of one size): 0.2-0.6 for most pairs below a
               third of the neurons. The kind ``own`` has it between any two sizes: the worst that sets of their own
               can be, as an elimination's sets are nested too.
ROWS_CV        of the rows of a file (0.70, 0.80). KURTOSIS_CV: of the variance of their errors beside it; both together
               make a kurtosis of 6.5 over files. Measured: 5.0 to 12.
Refit noise    what the true score of a size has beside a smooth curve: residuals of a polynomial of degree 4 in log
               size, less what draws of files explain: 0.0011, 0.0011, 0.0019 (token-roles), 0.0025, 0.0037, 0.0015
               (name-scope). Simulated: 0, 0.002, 0.005; of neighbouring nested sizes it is correlated as above.

**Truth.** ``curve``: the smallest size from which on the true curve, without refit noise, is less than a margin below
the reference. ``design``: from which on it is so by more than the half-width of a 95 % bound of this judge, which is
what a size must be to pass as a rule. ``limit``: what the rule finds on an infinitely large judge, with the refit
noise. ``set over the margin``: the true score of the chosen set, refit noise included, is a margin or more below the
reference.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import Paths, read_json, read_npy
from neurosieve.config import load_params
from neurosieve.probes import intervals, metrics
from neurosieve.probes.features import layout
from neurosieve.subsets import minimal

N, RATIO, PARTS, SMALLEST = 1792, 1.2, 8, 8  # neurons; of the grid; sizes between two of the grid; smallest size tried
SPREAD = (0.13, 0.16)
SHARED, REACH, SHARED_OWN = 0.35, 0.35, 0.45
ROWS_CV, KURTOSIS_CV = 0.75, 0.63
CONFIDENCE = 0.95
JUDGES = ((3000, 300), (15000, 600))  # rows, files
MARGINS = (0.01, 0.02)
KINDS = ("nested", "own")
REFITS = (0.0, 0.002, 0.005)
TASKS, ORDERS, MODEL = ("token-roles", "name-scope"), ("lca", "greedy", "probeless"), "neurosieve-base"


def _bump(s: np.ndarray, at: float, width: float) -> np.ndarray:
    return np.asarray(np.exp(-((np.log(s / at) / width) ** 2) / 2) * (1 - s / N) / (1 - at / N))


def _power(s: np.ndarray, at_100: float, power: float) -> np.ndarray:
    return np.asarray(at_100 * ((s / 100) ** -power - (N / 100) ** -power))


# True loss against the reference by size. The last two are not monotone, against what some rules take for granted.
SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "steep": lambda s: 0.5 * np.exp(-s / 12) - 0.5 * np.exp(-N / 12),
    "power law": lambda s: _power(s, 0.046, 1.3),  # lca on token-roles up to 300 neurons
    "shallow": lambda s: _power(s, 0.04, 0.4),
    "plateau": lambda s: 0.5 * np.exp(-s / 12) + 0.006 * (1 - s / N),  # long, and close to a margin of 0.01
    "overshoot": lambda s: _power(s, 0.046, 1.3) - _bump(s, 800, 0.5) * 0.006,  # above the reference, as on both tasks
    "dip": lambda s: 0.5 * np.exp(-s / 12) + _bump(s, 400, 0.4) * 0.015,  # middle sizes are worse than smaller ones
}


def spread(sizes: np.ndarray) -> np.ndarray:
    """(S,) sizes -> (S,) standard deviation of (subset - reference), times the root of the rows of judge."""
    a, b = SPREAD
    return np.where(sizes < N, a + b * np.log(N / sizes), 0.0)


def fine_sizes(grid: np.ndarray) -> np.ndarray:
    """The grid and PARTS - 1 integers in every gap of it, where there are as many."""
    parts = [np.geomspace(a, b, PARTS + 1) for a, b in itertools.pairwise(grid)]
    return np.unique(np.rint(np.concatenate(parts)).astype(np.int64))


def correlated(rng: np.random.Generator, rows: int, sizes: np.ndarray, kind: str) -> np.ndarray:
    """(rows, S) standard normal: over sizes correlated by exp(-|log ratio| / REACH) if nested, else not at all."""
    noise = rng.standard_normal((rows, len(sizes)))
    if kind == "nested":
        keep = np.exp(-np.diff(np.log(sizes)) / REACH)
        for i, k in enumerate(keep, 1):
            noise[:, i] = k * noise[:, i - 1] + np.sqrt(1 - k * k) * noise[:, i]
    return noise


@dataclass(frozen=True)
class RealFiles:
    """sizes (S,); rows (F,) of each file; contributions (F, S) to the difference, their sums over files being 0."""

    sizes: np.ndarray
    rows: np.ndarray
    contributions: np.ndarray


def draw_files(
    rng: np.random.Generator, sizes: np.ndarray, rows: int, files: int, kind: str, real: RealFiles | None
) -> tuple[np.ndarray, np.ndarray]:
    """A judge: (F,) rows of its files, and (F, S) their errors, sums over their rows of (difference - true one)."""
    if real is not None:
        chosen = rng.integers(len(real.rows), size=files)
        return real.rows[chosen].astype(np.float64), real.contributions[chosen] * real.rows.sum()
    shape = 1 / ROWS_CV**2
    of_file = rng.gamma(shape, rows / files / shape, size=files)
    tail = rng.gamma(1 / KURTOSIS_CV**2, KURTOSIS_CV**2, size=files)
    shared = SHARED if kind == "nested" else SHARED_OWN
    errors = np.sqrt(shared) * rng.standard_normal((files, 1))
    errors = errors + np.sqrt(1 - shared) * correlated(rng, files, sizes, kind)
    return of_file, errors * np.sqrt(of_file * tail)[:, None] * spread(sizes)


def widths(sizes: np.ndarray) -> np.ndarray:
    """Half the log distance between the neighbours of a size, so that sizes that bisection adds do not count double."""
    edges = np.log(sizes)
    middle = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    return np.diff(middle)


def fit_isotonic(sizes: np.ndarray, values: np.ndarray, last: int) -> np.ndarray:
    return minimal.increasing_fit(sizes, values)


def fit_to_last(sizes: np.ndarray, values: np.ndarray, last: int) -> np.ndarray:
    """As the benchmark does it."""
    nothing = np.zeros(0)
    return minimal.Tested(sizes, nothing, nothing, nothing, nothing, 0, 0, last).fit(values)


def fit_local(sizes: np.ndarray, values: np.ndarray, last: int) -> np.ndarray:
    """Local straight line over log size, with weights that end at a factor of 1.6 (the largest size stays as it is)."""
    x = np.log(sizes)
    away = x - x[:, None]
    weights = widths(sizes) * np.maximum(0, 1 - np.abs(away) / np.log(1.6))
    zero, one, two = (np.sum(weights * away**k, axis=1, keepdims=True) for k in range(3))
    smoother = weights * (two - one * away) / (zero * two - one**2)
    smoother[-1] = 0
    smoother[-1, -1] = 1
    return np.asarray(smoother @ values)


def plain(sizes: np.ndarray, values: np.ndarray, last: int) -> np.ndarray:
    return np.asarray(values)


def pick_suffix(sizes: np.ndarray, ok: np.ndarray) -> np.ndarray:
    """Position of the smallest size from which on every size passes: (S, B) -> (B,); S where the largest fails."""
    return np.asarray(len(sizes) - np.logical_and.accumulate(ok[::-1], axis=0).sum(axis=0))


def pick_first(sizes: np.ndarray, ok: np.ndarray) -> np.ndarray:
    return np.where(ok.any(axis=0), ok.argmax(axis=0), len(sizes))


def pick_window(share: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The smallest passing size of which ``share`` of the sizes up to twice as large pass, in log size."""

    def pick(sizes: np.ndarray, ok: np.ndarray) -> np.ndarray:
        inside = (sizes >= sizes[:, None]) & (sizes <= 2 * sizes[:, None])
        table = inside * widths(sizes)
        return pick_first(sizes, ok & (table @ ok >= (share - 1e-9) * table.sum(axis=1, keepdims=True)))

    return pick


@dataclass(frozen=True)
class Rule:
    """``fit`` is applied to the differences and to each replicate, before bounds; ``after`` to the bounds. ``itself``:
    of the sizes from the one picked on, the smallest that passes without a fit too."""

    fit: Callable[[np.ndarray, np.ndarray, int], np.ndarray] = plain
    after: Callable[[np.ndarray, np.ndarray, int], np.ndarray] = plain
    pick: Callable[[np.ndarray, np.ndarray], np.ndarray] = pick_suffix
    itself: bool = False

    def position(self, sizes: np.ndarray, bounds: np.ndarray, raw: np.ndarray, margin: float) -> np.ndarray:
        """(S, B) bounds of the fit, and of the sizes themselves -> (B,) positions. The largest size always passes,
        being the reference."""
        found = self.pick(sizes, self.after(sizes, bounds, len(sizes) - 1) > -margin)
        if self.itself:
            later = np.arange(len(sizes))[:, None] >= found
            found = pick_first(sizes, later & (raw > -margin))
        return np.minimum(found, len(sizes) - 1)


RULES = {
    "every larger size passes": Rule(),
    "first passing size": Rule(pick=pick_first),
    "all sizes up to twice as large pass": Rule(pick=pick_window(1.0)),
    "three quarters of these pass": Rule(pick=pick_window(0.75)),
    "isotonic fit, its bounds": Rule(fit=fit_isotonic),
    "isotonic fit, and the size itself": Rule(fit=fit_isotonic, itself=True),
    "the same, up to the last near size": Rule(fit=fit_to_last, itself=True),
    "isotonic fit of the bounds": Rule(after=fit_isotonic),
    "local line, its bounds": Rule(fit=fit_local),
}


@dataclass
class Judge:
    """Differences to the reference of all sizes that may be tested, and their replicates when asked for. ``tune``: what
    another, smaller split says of the same sets."""

    diff: np.ndarray
    tune: np.ndarray
    margin: float
    files: np.ndarray
    errors: np.ndarray
    true: np.ndarray
    weights: np.ndarray
    known: dict[int, np.ndarray]
    fits: dict[tuple[str, bytes], np.ndarray]

    @classmethod
    def of(
        cls, files: np.ndarray, errors: np.ndarray, true: np.ndarray, tune: np.ndarray, margin: float,
        weights: np.ndarray,
    ) -> Judge:  # fmt: skip
        return cls(true + errors.sum(0) / files.sum(), tune, margin, files, errors, true, weights, {}, {})

    def last(self, at: np.ndarray) -> int:
        """Position in ``at`` of the largest size near the best on tune, and on judge near the reference."""
        return minimal.last_near(self.tune[at], self.diff[at], self.margin)

    def replicates(self, at: np.ndarray) -> np.ndarray:
        """(len(at), B) of the sizes number ``at``."""
        new = [int(i) for i in at if int(i) not in self.known]
        if new:
            found = (self.weights @ self.errors[:, new]) / (self.weights @ self.files)[:, None]
            self.known |= {i: self.true[i] + column for i, column in zip(new, found.T, strict=True)}
        return np.stack([self.known[int(i)] for i in at])

    def fit(self, rule: Rule, sizes: np.ndarray, at: np.ndarray) -> np.ndarray:
        """(len(at), B + 2): the rule's fit of the replicates, then its lower and upper bounds."""
        key = rule.fit.__name__, at.tobytes()
        if key not in self.fits:
            fit = rule.fit(sizes[at], self.replicates(at), self.last(at))
            bounds = intervals.lower(fit, CONFIDENCE), intervals.upper(fit, CONFIDENCE)
            self.fits[key] = np.column_stack([fit, *bounds])
        return self.fits[key]


Bounds = tuple[np.ndarray, np.ndarray]  # of the fit, and of the sizes themselves; (S, B) each


def search(
    rule: Rule, sizes: np.ndarray, grid: np.ndarray, margin: float, bounds: Callable[[np.ndarray], Bounds]
) -> tuple[int, np.ndarray]:
    """Grid, then bisection below the size found. ``grid`` and the answers are positions in ``sizes``.

    ``bounds``: of the sizes at (S,) positions, (S, 1) each. Returns the position found and those tested.
    """
    tested = np.asarray(grid)
    while True:
        position = int(rule.position(sizes[tested], *bounds(tested), margin)[0])
        if position == 0 or tested[position] - tested[position - 1] < 2:
            return int(tested[position]), tested
        tested = np.sort(np.append(tested, (tested[position] + tested[position - 1]) // 2))


def answer(rule: Rule, sizes: np.ndarray, grid: np.ndarray, judge: Judge, margin: float) -> tuple[int, int, int, int]:
    """n_minimal, the interval of another judge as minimal.other_judge makes it, and the low end that upper bounds give:
    one more than the tested size below the one that the rule's fit and pick would take if upper bounds were lower ones.
    """

    def bounds(tested: np.ndarray) -> Bounds:
        return judge.fit(rule, sizes, tested)[:, -2:-1], judge.fit(Rule(), sizes, tested)[:, -2:-1]

    found, tested = search(rule, sizes, grid, margin, bounds)
    s, diff, (lower, lower_raw) = sizes[tested], judge.diff[tested][:, None], bounds(tested)
    upper = judge.fit(rule, sizes, tested)[:, -1:]
    half, half_raw = rule.fit(s, diff, judge.last(tested)) - lower, diff - lower_raw
    drawn = diff + np.sqrt(2) * (judge.replicates(tested) - diff)
    positions = rule.position(s, rule.fit(s, drawn, judge.last(tested)) - half, drawn - half_raw, margin)
    low, high = (int(s[int(bound(positions, CONFIDENCE))]) for bound in (intervals.lower, intervals.upper))
    first = int(rule.position(s, upper, np.full_like(lower, np.inf), margin)[0])
    return int(sizes[found]), low, high, int(s[first - 1]) + 1 if first else 1


@dataclass(frozen=True)
class Cell:
    """One setting. ``refit``: standard deviation of the true scores of the sizes about the curve."""

    shape: str
    rows: int
    files: int
    margin: float
    kind: str
    refit: float

    @property
    def too_small(self) -> bool:
        """`dev too small` by the half-width at half of the neurons."""
        return float(1.645 * spread(np.array([N / 2]))[0]) / np.sqrt(self.rows) > self.margin / 2


def simulate(
    cell: Cell, number: int, seed: int, draws: int, n: int, real: RealFiles | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Rule -> name of a figure -> (2 draws,). Each draw has one set of true scores and two judges."""
    grid_sizes = np.array([s for s in minimal.size_grid(N, RATIO) if s >= SMALLEST])
    sizes = fine_sizes(grid_sizes) if real is None else real.sizes
    grid = np.flatnonzero(np.isin(sizes, grid_sizes))
    curve = -SHAPES[cell.shape](sizes.astype(np.float64))

    def from_which_on(scores: np.ndarray) -> int:
        return int(sizes[min(int(pick_suffix(sizes, (scores > -cell.margin)[:, None])[0]), len(sizes) - 1)])

    truth = from_which_on(curve)
    design = from_which_on(curve - 1.645 * spread(sizes) / np.sqrt(cell.rows))
    boots = [intervals.FileBootstrap(np.arange(cell.files), n, [seed, 1, k]).weights for k in range(4)]
    names = ("n", "limit", "wrong", "low", "high", "bound", "fresh")
    found: dict[str, dict[str, list[float]]] = {rule: {name: [] for name in names} for rule in RULES}
    scale = np.minimum(1, spread(sizes) / spread(np.array([N / 4])))
    for draw in range(draws):
        rng = np.random.default_rng([seed, number, draw])
        true = curve + cell.refit * scale * correlated(rng, 1, sizes, cell.kind)[0]
        of_tune, errors = draw_files(rng, sizes, cell.rows // 5, cell.files // 5, cell.kind, real)
        tune = true + errors.sum(0) / of_tune.sum()
        drawn = (draw_files(rng, sizes, cell.rows, cell.files, cell.kind, real) for _ in range(2))
        judges = [Judge.of(*files, true, tune, cell.margin, boots[(2 * draw + k) % 4]) for k, files in enumerate(drawn)]
        for name, rule in RULES.items():

            def exact(tested: np.ndarray, rule: Rule = rule, true: np.ndarray = true) -> Bounds:
                last = minimal.last_near(true[tested], true[tested], cell.margin)
                return rule.fit(sizes[tested], true[tested], last)[:, None], true[tested][:, None]

            best = search(rule, sizes, grid, cell.margin, exact)[0]
            answers = [answer(rule, sizes, grid, judge, cell.margin) for judge in judges]
            for (size, low, high, bound), other in zip(answers, answers[::-1], strict=True):
                wrong = float(true[np.flatnonzero(sizes == size)[0]] <= -cell.margin)
                for key, value in zip(names, (size, sizes[best], wrong, low, high, bound, other[0]), strict=True):
                    found[name][key].append(value)
    arrays = {rule: {key: np.array(v) for key, v in entry.items()} for rule, entry in found.items()}
    for entry in arrays.values():
        entry["truth"], entry["design"] = (np.full(len(entry["n"]), v) for v in (truth, design))
    return arrays


def pool(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _ratio(values: np.ndarray) -> str:
    return " / ".join(f"{v:.2f}" for v in np.percentile(values, [10, 50, 90]))


def line(name: str, f: dict[str, np.ndarray]) -> str:
    """A row of a table: HEAD says of what."""
    quarter = np.percentile(np.log(f["n"] / f["truth"]), [25, 75])

    def covered(low: np.ndarray, what: np.ndarray, high: np.ndarray) -> str:
        return f"{np.mean((low <= what) & (what <= high)):.0%}"

    cells = [
        name, _ratio(f["n"] / f["truth"]), f"{np.median(f['n'] / f['design']):.2f}",
        f"{np.median(f['n'] / f['limit']):.2f}", f"{np.exp(quarter[1] - quarter[0]):.2f}",
        f"{np.mean(f['n'] < f['truth']):.0%}", f"{np.mean(f['wrong']):.1%}",
        covered(f["low"], f["truth"], f["high"]), covered(f["low"], f["design"], f["high"]),
        covered(f["low"], f["fresh"], f["high"]), covered(f["bound"], f["truth"], f["n"]),
        f"{np.median(f['high'] / f['low']):.2f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


HEAD = [
    "n / curve: 10, 50, 90 %", "n / design", "n / limit", "quartiles apart by a factor of", "n below curve",
    "set over the margin", "curve in low-high", "design in low-high", "another judge in low-high",
    "curve in [bound, n]", "high / low",
]  # fmt: skip


def table(first: str, rows: dict[str, list[dict[str, np.ndarray]]]) -> str:
    lines = [f"| {first} | " + " | ".join(HEAD) + " |", "|---" * (len(HEAD) + 1) + "|"]
    return "\n".join([*lines, *(line(name, pool(parts)) for name, parts in rows.items() if parts)])


def tables(results: dict[Cell, dict[str, dict[str, np.ndarray]]]) -> str:
    resolved = {cell: r for cell, r in results.items() if not cell.too_small}
    small = {cell: r for cell, r in results.items() if cell.too_small}
    monotone = {cell: r for cell, r in resolved.items() if cell.shape not in ("overshoot", "dip")}
    text: list[str] = []
    for title, part in (("All settings that judge can resolve", resolved), ("`dev too small`", small)):
        if part:
            rows = {rule: [found[rule] for found in part.values()] for rule in RULES}
            text += [f"{title} ({len(part)} settings)", "", table("rule", rows), ""]
    by: dict[str, Callable[[Cell], str]] = {
        "shape": lambda c: c.shape,
        "judge, margin": lambda c: f"{c.rows:,} rows, {c.margin}",
        "sets, refit noise": lambda c: f"{c.kind}, {c.refit}",
    }
    for title, of in by.items():
        part = resolved if title == "shape" else monotone
        rows = {}
        for key in dict.fromkeys(of(c) for c in part):
            for rule in RULES:
                rows[f"{key}: {rule}"] = [found[rule] for c, found in part.items() if of(c) == key]
        text += [f"By {title}" + ("" if part is resolved else ", shapes that never fall"), "", table("rule", rows), ""]
    return "\n".join(text)


def measure(build: Path, benchmark: str) -> dict[str, RealFiles]:
    """Print the constants as they are on a build, and give the files of order lca of each task."""
    paths, params = Paths(benchmark, build), load_params(build.parent / "params.yaml")
    found: dict[str, RealFiles] = {}
    for task in TASKS:
        features = layout(paths, params, MODEL, task)
        y, files, n_classes = features.labels("judge"), features.files("judge"), len(features.classes)
        score = metrics.primary(read_json(paths.task(task) / "card" / "card.json"))
        probes = read_json(paths.probes(MODEL, task) / "probes.json")
        stored = read_npy(paths.probes(MODEL, task) / "predictions_judge.npy")
        curves = read_json(paths.search(MODEL, task) / "curves.json")["curves"]
        predicted = read_npy(paths.search(MODEL, task) / "predictions_judge.npy")

        def contributions(p: np.ndarray) -> tuple[float, np.ndarray]:
            """Score, and by file what it adds to first order; (F,), of sum 0 as the score has no unit."""
            counts = metrics.counts_by_file(y, p, files, n_classes).astype(np.float64)  # noqa: B023
            total, step = counts.sum(0), 0.5
            gradient = np.zeros_like(total)
            for at in np.ndindex(*total.shape):
                up, down = total.copy(), total.copy()
                up[at] += step
                down[at] = max(0.0, down[at] - step)
                gradient[at] = (float(score(up)) - float(score(down))) / (up[at] - down[at])  # noqa: B023
            return float(score(total)), (counts * gradient).sum((1, 2))  # noqa: B023

        base, of_reference = contributions(stored[probes["order"].index(probes["reference"])])
        rows = np.bincount(files)
        print(f"{task}: {len(y)} rows, {len(rows)} files, rows per file vary by {rows.std() / rows.mean():.2f}")
        everything = np.array(minimal.size_grid(N, RATIO))
        for order in ORDERS:
            sizes = np.array(curves[order]["sizes"])
            keep = np.isin(sizes, everything) & (sizes >= SMALLEST)
            sizes = sizes[keep]
            both = [contributions(predicted[row]) for row in np.array(curves[order]["predictions"])[keep]]
            diff = np.array([b for b, _ in both]) - base
            table_ = np.array([c for _, c in both]).T - of_reference[:, None]
            if order == "lca":
                found[task] = RealFiles(sizes, rows, table_)
            part = (sizes >= 100) & (sizes < N)
            cov = table_[:, part].T @ table_[:, part]
            deviation = np.sqrt(np.diag(cov))
            line_ = np.polyfit(np.log(N / sizes[part]), deviation * np.sqrt(len(y)), 1)
            corr = cov / np.outer(deviation, deviation)
            by_lag = " ".join(f"{np.diag(corr, lag).mean():.2f}" for lag in (1, 2, 4, 8))
            x = np.log(sizes[part])
            x = (x - x.mean()) / x.std()
            powers = np.vander(x, 5)
            rest = np.eye(len(x)) - powers @ np.linalg.pinv(powers)
            extra = (((rest @ diff[part]) ** 2).sum() - np.trace(rest @ cov @ rest.T)) / np.trace(rest)
            middle = table_[:, int(np.argmin(np.abs(sizes - 250)))]
            kurtosis = float(np.mean((middle - middle.mean()) ** 4) / middle.var() ** 2)
            print(
                f"  {order}: SPREAD {line_[1]:.2f} {line_[0]:.2f}; correlation at 1, 2, 4, 8 steps {by_lag}; "
                f"refit {np.sign(extra) * np.sqrt(abs(extra)):.4f}; kurtosis over files {kurtosis:.1f}"
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=30, help="of each setting; two judges each")
    parser.add_argument("--bootstrap", type=int, default=500, help="replicates")
    parser.add_argument("--build", type=Path, help="folder build/, params.yaml beside it: measure, and use its files")
    parser.add_argument("--benchmark", default="default", help="its name in the build folder")
    given = parser.parse_args()
    settings: list[tuple[str, Cell, RealFiles | None]] = []
    if given.build is not None:
        for task, real in measure(given.build, given.benchmark).items():
            rows, files = int(real.rows.sum()), len(real.rows)
            margin = 0.01 if task == "token-roles" else 0.02
            settings += [(task, Cell(s, rows, files, margin, "nested", r), real) for s in SHAPES for r in REFITS]
    else:
        grid = itertools.product(SHAPES, JUDGES, MARGINS, KINDS, REFITS)
        settings = [("", Cell(s, r, f, m, k, e), None) for s, (r, f), m, k, e in grid]
    results: dict[str, dict[Cell, Any]] = {}
    for number, (task, cell, real) in enumerate(tqdm(settings, unit="setting", mininterval=5)):
        found = simulate(cell, number, given.seed, given.draws, given.bootstrap, real)
        results.setdefault(task, {})[cell] = found
    for task, part in results.items():
        print(f"\n{task}\n\n{tables(part)}" if task else tables(part))


if __name__ == "__main__":
    main()
