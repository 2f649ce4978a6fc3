"""Are the first neurons of an order necessary for the model's own predictions, or sufficient? Curves, areas, verdicts.

Reads: subsets/search (frozen.json) of the model and of its untrained twins, prepare/tasks/<task>/{judge,card} (for a
task head train too), probes/models/<model>/<task> (ranking_*.npy), activations/<model>/<task>/train, where
there are causal rankings concepts/attribution/<model>/<task>; and the model's folder, head included.
Writes: concepts/faithfulness/<model>/<task>: faithfulness.json.

m is the mean log-probability (nats) of the right token over a sample of judge tokens, or of the right class by the
task head of a fine-tuned model over a sample of judge rows. m(all): nothing changed. m(none): every measured neuron of
the site set to the replacement, at every position. For the first k neurons of an order

- necessity: m with these k set to the replacement, all others as they are;
- sufficiency: m with all others set to it, in every layer, these k as they are,

both as f(k) = (m - m(none)) / (m(all) - m(none)), the faithfulness of Mueller et al. 2025 ("MIB: A Mechanistic
Interpretability Benchmark"). Replacements: the mean on train; and (resample) the value at another token of the same
class from another file, see language.draw_donors. The latter leaves what the class fixes as it is, and so takes away
only what neurons tell beside the class.

f is given only where m(all) - m(none) is above MIN_SPAN nats in every bootstrap replicate; else `reason` says so, and m
alone is given.

Areas, at the sizes k = max(1, floor(share n)) of `shares`: `cpr` is the integral of f over the share k / n from 0 to
1, by the trapezoid rule over the shares and the ends, which are known (sufficiency: f(0) = 0, f(n) = 1; necessity the
reverse); `cmd` that of |1 - f|. `log_cpr`, `log_cmd`: over ln(k / n), from the smallest k to n, divided by the length
ln(n / k), so that f = 1 throughout has the area 1; MIB's code integrates over the logarithm too, without dividing. Of
a good order sufficiency has a large cpr and a small cmd, necessity a small cpr.

Bands. Random orders have the layer of the order at every place (neurons are permuted within layers, constant ones stay
where they are); at k = |chosen| the random sets are drawn apart: none of the first k is among them, wherever a layer
has enough others (`apart`). Beside them the order of the untrained twin, as far as its own subset goes: what a search
finds in a network that has learnt nothing, units that have nothing to do with those of the model but their layers.

Verdicts, at k = |chosen|: `necessary` where ablating the first k lowers m more than every random draw, and the upper
bound of the paired difference to their mean is below 0; `sufficient` where keeping them alone keeps m higher than every
random draw, and its lower bound is above 0. `necessary_curve` and `sufficient_curve`: the same of the areas cpr over
the whole curve. Bounds are one-sided, over files. None of them says what the neurons are used for.

Hidden states of a model are in series: what is kept in one layer comes through what is kept in the layers below and
goes out through those above. Where a layer keeps none of the first k (`empty_layers`), keeping them alone passes
nothing of the text, and f is 0 exactly where that is the last layer, whatever the neurons below carry; the row is then
not sufficient, as are the random sets of the same layers. Feed-forward activations and attention outputs are beside the
residual stream and have no such bottleneck.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from neurosieve.artifacts import ArtifactError, Paths, read_json, read_npy, read_tensors
from neurosieve.concepts import chosen_neurons
from neurosieve.concepts.ablation import NoAblation, draw_apart, judge_sample, load_head, moments
from neurosieve.concepts.attribution import SIGNED
from neurosieve.config import CONTROL_RANKINGS, Params
from neurosieve.flow import writer
from neurosieve.probes.features import Features, layout
from neurosieve.probes.intervals import MIN_FILES, FileBootstrap, lower, upper
from neurosieve.sources.wheels import DEFAULT_CACHE

CHOSEN = "chosen"
MIN_SPAN = 0.01  # nats: what m(all) - m(none) must exceed for shares of it to mean anything
KINDS = ("necessity", "sufficiency")

Measure = Callable[[np.ndarray], np.ndarray]  # neurons that are replaced -> m of every item, float64 (items,)


class NoOrder(Exception):
    """Why a row has no order of some name; the text goes into the artifact."""


@dataclass(frozen=True)
class Order:
    """Neurons, best first: all that are measured, or (of a twin) the first of them. source: where it comes from."""

    name: str
    neurons: np.ndarray
    source: str


@dataclass(frozen=True)
class Point:
    """m of every item for the first k neurons: ``own`` (items,), ``random`` (draws, items), ``twin`` (items,) or None.

    Each by kind: necessity, sufficiency. apart: the random sets hold none of the first k.
    """

    k: int
    apart: bool
    own: dict[str, np.ndarray]
    random: dict[str, np.ndarray]
    twin: dict[str, np.ndarray] | None


def measure_faithfulness(params: Params, paths: Paths, *, model: str, task: str, cache: Any = DEFAULT_CACHE) -> None:
    """Measure ``params.concepts.faithfulness`` for a row.

    The artifact of a row for which there is nothing to measure says why under ``reason``; ``curves`` is empty then.

    Raises
    ------
    ArtifactError
        the model's weights are not those whose activations were taken, or an order has no ranking of its name.
    """
    features = layout(paths, params, model, task)
    key, claimed, chosen = chosen_neurons(paths, model, task)
    found: dict[str, Any] = dict.fromkeys(("kind", "items", "files", "neurons", "accuracy", "random_orders"))
    curves: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    reason = None
    try:
        found, curves, facts = _measure(params, features, chosen, cache)
    except NoAblation as why:
        reason = str(why)
    report = {
        "model": model,
        "task": task,
        "subset": key,
        "claimed": claimed,
        "chosen": len(chosen),
        **found,
        "confidence": params.probes.confidence,
        "curves": curves,
        "reason": reason,
    }
    with writer(params, paths, "measure_faithfulness", model=model, task=task) as out:
        out.json("faithfulness.json", report)
        out.facts = facts


def _measure(
    params: Params, features: Features, chosen: np.ndarray, cache: Any
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    settings, entry = params.concepts.faithfulness, params.models[features.model]
    if settings is None:
        raise NoAblation("concepts.faithfulness is null: off")
    if entry.untrained is not None:
        raise NoAblation("an untrained twin: its predictions are those of random weights")
    if entry.neurons not in settings.sites:
        raise NoAblation(f"neurons: {entry.neurons}, which concepts.faithfulness.sites does not name")
    if features.number:
        raise NoAblation("a task of numbers: there is no right class to be predicted")
    if not len(chosen):
        raise NoAblation("no neurons were chosen")
    width, everything = features.width, features.everything
    token_mean, _, flat = moments(features, features.measured)
    constant = everything[flat]
    orders: list[Order] = []
    missing: dict[str, str] = {}
    for name in settings.orders:
        try:
            orders.append(_order(params, features, name, chosen))
        except NoOrder as why:
            missing[name] = str(why)
    if not orders:
        raise NoAblation("; ".join(missing.values()))
    twin = _twin(params, features)

    # Here, not above: it loads torch, which a row without anything to measure does not need.
    from neurosieve.activations.models import NoHeadError
    from neurosieve.concepts import heads, language

    try:
        if features.unit == "token":
            loaded, mask = load_head(params, features, settings.window, cache)
            target = heads.of_tokens(judge_sample(params, features, loaded, mask, settings), features, loaded, mask)
        else:
            target = heads.of_task(params, features, settings, cache)
        if not len(target.rows):
            raise NoAblation("nothing of judge that the model could predict")
        site = language.find_site(target.loaded, entry.neurons)
    except NoHeadError as why:
        raise NoAblation(str(why)) from None
    if (site.layers, site.width) != (features.layers, width):
        raise NoAblation(
            f"{site.layers} layers of {site.width} neurons can be changed, and {features.layers} of {width} were dumped"
        )
    mean = np.zeros(site.layers * width)
    mean[everything] = token_mean if target.mean is None else target.mean(site)[everything]

    files = features.files("judge")[target.rows]
    names, file_codes = np.unique(files, return_inverse=True)
    bootstrap = None
    if len(names) >= MIN_FILES:
        seed = [params.seed, zlib.crc32(features.task.encode()), zlib.crc32(b"faithfulness")]
        sides = features.rows("judge").sides
        if sides is not None:
            sides = np.unique(sides[names], return_inverse=True)[1].reshape(-1, 2)
        bootstrap = FileBootstrap(file_codes, params.probes.bootstrap, seed, sides)
    untouched = target.predict(None)
    sizes = sorted({max(1, int(share * len(everything) + 1e-9)) for share in settings.shares} - {len(everything)})
    at = len(chosen)
    points = sorted({*sizes, at} - {len(everything)})
    n_sets = 1 + settings.random_orders
    of_twin = sum(twin is not None and k <= len(twin) for k in points) * sum(order.name == CHOSEN for order in orders)
    total = 1 + 2 * (len(points) * n_sets * len(orders) + of_twin)
    curves: list[dict[str, Any]] = []
    facts: dict[str, Any] = dict(target.facts)
    with tqdm(
        total=total * len(settings.methods),
        desc=f"faithfulness {features.model} {features.task}",
        unit=" passes",
        mininterval=5,
    ) as progress:
        for method in settings.methods:
            donors = None
            if method == "resample":
                rng = np.random.default_rng([params.seed, zlib.crc32(features.task.encode()), zlib.crc32(b"donors")])
                try:
                    donors = target.donors(site, rng)
                except NoHeadError as why:
                    curves += [refused(order.name, order.source, site.kind, method, str(why)) for order in orders]
                    continue
                facts["resample"] = donors.facts

            def measure(neurons: np.ndarray, donors: Any = donors) -> np.ndarray:
                means = None if donors is not None else mean[neurons].astype(np.float32)
                progress.update()
                return target.predict(language.Change(neurons, means, 0.0, site, donors)).true

            ends = Ends(untouched.true, measure(everything), file_codes, bootstrap, params.probes.confidence)
            for order in orders:
                codes = [zlib.crc32(name.encode()) for name in (features.model, features.task, order.name)]
                rng = np.random.default_rng([params.seed, *codes, zlib.crc32(b"orders")])
                found = measure_points(
                    order.neurons,
                    everything,
                    points,
                    at,
                    measure,
                    width,
                    constant,
                    settings.random_orders,
                    rng,
                    twin if order.name == CHOSEN else None,
                )
                made = summary(found, ends, sizes, at, len(everything))
                for point in made["points"]:
                    point["empty_layers"] = empty_layers(order.neurons[: point["k"]], features.measured, width)
                named = {"site": site.kind, "method": method, "order": order.name, "source": order.source}
                curves.append(named | made)
    for name, text in missing.items():
        curves += [refused(name, None, site.kind, method, text) for method in settings.methods]
    report = {
        "kind": target.kind,
        "items": len(target.rows),
        "files": len(names),
        "neurons": len(everything),
        "accuracy": float(untouched.right.mean()),
        "random_orders": settings.random_orders,
    }
    return report, curves, facts | {"items": len(target.rows)}


def refused(order: str, source: str | None, kind: str, method: str, why: str) -> dict[str, Any]:
    """What stands in the place of a curve that could not be measured: the keys of one, and the reason."""
    found: dict[str, Any] = {"site": kind, "method": method, "order": order, "source": source, "reason": why}
    return found | {"all": None, "none": None, "span": None, "points": [], "area": None, "verdict": None}


def empty_layers(kept: np.ndarray, layers: Sequence[int], width: int) -> list[int]:
    """Layers that hold none of the kept neurons, ascending."""
    return sorted(set(layers) - set((kept // width).tolist()))


def _order(params: Params, features: Features, name: str, chosen: np.ndarray) -> Order:
    """All measured neurons in the order of that name; those that a ranking leaves out (constant ones) come last.

    NoOrder where a row has no causal rankings, or not this one; ArtifactError for a name that no ranking has.
    """
    probes = features.paths.probes(features.model, features.task)

    def ranking(of: str) -> np.ndarray:
        return read_npy(probes / f"ranking_{of}.npy").astype(np.int64)

    if name == CHOSEN:
        frozen = read_json(features.paths.search(features.model, features.task) / "frozen.json")
        # a search has no order of all neurons, and the best may be a search too
        named = (frozen["headline"], frozen.get("best_ranking"), *params.probes.rankings)
        there = [of for of in named if (probes / f"ranking_{of}.npy").is_file() and of not in CONTROL_RANKINGS]
        rest = there[0] if there else None
        first = np.concatenate([chosen, ranking(rest)]) if rest else chosen
        source = f"the subset of {frozen['headline']}, then " + (f"the ranking {rest}" if rest else "by index")
    elif name in params.probes.rankings:
        first, source = ranking(name), "probes"
    else:
        path = features.paths.attribution(features.model, features.task) / "attribution.safetensors"
        found = read_tensors(path) if path.is_file() else {}
        if f"{name}.order" not in found:
            causal = sorted(key.removesuffix(".order") for key in found if key.endswith(".order"))
            if path.is_file() and not causal:
                raise NoOrder("there is no causal ranking of this row, see its attribution.json")
            method = name.removesuffix(SIGNED)
            if path.is_file() and (why := _refused(path.parent).get(method)):
                raise NoOrder(f"{method} refused this model: {why}")
            raise ArtifactError(
                f"concepts.faithfulness.orders: found {name!r}, expected {CHOSEN} or one of "
                f"{', '.join([*params.probes.rankings, *causal])}; write one of these, or add it to probes.rankings or "
                "concepts.attribution.methods"
            )
        first, source = found[f"{name}.order"].astype(np.int64), "attribution"
    return Order(name, complete(first, features.everything), source)


def _refused(folder: Path) -> dict[str, str]:
    """Methods that the causal rankings of a row lack, and why."""
    return (read_json(folder / "attribution.json")["attribution"] or {}).get("refused", {})


def complete(first: np.ndarray, everything: np.ndarray) -> np.ndarray:
    """``first`` without repetitions and without what is not measured, then all others by index."""
    found = np.array(list(dict.fromkeys(np.concatenate([first, everything]).tolist())), np.int64)
    return found[np.isin(found, everything)]


def _twin(params: Params, features: Features) -> np.ndarray | None:
    """What the headline's search chose in the first untrained twin that is searched too, best first."""
    for name in params.searched_twins_of(features.model):
        _, _, neurons = chosen_neurons(features.paths, name, features.task)
        if len(neurons):
            return neurons
    return None


