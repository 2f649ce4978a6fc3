"""On what a model runs: NEUROSIEVE_DEVICE of the environment, a fact of the machine. Reads and writes no files."""

from __future__ import annotations

import os

import torch

from neurosieve.activations.batches import ActivationsError

VARIABLE = "NEUROSIEVE_DEVICE"
CHOICES = "cpu (the default), cuda, cuda:1, mps or auto"


def find_device(numerics: str) -> torch.device:
    """The device that NEUROSIEVE_DEVICE names: cpu (default), cuda, cuda:<number>, mps, or auto: the best there is.

    Raises
    ------
    ActivationsError
        another name, a device that torch or the machine lacks, and any but the cpu under portable numerics, whose bits
        it would not give.
    """
    found = os.environ.get(VARIABLE) or "cpu"
    if found == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        found = "cpu" if numerics == "portable" else best
    kind, _, number = found.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (":" in found and not (kind == "cuda" and number.isdigit())):
        raise ActivationsError(f"{VARIABLE}: found {found!r}; write {CHOICES}")
    if kind != "cpu" and numerics == "portable":
        raise ActivationsError(
            f"{VARIABLE}: found {found!r}, which gives other bits than `numerics: portable` promises; "
            f"unset it, or write `numerics: fast` in the params file"
        )
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ActivationsError(
            f"{VARIABLE}: found {found!r}; torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices "
            "here: write a smaller number, or unset it to run on the cpu"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ActivationsError(f"{VARIABLE}: found 'mps', which torch {torch.__version__} lacks here; unset it")
    return torch.device(found)
