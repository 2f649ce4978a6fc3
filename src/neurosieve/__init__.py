"""How many neurons of a code language model does a task need, which ones, and what do they encode?

``neurosieve.load_results()`` reads published results; ``neurosieve.use`` has what turns found neurons into features.
Everything else is run by the command `neurosieve`. Importing the package imports nothing else.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load_results"]


def __getattr__(name: str) -> Any:
    if name == "load_results":
        from neurosieve.results import load_results

        return load_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
