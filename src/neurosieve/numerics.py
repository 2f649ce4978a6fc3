"""Pins that make the same bits on every x86-64 machine with AVX2 and FMA, and the re-execution that applies them.

The libraries read these variables when they load, so they must stand in the environment before numpy or torch is
imported: the command line calls :func:`apply` first and replaces its own process where they are missing.
Reads and writes no files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# MKL_CBWR=COMPATIBLE: AVX2 alone was not enough for torch. The numpy names are those of numpy 2.4; older names are
# ignored in silence, so `check` reads the features back. One BLAS thread: with two, float32 products changed bits.
PORTABLE = {
    "MKL_CBWR": "COMPATIBLE",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
ALWAYS = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONHASHSEED": "0"}


class NumericsError(RuntimeError):
    """The machine cannot compute portable bits, or the pins came too late."""


def pins(numerics: str) -> dict[str, str]:
    """Environment of a setting of ``numerics:`` in params.yaml (``portable`` or ``fast``)."""
    return {**ALWAYS, **(PORTABLE if numerics == "portable" else {})}


def apply(numerics: str) -> None:
    """Set the pins; where any was missing, replace this process by one that has them (does not return then)."""
    wanted = pins(numerics)
    if all(os.environ.get(k) == v for k, v in wanted.items()):
        if numerics == "portable":
            require_avx2()
        return
    os.environ.update(wanted)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  (ourselves, with the pins)


def check(numerics: str) -> None:
    """Raise NumericsError where a pin did not reach the loaded numpy."""
    if numerics != "portable":
        return
    from numpy._core._multiarray_umath import __cpu_features__ as features

    left = [name for name in ("X86_V4", "AVX512_ICL", "AVX512_SPR") if features.get(name)]
    if left:
        raise NumericsError(
            f"numpy still uses {', '.join(left)}: start through the `neurosieve` command, which sets "
            "the pins before numpy is loaded, or write `numerics: fast` in the params file"
        )


def _missing_features() -> list[str]:
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    return [feature for feature in ("avx2", "fma") if feature not in flags.split()]


def has_avx2() -> bool:
    """Whether this machine can compute portable bits: Linux on x86-64 with AVX2 and FMA."""
    return Path("/proc/cpuinfo").exists() and not _missing_features()


def require_avx2() -> None:
    """Raise NumericsError where this machine cannot compute portable bits."""
    if not Path("/proc/cpuinfo").exists():  # not Linux: the pins are untested there
        raise NumericsError(
            "write `numerics: fast` in the params file: this machine has no /proc/cpuinfo, and `numerics: portable` "
            "needs Linux on x86-64 with AVX2 (results then agree with the published ones within tolerance only)"
        )
    if missing := _missing_features():
        raise NumericsError(
            f"write `numerics: fast` in the params file: this processor lacks {', '.join(missing)}, which `numerics: "
            "portable` needs (results then agree with the published ones within tolerance only)"
        )
