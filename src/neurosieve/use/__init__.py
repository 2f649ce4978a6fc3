"""Use what a benchmark found: its neurons as a file, as features of new code, and what they cost.

No phase depends on this. neurons.py: the file of a frozen subset; export.py writes it; features.py: values of its
neurons for new texts; transformer.py: the same for scikit-learn; cost.py: times and memory, measured.
The names below are imported when they are asked for: features need torch, the transformer scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "Extractor": "features",
    "NeuronFeatures": "transformer",
    "Neurons": "neurons",
    "NeuronsError": "neurons",
    "export_neurons": "export",
}
__all__ = ["Extractor", "NeuronFeatures", "Neurons", "NeuronsError", "export_neurons"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
