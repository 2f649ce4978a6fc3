"""How the cost of each job grows with tokens and with neurons: exponents fitted to made-up benchmarks of several sizes.

The method's own exponents: a dump, a probe, a search read each token once, so that 1 is all that tokens can ask. A dump
runs each layer once; correlations are of pairs of neurons, and a Gram matrix of columns is of pairs too: 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from speed import sized
from speed.common import Options, Row, fresh, growth

TOKENS = ((1000, 4000, 16_000), (5, 128))  # rows to train; layers, width
NEURONS = (4000, ((2, 128), (4, 128), (16, 128)))  # rows to train; layers, width: 256, 512, 2,048 neurons
OWN = {  # by tokens, by neurons
    "dump_activations": (1, 1),
    "measure_redundancy": (1, 2),
    "fit_probes": (1, 2),
    "fit_controls": (1, 2),
    "search_subsets": (1, 2),
}


def measure(options: Options, numerics: str, sizes: list[tuple[int, int, int]]) -> list[dict[str, dict[str, float]]]:
    """What each job of benchmarks of (tokens, layers, width) took; all of a benchmark in one process, warmed up."""
    warm = options.work / "warm"
    if not warm.exists():
        fresh(sized.make, "fast", folder=warm, setting="fast", tokens=400, layers=2, width=64)
    found = []
    for tokens, layers, width in sizes:
        place = options.work / f"{tokens}-{layers}-{width}"
        if not place.exists():
            fresh(sized.make, "fast", folder=place, setting="fast", tokens=tokens, layers=layers, width=width)
        found.append(fresh(sized.jobs, numerics, folder=place, warm=warm).value["rules"])
    return found


def rows(options: Options) -> Iterator[Row]:
    tokens, (layers, width) = options.size(TOKENS, ((400, 800), (2, 64)))
    fixed, shapes = options.size(NEURONS, (400, ((2, 64), (4, 64))))
    neurons = [a * b for a, b in shapes]
    by_tokens = f"tokens x1 to x{tokens[-1] // tokens[0]}, {layers * width} neurons"
    by_neurons = f"neurons x1 to x{neurons[-1] // neurons[0]}, {fixed:,} tokens to train"
    facts: dict[str, Any] = {"numerics": "fast", "partly": options.partly}
    for at, what, counts, sizes in (
        (0, by_tokens, tokens, [(each, layers, width) for each in tokens]),
        (1, by_neurons, neurons, [(fixed, *shape) for shape in shapes]),
    ):
        found = measure(options, "fast", sizes)
        for rule, own in OWN.items():
            costs = [each[rule]["cpu"] for each in found]
            yield growth(f"{rule}, {what}", counts, costs, own[at], "CPU s", **facts)
        most = [max(job["mb"] for job in each.values()) for each in found]
        # a matrix of tokens and neurons; correlations of pairs of neurons
        yield growth(f"memory of the largest job, {what}", counts, most, (1, 2)[at], "MB", **facts)
