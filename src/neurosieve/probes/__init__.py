"""Probes on neurons: features, the solver, rankings, surface baselines, and the status of every row.

The run functions are imported when they are asked for, so that a short job loads only what it needs.
"""

from __future__ import annotations

import importlib
from typing import Any

_RUN = {"fit_baselines": "baselines", "fit_probes": "fit", "fit_controls": "control", "decide_status": "status"}


def __getattr__(name: str) -> Any:
    if name in _RUN:
        return getattr(importlib.import_module(f"{__name__}.{_RUN[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
