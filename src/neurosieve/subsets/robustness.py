"""What a reader may ask of the minimal subset: is every member needed, is it *this* set, is there another one?

Of the headline's minimal subset S of k neurons, at its penalty; test is not read, and nothing is chosen here.
Reads what search.py reads, and subsets/search/<model>/<task>. Writes subsets/robustness/<model>/<task>:

robustness.json  {"model", "task", "headline", "reason": why no minimum is claimed, and so nothing asked; then without
                 what follows; or null, "metric", "confidence", "margin", "size": k, "l1", "l2", "n_kept", "reference":
                 judge score of what sets are compared with, "judge": that of S, "members": see :func:`members`,
                 "again", "halves", "disjoint", "shuffled": see the functions of these names}. The last four search
                 once more; where the headline is a ranking they are {"reason"} alone.

A set is searched for as the search does it, by the headline from a fit of all neurons, with three differences: the
penalty is that of S throughout, and above LARGE * k neurons, where few are decided about, no size is stopped at and
elimination takes larger steps (``SubsetInput.coarse_above``). On the way down fits end at a gap of LOOSE, for they tell
only which neurons go next. What these do by themselves, :func:`again` tells.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import Paths, read_json, read_tensors
from neurosieve.config import Params
from neurosieve.flow import writer
from neurosieve.probes import intervals, metrics
from neurosieve.probes.agreement import chance_overlap, overlap
from neurosieve.probes.features import standardize_train
from neurosieve.probes.solver import (
    GramCache,
    Memory,
    Probe,
    Product,
    SolverError,
    fit,
    fitting,
    row_weights,
    together,
)
from neurosieve.subsets import contenders, minimal
from neurosieve.subsets.contenders import Fitted, SubsetInput
from neurosieve.subsets.data import Data, Judged, Rival
from neurosieve.subsets.gram import gram_of
from neurosieve.subsets.reference import reference_judge
from neurosieve.subsets.search import load_row
from neurosieve.subsets.target import Target

log = logging.getLogger(__name__)

LARGE = 4  # times k; with 2, 8 or all steps small the sets agree with S, with each other and score as well or badly
MEMBER_GAP = 1e-5  # of fits that differ by one neuron: changes correlate by 0.99 with those at 1e-6, at 1e-4 by 0.97
LOOSE = 1e-3  # gap of a search whose fits do not come to that of the params, and of all its fits but the last
ASIDE = 16  # members that are left out side by side
PERMUTATIONS = 200  # of the judge labels, for what chance scores
LEVEL = 0.01  # of p, below which shuffled labels are above chance: a fault of the search, and no row's luck
RANKED = "the headline is a ranking, not a search: of rankings agreement.json says how stable they are"

Pairs = list[tuple[np.ndarray, np.ndarray]]
Begin = Callable[[SubsetInput], contenders.Choose]


class RobustnessError(ValueError):
    """Asked for where there is nothing to ask."""


@dataclass(frozen=True)
class Subset:
    """S, found among the kept neurons of a row.

    given: all of train with the probe of all neurons at the penalty of S. fitted: S and its probe. judged: the
    predictions of its frozen probe. begin: of the search that found it, None for a ranking.
    """

    data: Data
    given: SubsetInput
    rival: Rival
    fitted: Fitted
    judged: Judged
    begin: Begin | None

    @property
    def size(self) -> int:
        return len(self.fitted.neurons)

    def judge(self, fitted: Fitted) -> dict[str, Any]:
        """Judge score of a set, "difference" to the reference and "lower", its bound, "baseline_lower": that of the
        difference to the best baseline; "passes": what the rule of the search asks of a set by itself."""
        X = np.take(self.data.X["judge"], self.given.at(fitted.neurons), axis=1)
        return self.verdict(self.data.judged(metrics.stored(fitted.probe.predict(X))))

    def verdict(self, judged: Judged) -> dict[str, Any]:
        """The same of predictions."""
        lower, baseline = (self.rival.lower(judged, o) for o in (self.rival.reference, self.rival.baseline))
        return {
            "judge": judged.value,
            "difference": judged.value - self.rival.reference.value,
            "lower": lower,
            "baseline_lower": baseline,
            "passes": bool(minimal.passes(np.array([lower]), np.array([baseline]), self.rival.margin)[0]),
        }


def check_robustness(params: Params, paths: Paths, *, model: str, task: str) -> None:
    """Write subsets/robustness/<model>/<task>; the module's docstring says what.

    Raises
    ------
    RobustnessError
        where ``subsets.robustness`` is null, and for an untrained twin, whose subset nobody claims.
    """
    settings = params.subsets.robustness
    if settings is None:
        raise RobustnessError("subsets.robustness is null; write {resamples: 10, disjoint: 5} in the params file")
    if params.models[model].untrained is not None:
        raise RobustnessError(f"{model} is an untrained twin, whose subset is not claimed; name a trained model")
    began = time.monotonic()
    curves = read_json(paths.search(model, task) / "curves.json")
    headline = curves["headline"]
    found: dict[str, Any] = {"model": model, "task": task, "headline": headline}
    found["reason"] = curves["curves"][headline]["reason"]
    if found["reason"] is None:  # else nothing large is read
        subset = read_subset(params, paths, model, task, headline)
        with tqdm(desc=f"robustness {model} {task}", unit="fit", mininterval=5) as progress:
            found |= _of_the_row(subset)
            found["members"] = members(subset, progress)
            found["again"] = again(subset, progress)
            found["halves"] = halves(subset, settings.resamples, _seed(params, task, "halves"), progress)
            found["disjoint"] = disjoint(subset, settings.disjoint, progress)
            found["shuffled"] = shuffled(subset, _seed(params, task, "shuffled"), progress)
    with writer(params, paths, "check_robustness", model=model, task=task) as out:
        out.json("robustness.json", found)
        out.facts = {"reason": found["reason"]}
    log.info("%s, %s: %.1f s", model, task, time.monotonic() - began)


def read_subset(params: Params, paths: Paths, model: str, task: str, headline: str) -> Subset:
    """The headline's frozen subset, and the row that it was found on."""
    row = load_row(params, paths, model, task)
    data, folder, key = row.data, paths.search(model, task), f"subset-{headline}"
    entry, tensors = read_json(folder / "frozen.json")["sets"][key], read_tensors(folder / "frozen.safetensors")
    start = replace(
        row.probed.oracle, weights=tensors[f"{key}.weights"], intercept=tensors[f"{key}.intercept"],
        l1=entry["l1"], l2=entry["l2"],
    )  # fmt: skip
    oracle = replace(row.probed.oracle, l1=start.l1, l2=start.l2)
    given = _begun(data, data.X["train"], data.y["train"], oracle, params.probes.gap, data.gram)
    frozen = Fitted(np.searchsorted(data.kept, entry["neurons"]), start)
    predicted = start.predict(np.take(data.X["judge"], given.at(frozen.neurons), axis=1))
    begin = contenders.load(headline) if headline in params.subsets.searches else None
    judged = data.judged(metrics.stored(predicted))
    rival = row.rival(data.judged(reference_judge(paths, model, task)))  # as the search had it
    return Subset(data, given, rival, _refit(given, frozen.neurons, frozen), judged, begin)