def shuffled(order: np.ndarray, width: int, fixed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The order with its neurons permuted within layers: every place keeps its layer, ``fixed`` ones their places."""
    found = order.copy()
    free = ~np.isin(order, fixed)
    for layer in np.unique(order // width).tolist():
        at = np.flatnonzero(free & (order // width == layer))
        found[at] = rng.permutation(order[at])
    return found


def measure_points(
    order: np.ndarray,
    everything: np.ndarray,
    points: Sequence[int],
    chosen: int,
    measure: Measure,
    width: int,
    constant: np.ndarray,
    draws: int,
    rng: np.random.Generator,
    twin: np.ndarray | None = None,
) -> list[Point]:
    """m at every point of an order, of ``draws`` random ones with its layers, and of the twin's neurons.

    order, everything : all measured neurons. points : sizes below their number, ascending; at the size ``chosen`` the
    random sets are drawn apart from the first k where every layer has enough others.
    """
    random = [shuffled(order, width, constant, rng) for _ in range(draws)]
    usable = everything[~np.isin(everything, constant)]
    found = []
    for k in points:
        sets, apart = [other[:k] for other in random], False
        if k == chosen:
            with suppress(NoAblation):  # a layer has too few others
                sets, apart = list(draw_apart(np.sort(order[:k]), usable, width, rng, draws)), True
        own = {kind: measure(_replaced(kind, order[:k], everything)) for kind in KINDS}
        beside = {kind: np.stack([measure(_replaced(kind, some, everything)) for some in sets]) for kind in KINDS}
        of_twin = None
        if twin is not None and k <= len(twin):
            of_twin = {kind: measure(_replaced(kind, twin[:k], everything)) for kind in KINDS}
        found.append(Point(k, apart, own, beside, of_twin))
    return found


def _replaced(kind: str, first: np.ndarray, everything: np.ndarray) -> np.ndarray:
    """What is replaced to ask whether the first neurons are necessary, or sufficient; sorted."""
    return np.sort(first) if kind == "necessity" else everything[~np.isin(everything, first)]


class Ends:
    """m with nothing and with everything replaced, (items,) each, and what is made of them for files.

    files : (items,) codes from 0. Without a bootstrap (fewer than MIN_FILES files) there are no bounds.
    """

    def __init__(
        self, all_: np.ndarray, none: np.ndarray, files: np.ndarray, bootstrap: FileBootstrap | None, confidence: float
    ) -> None:
        self.files, self.confidence = files, confidence
        self.weights = None if bootstrap is None else bootstrap.weights.astype(np.float64)
        self.size = np.bincount(files)
        self.all, self.none = self.replicates(all_), self.replicates(none)
        self.span = self.all - self.none

    def replicates(self, values: np.ndarray) -> np.ndarray:
        """Mean of (..., items), and in every draw of files: (..., 1 + draws)."""
        flat = values.reshape(-1, values.shape[-1])
        sums = np.stack([np.bincount(self.files, row, minlength=len(self.size)) for row in flat])
        every = np.ones((1, len(self.size)))
        weights = every if self.weights is None else np.concatenate([every, self.weights])
        means = (sums @ weights.T) / (weights @ self.size)
        return np.asarray(means.reshape(*values.shape[:-1], -1))

    @property
    def reason(self) -> str | None:
        """Why there is no f."""
        if self.weights is None:
            return None if self.span[0] > MIN_SPAN else self._too_near()
        return None if self.span.min() > MIN_SPAN else self._too_near()

    def _too_near(self) -> str:
        return (
            f"m(all) - m(none) is {self.span[0]:.4f} nats and not above {MIN_SPAN:g} in every draw of files: "
            "shares of it mean nothing"
        )

    def f(self, replicates: np.ndarray) -> np.ndarray:
        return np.asarray((replicates - self.none) / self.span)

    def bounds(self, replicates: np.ndarray, name: str = "value") -> dict[str, float | None]:
        """Value and one-sided bounds of (1 + draws,) replicates."""
        if self.weights is None:
            return {name: float(replicates[0]), "low": None, "high": None}
        low, high = lower(replicates[1:], self.confidence), upper(replicates[1:], self.confidence)
        return {name: float(replicates[0]), "low": float(low), "high": float(high)}


def summary(points: Sequence[Point], ends: Ends, sizes: Sequence[int], chosen: int, n: int) -> dict[str, Any]:
    """What faithfulness.json has of one order: points, areas over the ``sizes``, verdicts at ``chosen``."""
    reason = ends.reason
    values = {kind: [ends.replicates(point.own[kind]) for point in points] for kind in KINDS}
    beside = {kind: [ends.replicates(point.random[kind]) for point in points] for kind in KINDS}
    found = []
    for i, point in enumerate(points):
        entry: dict[str, Any] = {"k": point.k, "share": point.k / n, "chosen": point.k == chosen, "apart": point.apart}
        for kind in KINDS:
            twin = None if point.twin is None else ends.replicates(point.twin[kind])
            entry[kind] = _of_point(values[kind][i], beside[kind][i], twin, ends, reason is None)
        found.append(entry)
    area = None
    on_curve = [i for i, point in enumerate(points) if point.k in sizes]
    if reason is None and on_curve:
        ks = [points[i].k for i in on_curve]
        area = {
            kind: _areas(
                kind,
                ks,
                n,
                [ends.f(values[kind][i]) for i in on_curve],
                [ends.f(beside[kind][i]) for i in on_curve],
                ends,
            )
            for kind in KINDS
        }
    verdict: dict[str, Any] = {"k": chosen, "necessary": None, "sufficient": None}
    for entry in found:
        if entry["chosen"]:
            verdict["necessary"] = _lower_than_all(entry["necessity"])
            verdict["sufficient"] = _higher_than_all(entry["sufficiency"])
    verdict["necessary_curve"] = None if area is None else _lower_than_all(area["necessity"]["cpr"])
    verdict["sufficient_curve"] = None if area is None else _higher_than_all(area["sufficiency"]["cpr"])
    return {
        "all": float(ends.all[0]),
        "none": float(ends.none[0]),
        "span": ends.bounds(ends.span),
        "reason": reason,
        "points": found,
        "area": area,
        "verdict": verdict,
    }


def _of_point(
    own: np.ndarray, random: np.ndarray, twin: np.ndarray | None, ends: Ends, faithful: bool
) -> dict[str, Any]:
    """One kind at one point: m and f of the order, bounds of f, random sets and twin, and the difference in m."""
    found: dict[str, Any] = {
        "m": float(own[0]),
        **(ends.bounds(ends.f(own), "f") if faithful else {"f": None, "low": None, "high": None}),
        "random": band(random[:, 0]),
        "random_f": band(ends.f(random)[:, 0]) if faithful else None,
        "twin": None if twin is None else float(twin[0]),
        "twin_f": None if twin is None or not faithful else float(ends.f(twin)[0]),
        "difference": ends.bounds(own - random.mean(axis=0)),
    }
    found["value"] = found["m"]
    return found


def band(values: np.ndarray) -> dict[str, float]:
    """Mean, lowest and highest of random draws."""
    return {"mean": float(values.mean()), "low": float(values.min()), "high": float(values.max())}


def _lower_than_all(entry: dict[str, Any]) -> bool | None:
    """Below every random draw, and the upper bound of the difference to their mean below 0; None without bounds."""
    high = entry["difference"]["high"]
    return None if high is None else bool(high < 0 and entry["value"] < entry["random"]["low"])


def _higher_than_all(entry: dict[str, Any]) -> bool | None:
    low = entry["difference"]["low"]
    return None if low is None else bool(low > 0 and entry["value"] > entry["random"]["high"])


def _areas(
    kind: str, ks: list[int], n: int, own: list[np.ndarray], random: list[np.ndarray], ends: Ends
) -> dict[str, Any]:
    """Areas of one kind: f of the order at every k (1 + draws of files,), of random ones (orders, 1 + draws)."""
    found = {}
    for name, gap, logarithmic in (
        ("cpr", False, False),
        ("cmd", True, False),
        ("log_cpr", False, True),
        ("log_cmd", True, True),
    ):
        mine = area(kind, ks, n, np.stack(own), gap=gap, logarithmic=logarithmic)
        others = area(kind, ks, n, np.stack(random), gap=gap, logarithmic=logarithmic)
        found[name] = {
            **ends.bounds(mine),
            "random": band(others[:, 0]),
            "difference": ends.bounds(mine - others.mean(axis=0)),
        }
    return found


def area(
    kind: str, ks: Sequence[int], n: int, f: np.ndarray, *, gap: bool = False, logarithmic: bool = False
) -> np.ndarray:
    """Area under f (sizes, ...) at the sizes ``ks`` of n neurons, or under |1 - f| (``gap``): (...).

    Over k / n from 0 to 1, or over ln k from ks[0] to n divided by its length. The ends are those of the kind.
    """
    first, last = (1.0, 0.0) if kind == "necessity" else (0.0, 1.0)
    end = np.ones((1, *f.shape[1:]))
    if logarithmic:
        x, y = np.log([*ks, n]), np.concatenate([f, last * end])
        x = (x - x[0]) / (x[-1] - x[0])
    else:
        x, y = np.array([0, *ks, n]) / n, np.concatenate([first * end, f, last * end])
    return np.asarray(np.trapezoid(np.abs(1 - y) if gap else y, x, axis=0))
