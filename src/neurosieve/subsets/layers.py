"""Layer selection: fewest bottom layers, fewest top layers, single layers that pass. Pure functions.

Reads and writes no files. METHOD 3.2, rows 15 and 17: one absolute margin against the one reference, and layers are
tried from the bottom, from the top and each alone. A set of layers passes by its own bounds (:func:`minimal.passes`),
and every larger number has to: layers are few, and no curve is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosieve.subsets import minimal

Span = tuple[int, int]  # first and last layer


@dataclass(frozen=True)
class Found:
    """A set of whole layers on judge: kept neurons, score, score minus the reference's, and the two lower bounds."""

    neurons: int
    judge: float
    difference: float
    lower: float
    baseline_lower: float


def every_span(found: Mapping[Span, Found], measured: Sequence[int], layers: int) -> dict[Span, Found]:
    """``found`` by every span that has the same neurons: of some layers none are measured, and ``measured`` are left.

    measured : layers, ascending. Of a model all of whose layers are measured: ``found``.
    """

    def inner(span: Span) -> Span:
        inside = [layer for layer in measured if span[0] <= layer <= span[1]]
        return (inside[0], inside[-1]) if inside else span

    by_inner = {inner(span): one for span, one in found.items()}
    spans = [(a, b) for a in range(layers) for b in range(a, layers) if a in (0, b) or b == layers - 1]
    return {span: by_inner[inner(span)] for span in spans if inner(span) in by_inner} | dict(found)


def select_layers(found: Mapping[Span, Found], layers: int, margin: float, *, no_claim: str | None) -> dict[str, Any]:
    """Bottom layers, top layers and single layers.

    Parameters
    ----------
    found : by first and last layer; a span without a kept neuron is missing and fails.
    layers : number of layers of the model, the embedding layer included.
    no_claim : why no number of layers can be claimed of this row, if so.

    Returns
    -------
    "bottom", "top": see :func:`_fewest`; "single": a list by layer, {"layer", "neurons", "judge", "lower", "passes"},
    figures None for a layer of constant neurons.
    """
    spans = {
        "bottom": [(0, k) for k in range(layers)],
        "top": [(layers - 1 - k, layers - 1) for k in range(layers)],
    }
    single = [found.get((i, i)) for i in range(layers)]
    return {
        **{side: _fewest([found.get(s) for s in every], margin, no_claim) for side, every in spans.items()},
        "single": [
            {
                "layer": i,
                "neurons": 0 if f is None else f.neurons,
                "judge": None if f is None else f.judge,
                "lower": None if f is None else f.lower,
                "passes": _passes(f, margin),
            }
            for i, f in enumerate(single)
        ],
    }


def number_that_passes(side: Mapping[str, Any]) -> int:
    """Fewest layers from which on every larger number passes, whether it is claimed or not; all where none passes."""
    passes = np.array(side["passes"])
    return minimal.bracket(np.arange(1, len(passes) + 1), passes).every or len(passes)


def _passes(found: Found | None, margin: float) -> bool:
    return found is not None and bool(minimal.passes(np.array(found.lower), np.array(found.baseline_lower), margin))


def _fewest(found: Sequence[Found | None], margin: float, no_claim: str | None) -> dict[str, Any]:
    """``found`` by number of layers, from one to all.

    "layers": the fewest from which on every larger number passes, None where none is claimed; "estimate": else the
    fewest whose estimate is within the margin; "reason": why no number is claimed; "neurons", "score", "lower": of
    that number of layers; "judge", "lowers", "passes": lists by number of layers.
    """
    numbers = np.arange(1, len(found) + 1)
    ok = [_passes(f, margin) for f in found]
    within = [f is not None and f.difference > -margin for f in found]
    fewest = minimal.bracket(numbers, np.array(ok)).every
    reason = no_claim or ("all layers fail" if fewest is None else None)
    estimate = minimal.bracket(numbers, np.array(within)).first
    number = estimate if reason else fewest
    at = None if number is None else found[number - 1]
    return {
        "layers": None if reason else fewest,
        "estimate": estimate if reason else None,
        "reason": reason,
        "neurons": None if at is None else at.neurons,
        "score": None if at is None else at.judge,
        "lower": None if at is None else at.lower,
        "judge": [None if f is None else f.judge for f in found],
        "lowers": [None if f is None else f.lower for f in found],
        "passes": ok,
    }