def _of_the_row(subset: Subset) -> dict[str, Any]:
    rival, probe = subset.rival, subset.fitted.probe
    return {
        "metric": subset.data.metric,
        "confidence": rival.confidence,
        "margin": rival.margin,
        "size": subset.size,
        "l1": probe.l1,
        "l2": probe.l2,
        "n_kept": subset.given.neurons,
        "reference": rival.reference.value,
        "judge": subset.judged.value,
    }


def _seed(params: Params, task: str, what: str) -> list[int]:
    """The same for all models of a task: they meet the same halves and the same shuffled labels."""
    return [params.seed, zlib.crc32(task.encode()), zlib.crc32(what.encode())]


def members(subset: Subset, progress: tqdm[Any]) -> dict[str, Any]:
    """Each member of S left out, and the probe refitted on the others.

    Of fits to MEMBER_GAP, that of S included ("judge": its score then). "neurons": of S, best first; by neuron, without
    it less with it: "change" of the judge score, "low" and "high", its one-sided bounds, and "rise" of the train
    objective (never below 0 but for the gaps). "losses": neurons whose high is below 0, "gains": whose low is above 0,
    "undecided": the others; "by_chance": losses (gains) that bounds of this confidence show on average among as many
    neurons none of which matters. "largest": {"neuron", "change"}. "gap": the largest.
    """
    data, confidence, k = subset.data, subset.rival.confidence, subset.size
    inside = _among(subset.given, subset.fitted.neurons, subset.fitted.probe)
    X = np.take(data.X["judge"], subset.given.at(subset.fitted.neurons), axis=1)
    every = np.arange(k)

    def judged(fitted: Fitted) -> Judged:
        return data.judged(metrics.stored(fitted.probe.predict(np.take(X, inside.at(fitted.neurons), axis=1))))

    whole = _closely(inside, every, inside.full)
    found = judged(whole)
    change, low, high, rise = (np.zeros(k) for _ in range(4))
    gap = whole.probe.gap
    for i, fitted in _left_out(inside, whole) if k > 1 else ():
        without = judged(fitted)
        moved = without.replicates - found.replicates
        change[i] = without.value - found.value
        low[i], high[i] = intervals.lower(moved, confidence), intervals.upper(moved, confidence)
        rise[i], gap = fitted.probe.objective - whole.probe.objective, max(gap, fitted.probe.gap)
        progress.update()
    worst = int(np.argmin(change))
    neurons = data.kept[subset.fitted.neurons]
    return {
        "reason": None if k > 1 else "a subset of one neuron: without it there is no probe",
        "judge": found.value,
        "gap": gap,
        "neurons": neurons,
        "change": change,
        "low": low,
        "high": high,
        "rise": rise,
        "losses": int((high < 0).sum()),
        "undecided": int(((low <= 0) & (high >= 0)).sum()),
        "gains": int((low > 0).sum()),
        "by_chance": (1 - confidence) * k,
        "largest": {"neuron": neurons[worst], "change": change[worst]},
    }


