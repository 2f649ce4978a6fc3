"""The faults of the published protocol beside the strict one, on one model and one token task.

    snakemake probes --configfile benchmarks/protocol_spread.yaml
    python benchmarks/protocol_spread.py --params benchmarks/protocol_spread.yaml --model codebert-3mb-clone \
        --task java-tags

Reads the prepared task, the activations and the probes of a benchmark that Snakemake has run (any token task of any
params file), and published.seeds and the other settings of the protocol. Prints, with nothing that changes from run to
run or from machine to machine under `numerics: portable`; writes nothing:

1. published, by seed: the oracle, and the size, layers and score of the reported row, all chosen on test. The seed sets
   the initial weights and the random members of clusters; rows are not shuffled unless published.shuffle says so.
2. strict: one penalty, random starts and random orders of the rows, solved to probes.gap.
3. resamples of train by file, the probe on all neurons: the same draws for both protocols; one seed for the published
   one, so that nothing but train differs. With --whole also what the whole published search reports on each.
4. what choosing on test buys: test is halved by file, everything is chosen on one half, and the reported row is scored
   on both, in either direction, so that a half that is merely harder cancels out; and the same steps chosen on dev.

Scores are the published metric (accuracy for tokens). The probe of the strict protocol has the penalty that fit_probes
chose on tune for all neurons.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Sequence

from neurosieve import numerics
from neurosieve.config import load_params

if __name__ == "__main__":
    numerics.apply("portable")  # before numpy is loaded

import numpy as np

from neurosieve.artifacts import Paths, read_json
from neurosieve.probes.features import layout
from neurosieve.probes.stability import resample_spread, resamples, solved, starts_and_orders
from neurosieve.subsets.published import Sets, load_sets, make_data, published_metric, value
from neurosieve.subsets.published.probe import method_of
from neurosieve.subsets.published.search import Fit, Result, find_oracles, grid_of, search


def spread(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.4f} to {high:.4f}, range {high - low:.4f}, sd {np.std(values, ddof=1):.4f}"


def counts(values: Sequence[int]) -> str:
    return f"{min(values)} to {max(values)} (median {int(np.median(values))})"


def agreement(predicted: Sequence[np.ndarray]) -> float:
    """Smallest share of equal predictions between two of them."""
    return min(float((a == b).mean()) for i, a in enumerate(predicted) for b in predicted[:i])


def halves(files: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a random half of the files, and of the other."""
    codes = np.unique(files)
    first = np.isin(files, rng.permutation(codes)[: len(codes) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def fit_of(result: Result) -> Fit:
    """The probe of the reported row."""
    assert result.best.fit is not None
    return result.best.fit


def score_of(result: Result, name: str) -> float:
    return fit_of(result).scores[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--params", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--build", default="build", help="folder of the artifacts (default: %(default)s)")
    parser.add_argument("--resamples", type=int, default=10, help="of train, by file (default: %(default)s)")
    parser.add_argument("--halvings", type=int, default=2, help="of test, in both directions (default: %(default)s)")
    parser.add_argument("--whole", action="store_true", help="the whole published search on every resample")
    args = parser.parse_args()
    params = load_params(args.params)
    paths = Paths(params.benchmark, args.build)
    settings = params.published
    card = read_json(paths.task(args.task) / "card" / "card.json")
    features = layout(paths, params, args.model, args.task)
    if features.unit != "token":
        parser.error(f"task {args.task} has unit {features.unit}; this comparison is for token tasks")
    raw, y = load_sets(features)
    files = {split: features.files(split) for split in ("train", "test")}
    method, grid = method_of(features.unit, settings), grid_of(True, settings)
    name, K = published_metric(card), len(features.classes)

    def copies() -> Sets:
        return {split: X.copy() for split, X in raw.items()}

    def half_score(rows: np.ndarray) -> Callable[[Fit], float]:
        return lambda fit: value(name, card, y["test"][rows], fit.predicted["test"][rows])

    def score(predicted: np.ndarray) -> float:
        return value(name, card, y["test"], predicted)

    print(f"{args.model} on {args.task}: {features.n_neurons} neurons, {name}")
    print(", ".join(f"{split} {len(labels)} rows" for split, labels in y.items()), end="; ")
    print(f"train {len(np.unique(files['train']))} files, test {len(np.unique(files['test']))} files")
    majority = score(np.full_like(y["test"], np.bincount(y["train"]).argmax()))
    print(f"majority class {majority:.4f}")

    print("\n1. published, everything chosen on test")
    data, _ = make_data(params, features, card, copies(), y, memory={})
    oracles = find_oracles(data, settings.seeds, grid, method)
    found = search(data, settings, method, oracles)
    print("seed  oracle  l1     l2     reported  neurons  layers kept  of rows with neurons")
    for r in found:
        sizes = ", ".join(str(row.n) for row in r.rows)
        print(
            f"{r.seed:4d}  {r.oracle.scores['test']:.4f}  {r.l1:<5g}  {r.l2:<5g}  {score_of(r, 'test'):.4f}    "
            f"{r.best.n:7d}  0-{r.best.k:<10d} {sizes}"
        )
    print(f"oracle:          {spread([r.oracle.scores['test'] for r in found])}")
    print(f"reported score:  {spread([score_of(r, 'test') for r in found])}")
    print(f"reported size:   {counts([r.best.n for r in found])}")
    alike = agreement([r.oracle.predicted["test"] for r in found])
    print(f"oracles of two seeds predict the same on at least {alike:.4f} of test")
    print(f"reported row above its own oracle in {sum(score_of(r, 'test') > r.oracle.scores['test'] for r in found)} "
          f"of {len(found)} seeds")  # fmt: skip

    print("\n2. strict, the probe on all neurons, one penalty")
    probe = read_json(paths.probes(args.model, args.task) / "probes.json")["sets"]["all"]
    l1, l2 = probe["l1"], probe["l2"]
    gap, most = params.probes.gap, params.probes.max_iterations
    same = starts_and_orders(
        data.X["train"], y["train"], data.X["test"], K, l1, l2, seed=params.seed, gap=gap, max_iterations=most
    )  # fmt: skip
    once = score(solved(K, l1, l2, gap, most)(raw["train"], y["train"], raw["test"]))
    print(f"l1 {l1:g}, l2 {l2:g}, gap {gap:g}: {once:.4f} on test")
    print(f"five starts and five orders of the rows: objective differs by {same['spread']:.1e} of it, "
          f"two of them predict the same on at least {same['agreement']:.4f} of test")  # fmt: skip

    print(f"\n3. {args.resamples} resamples of train by file, the probe on all neurons, on test")
    draws = [params.seed, zlib.crc32(b"resamples of train")]
    strict = resample_spread(
        solved(K, l1, l2, gap, most), raw["train"], y["train"], files["train"], raw["test"], score,
        n=args.resamples, seed=draws,
    )  # fmt: skip
    results: list[Result] = []
    drawn_oracles: list[Fit] = []
    for drawn_rows in resamples(files["train"], args.resamples, draws):
        sets = {**copies(), "train": raw["train"][drawn_rows]}
        drawn, _ = make_data(params, features, card, sets, {**y, "train": y["train"][drawn_rows]})
        first = find_oracles(drawn, settings.seeds[:1], grid, method)
        drawn_oracles += [fit for fit, _, _ in first.values()]
        results += search(drawn, settings, method, first) if args.whole else []
    print(f"strict:          {spread(strict['scores'])}; same predictions at least {strict['agreement']:.4f}")
    print(f"published:       {spread([fit.scores['test'] for fit in drawn_oracles])}; "
          f"same predictions at least {agreement([fit.predicted['test'] for fit in drawn_oracles]):.4f}")  # fmt: skip
    if results:
        print(f"published row:   {spread([score_of(r, 'test') for r in results])}; "
              f"neurons {counts([r.best.n for r in results])}")  # fmt: skip

    print("\n4. what choosing on test buys")
    on_dev = search(data, settings, method, oracles, lambda fit: fit.scores["dev"])
    print(f"chosen on dev, scored on test:   {spread([score_of(r, 'test') for r in on_dev])}; "
          f"neurons {counts([r.best.n for r in on_dev])}")  # fmt: skip
    gain = [score_of(a, "test") - score_of(b, "test") for a, b in zip(found, on_dev, strict=True)]
    print(f"chosen on test minus chosen on dev, on test: mean {np.mean(gain):+.4f}, by seed {_list(gain)}")
    optimism: list[float] = []
    for draw in range(args.halvings):
        parts = halves(files["test"], np.random.default_rng([params.seed, draw, zlib.crc32(b"halves of test")]))
        on = [half_score(rows) for rows in parts]
        both = []
        for chosen, fresh in (on, on[::-1]):
            best = [fit_of(r) for r in search(data, settings, method, oracles, chosen)]
            both.append([chosen(fit) - fresh(fit) for fit in best])
        optimism += np.mean(both, axis=0).tolist()
    print(f"on the half of test it was chosen on minus on the other: mean {np.mean(optimism):+.4f}")
    print(f"  by halving and seed, mean of both directions: {_list(optimism)}")


def _list(values: Sequence[float]) -> str:
    return " ".join(f"{v:+.4f}" for v in values)


if __name__ == "__main__":
    main()
