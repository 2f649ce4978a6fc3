"""Minimal subsets of neurons: the search on train, tune and judge, and the one place where test activations are read.

The run functions are imported when they are asked for, so that a short job loads only what it needs.
"""

from __future__ import annotations

import importlib
from typing import Any

_RUN = {
    "search_subsets": "search",
    "check_robustness": "robustness",
    "transfer_subsets": "transfer",
    "score_test": "score",
    "reproduce_published": "published",
}


def __getattr__(name: str) -> Any:
    if name in _RUN:
        return getattr(importlib.import_module(f"{__name__}.{_RUN[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