def _left_out(given: SubsetInput, whole: Fitted) -> Iterator[tuple[int, Fitted]]:
    """Each neuron, and the probe of the others, to MEMBER_GAP: ASIDE of them share their products with X, and what
    they learn of the curvature goes to the next ones."""
    k, every, wide = given.neurons, np.arange(given.neurons), given.X.shape[1]
    learned: Pairs = []  # of all columns: a step leaves the weights of the one left out at zero
    for first in range(0, k, ASIDE):
        some = range(first, min(first + ASIDE, k))
        others = [np.delete(every, i) for i in some]
        kept = [given.at(neurons) for neurons in others]
        probe, memories = whole.probe, [Memory() for _ in some]
        for memory, columns in zip(memories, kept, strict=True):
            memory.pairs = [(step[:, columns], change[:, columns]) for step, change in learned]
        try:
            fits = [
                _widened(
                    fitting(
                        given.X[:, columns], given.y, given.n_classes, probe.l1, probe.l2, min(given.gap, MEMBER_GAP),
                        given.max_iterations, replace(probe, weights=probe.weights[columns]),
                        given.gram.take(columns), memory=own,
                    ),
                    columns, wide,
                )
                for columns, own in zip(kept, memories, strict=True)
            ]  # fmt: skip
            probes = together(given.X, [(slice(0, wide), fit) for fit in fits])
        except SolverError:
            probes = [_closely(given, neurons, whole).probe for neurons in others]
        learned = [(_spread(s, kept[-1], wide), _spread(c, kept[-1], wide)) for s, c in memories[-1].pairs]
        yield from zip(some, map(Fitted, others, probes), strict=True)


def _widened(
    work: Generator[Product, np.ndarray, Probe], columns: np.ndarray, wide: int
) -> Generator[Product, np.ndarray, Probe]:
    """A fit on some ``columns`` of X, as one that asks for products with all ``wide`` of them."""
    answer: np.ndarray | None = None
    while True:
        try:
            product = next(work) if answer is None else work.send(answer)
        except StopIteration as done:
            probe: Probe = done.value
            return probe
        if product.back:
            answer = (yield product)[:, columns]
        else:
            answer = yield Product(_spread(product.rows, columns, wide), False)


def _spread(rows: np.ndarray, columns: np.ndarray, wide: int) -> np.ndarray:
    """(m, wide) with ``rows`` (m, columns) at some columns, else zero."""
    found = np.zeros((len(rows), wide), rows.dtype)
    found[:, columns] = rows
    return found


