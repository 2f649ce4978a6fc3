"""Relevance patching: (activation - train mean) times a coefficient that relevance propagation gives.

Rezaei Jafari, Eberle, Khakzar, Nanda 2025 (arXiv 2508.21258, "RelP"), who put it in the place of the gradient because
it is less noisy in deep networks; the rules are in :mod:`neurosieve.concepts.attribution._relevance`. It begins with
the gradient of the log-probability by the logits, and goes on by the rules from there, the head's layers included.
"""

from __future__ import annotations

from neurosieve.concepts.attribution._relevance import relevance as rules
from neurosieve.concepts.attribution.gradient_mean import contribution

SIGNED = True

__all__ = ["SIGNED", "contribution", "rules"]