def _closely(given: SubsetInput, neurons: np.ndarray, near: Fitted) -> Fitted:
    """A fit to MEMBER_GAP, or where that is not reached to the gap of the params."""
    try:
        return replace(given, gap=min(given.gap, MEMBER_GAP)).fit(neurons, near)
    except SolverError:
        return _refit(given, neurons, near)


def _refit(given: SubsetInput, neurons: np.ndarray, near: Fitted) -> Fitted:
    """A fit to the gap of the params, or where that is not reached to LOOSE."""
    try:
        return given.fit(neurons, near)
    except SolverError:
        return replace(given, gap=max(given.gap, LOOSE)).fit(neurons, near)


def again(subset: Subset, progress: tqdm[Any]) -> dict[str, Any]:
    """The search of a set of k neurons once more on the same rows, in the way of the questions that follow: what that
    alone changes, the others are to be compared with.

    "jaccard": its overlap with S; "objective" of train beside "objective_subset", that of S; and :meth:`Subset.judge`.
    """
    if subset.begin is None:
        return {"reason": RANKED}
    found = _walked(subset, subset.given)
    progress.update()
    return {
        "reason": None,
        "jaccard": overlap(found.neurons, subset.fitted.neurons),
        "objective": found.probe.objective,
        "objective_subset": subset.fitted.probe.objective,
        **subset.judge(found),
    }


def halves(subset: Subset, resamples: int, seed: Sequence[int], progress: tqdm[Any]) -> dict[str, Any]:
    """The search of a set of k neurons on halves of train, two complementary ones from each random cut of its files.

    After Shah and Samworth (2013), "Variable selection with error control: another look at stability selection": the
    two halves of a cut share no file, so where their sets agree, it is not because they saw the same rows. A half is
    standardised by itself.

    "rows": of each half, the halves of a cut side by side; "gap": of the fits; "frequency": by member of S, the share
    of the halves that chose it; "chosen": {"neurons", "times"} of all that were chosen in any; "ever": their number,
    "ever_by_chance": of random sets. Mean overlaps (Jaccard): "jaccard": of the two sets of a cut, "jaccard_all": of
    any two, "jaccard_subset": of a set and S; "chance": of random sets, "chance_by_layer": of random sets with as many
    neurons in each layer as S has. "sets": what each set scores on judge when it is refitted on all of train, see
    :meth:`Subset.judge`; "passing": how many pass.
    """
    if subset.begin is None:
        return {"reason": RANKED}
    data, k, n = subset.data, subset.size, subset.given.neurons
    features = data.features
    found: list[Fitted] = []
    gaps, rows = [], []
    for at in half_rows(features.files("train"), features.rows("train").sides, resamples, seed):
        y = data.y["train"][at]
        if len(np.unique(y)) < 2:
            return {"reason": f"a half of train has {len(at)} rows with one label between them"}
        X = data.X["train"][at]
        standardize_train(X, features, data.kept)[1].apply(X)
        start = subset.given.full.probe
        gram = gram_of(X, row_weights(start, X))  # of both only the way there depends on it
        fitted, gap = _searched(subset, partial(_begun, data, X, y, start, gram=gram))
        found.append(fitted)
        gaps.append(gap)
        rows.append(len(at))
        progress.update()
    if not found:
        return {"reason": "train has a single file: it has no halves"}
    sets = [fitted.neurons for fitted in found]
    times = np.bincount(np.concatenate(sets), minlength=n)
    chosen = np.flatnonzero(times)
    refitted = [subset.judge(_refit(subset.given, neurons, subset.fitted)) for neurons in sets]
    layer_of = data.kept // features.width
    of_layer = np.bincount(layer_of, minlength=features.layers)
    in_layer = np.bincount(layer_of[subset.fitted.neurons], minlength=features.layers)
    return {
        "reason": None,
        "rows": rows,
        "gap": max(gaps),
        "frequency": times[subset.fitted.neurons] / len(sets),
        "chosen": {"neurons": data.kept[chosen], "times": times[chosen]},
        "ever": len(chosen),
        "ever_by_chance": n * (1 - (1 - k / n) ** len(sets)),
        "jaccard": _mean([overlap(*pair) for pair in zip(sets[::2], sets[1::2], strict=True)]),
        "jaccard_all": _mean([overlap(*pair) for pair in combinations(sets, 2)]),
        "jaccard_subset": _mean([overlap(neurons, subset.fitted.neurons) for neurons in sets]),
        "chance": chance_overlap(k, k, n),
        "chance_by_layer": chance_overlap_by_layer(in_layer.tolist(), of_layer.tolist()),
        "sets": {key: [entry[key] for entry in refitted] for key in refitted[0]},
        "passing": sum(entry["passes"] for entry in refitted),
    }


def half_rows(files: np.ndarray, sides: np.ndarray | None, resamples: int, seed: Sequence[int]) -> Iterator[np.ndarray]:
    """Rows of ``resamples`` halves, int64 each: of every random cut of the files the one half, then the other.

    files, sides : as in features.Rows; of a pair both sides must lie in the half, else it is in neither. Nothing where
    there is a single file.
    """
    units = np.unique(files if sides is None else sides)
    if len(units) < 2:
        return
    rng = np.random.default_rng(seed)
    for _ in range(resamples // 2):
        order = rng.permutation(units)
        first = np.isin(files, order[: len(units) // 2])
        if sides is None:
            yield from (np.flatnonzero(first), np.flatnonzero(~first))
        else:
            number = np.isin(sides, order[: len(units) // 2]).sum(axis=1)[files]
            yield from (np.flatnonzero(number == 2), np.flatnonzero(number == 0))


def chance_overlap_by_layer(chosen: Sequence[int], of: Sequence[int]) -> float:
    """Expected overlap of two independent random sets that both have ``chosen[l]`` of the ``of[l]`` neurons of layer l:
    the number that they share is a sum of hypergeometric ones."""
    shared = np.ones(1)
    for k, n in zip(chosen, of, strict=True):
        ways = [math.comb(k, s) * math.comb(n - k, k - s) / math.comb(n, k) for s in range(k + 1)]
        shared = np.convolve(shared, ways)
    size = sum(chosen)
    both = np.arange(size + 1)
    return float((shared * both / np.maximum(2 * size - both, 1)).sum())


def disjoint(subset: Subset, limit: int, progress: tqdm[Any]) -> dict[str, Any]:
    """S taken out, the search repeated among the neurons that are left, and so on, until a set fails or ``limit`` sets
    beside S passed.

    "sets": S first, then each with "neurons" and what :meth:`Subset.judge` says; "gap": of the fits; "passing": how
    many pass one after another, S included; "stopped": "failed", "limit" (there may be more), or "neurons" (fewer than
    k are left).
    """
    if subset.begin is None:
        return {"reason": RANKED}
    data, given = subset.data, subset.given
    sets = [{"neurons": data.kept[subset.fitted.neurons], **subset.verdict(subset.judged)}]
    left = np.setdiff1d(np.arange(given.neurons), subset.fitted.neurons)
    stopped, gap = "limit", given.gap
    for _ in range(limit):
        if len(left) < subset.size:
            stopped = "neurons"
            break
        inside = _among(given, left, given.full.probe)
        found, reached = _searched(subset, partial(_refitted, inside))
        gap = max(gap, reached)
        found = Fitted(left[found.neurons], found.probe)
        sets.append({"neurons": data.kept[found.neurons], **subset.judge(found)})
        progress.update()
        if not sets[-1]["passes"]:
            stopped = "failed"
            break
        left = np.setdiff1d(left, found.neurons)
    passing = sum(entry["passes"] for entry in sets)
    return {"reason": None, "gap": gap, "sets": sets, "passing": passing, "stopped": stopped}


def shuffled(subset: Subset, seed: Sequence[int], progress: tqdm[Any]) -> dict[str, Any]:
    """The search on labels of train that were permuted over the rows; on judge, permuted as well, its set must know
    nothing. Tune has no part in it: the penalty is that of S.

    "gap": of the fits; "train", "judge": scores of the set. "chance": the mean of what the same predictions score
    against PERMUTATIONS other permutations of the judge labels, "p": the share of these in which they score as much,
    "above_chance": whether it is below LEVEL. Not against a constant: macro-F1 has every guess with the right shares
    of the classes above it.
    """
    if subset.begin is None:
        return {"reason": RANKED}
    rng = np.random.default_rng(seed)
    data = subset.data
    y = {split: rng.permutation(data.y[split]) for split in ("train", "judge")}
    data = replace(data, y={**data.y, **y})
    fitted, gap = _searched(subset, partial(_begun, data, data.X["train"], y["train"], subset.fitted.probe))
    progress.update()
    columns = subset.given.at(fitted.neurons)
    predicted = {split: metrics.stored(fitted.probe.predict(np.take(data.X[split], columns, axis=1))) for split in y}
    judge = data.value("judge", predicted["judge"])
    at_once = np.zeros(len(y["judge"]), np.int64)
    others = np.empty(PERMUTATIONS)
    for i in range(PERMUTATIONS):
        other = rng.permutation(y["judge"])
        others[i] = data.score(metrics.counts_by_file(other, predicted["judge"], at_once, data.n_classes, 1)[0])
    p = float((1 + (others >= judge).sum()) / (1 + PERMUTATIONS))
    return {
        "reason": None,
        "gap": gap,
        "train": data.value("train", predicted["train"]),
        "judge": judge,
        "chance": float(others.mean()),
        "p": p,
        "above_chance": p < LEVEL,
    }


def _begun(
    data: Data, X: np.ndarray, y: np.ndarray, start: Probe, gap: float, gram: GramCache | None = None
) -> SubsetInput:
    """What a search looks at: rows, and the probe of all neurons at the penalty of ``start``; begun from its weights
    where ``gram`` is given, else from zero."""
    settings = data.params.probes
    warm, cache = (None, gram_of(X, None)) if gram is None else (start, gram)
    full = fit(
        X, y, data.n_classes, start.l1, start.l2, gap=gap, max_iterations=settings.max_iterations, warm=warm,
        cache=cache,
    )  # fmt: skip
    if gram is None and (weights := row_weights(full, X)) is not None:
        cache = gram_of(X, weights)
    return SubsetInput(
        X=X, y=y, columns=data.features.columns_per_neuron, n_classes=data.n_classes, gram=cache,
        full=Fitted(np.arange(len(data.kept)), full), target=Target.of(y, data.n_classes), gap=gap,
        max_iterations=settings.max_iterations,
    )  # fmt: skip


def _among(given: SubsetInput, neurons: np.ndarray, probe: Probe) -> SubsetInput:
    """The same rows with some of the neurons alone, which count from 0 there. ``probe``: of these or of all neurons."""
    columns = given.at(neurons)
    if len(probe.weights) != len(columns):
        probe = replace(probe, weights=probe.weights[columns])
    return replace(
        given, X=np.take(given.X, columns, axis=1), gram=given.gram.take(columns),
        full=Fitted(np.arange(len(neurons)), probe),
    )  # fmt: skip


def _refitted(given: SubsetInput, gap: float) -> SubsetInput:
    """The same at a gap, with the probe of all its neurons fitted."""
    given = replace(given, gap=gap)
    return replace(given, full=given.fit(given.full.neurons, given.full))


def _searched(subset: Subset, begun: Callable[[float], SubsetInput]) -> tuple[Fitted, float]:
    """The set of k neurons of what ``begun`` gives for a gap; and the gap: LOOSE where a fit did not come to that of
    the params."""
    gap = subset.given.gap
    try:
        return _walked(subset, begun(gap)), gap
    except SolverError as error:
        if gap >= LOOSE:
            raise
        log.warning("once more with a gap of %g: %s", LOOSE, error)
        return _walked(subset, begun(LOOSE)), LOOSE


def _walked(subset: Subset, given: SubsetInput) -> Fitted:
    """The headline's set of k neurons, from all neurons down."""
    assert subset.begin is not None
    k, n = subset.size, given.neurons
    grid = minimal.size_grid(n, subset.data.params.subsets.ratio)
    between = replace(given, coarse_above=LARGE * k, gap=max(given.gap, LOOSE))
    choose, fitted = subset.begin(between), given.full
    for size in [*(s for s in reversed(grid) if k < s < min(n, LARGE * k + 1)), *[k] * (k < n)]:
        fitted = (given if size == k else between).fit(choose(size, fitted), fitted)
    return fitted


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
