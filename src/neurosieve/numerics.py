"""Pins that make the same bits on every x86-64 machine with AVX2 and FMA, and the re-execution that applies them.

The libraries read these variables when they load, so they must stand in the environment before numpy or torch is
imported: the command line calls :func:`apply` first and replaces its own process where they are missing. Elsewhere
`numerics: portable` cannot hold: the machine's own instructions compute, one BLAS thread all the same, and every
manifest says so (:func:`marks`).
Reads /proc/cpuinfo where there is one; writes no files.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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
# Where PORTABLE cannot hold: nothing that names an instruction set, for the libraries believe it and are killed.
NATIVE = {"OPENBLAS_NUM_THREADS": "1"}
ALWAYS = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONHASHSEED": "0"}
NEEDED = {"avx2": "AVX2", "fma": "FMA3"}  # names in /proc/cpuinfo, and those of numpy
CPUINFO = Path("/proc/cpuinfo")


class NumericsError(RuntimeError):
    """The pins came too late."""


@functools.cache
def shortfall() -> str:
    """Why this machine cannot compute portable bits, such as ``aarch64``; empty where it can.

    The pins were compared on Linux on x86-64 alone. numpy asks the processor itself: under an emulator /proc/cpuinfo
    is that of the machine outside. It is asked second, for a wrong pin in the environment kills it as it loads.
    """
    machine = platform.machine()
    if not sys.platform.startswith("linux"):
        return f"{platform.system()} on {machine}"
    if machine not in ("x86_64", "AMD64"):
        return machine
    missing = _missing(_told_by_linux())
    if not missing:
        missing = _missing(_told_by_numpy())
    return f"{machine} without {', '.join(missing)}" if missing else ""


def _missing(features: Mapping[str, bool]) -> list[str]:
    return [name for name, there in features.items() if not there]


def _told_by_linux() -> dict[str, bool]:
    """Features by /proc/cpuinfo; none where it says nothing of x86."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    flags = next((line.split() for line in lines if line.startswith("flags")), None)
    return {} if flags is None else {name: name in flags for name in NEEDED}


def _told_by_numpy() -> dict[str, bool]:
    """Features by numpy; none where it is not installed yet."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:
        return {}
    return {name: bool(features.get(of_numpy)) for name, of_numpy in NEEDED.items()}


def notice(numerics: str) -> str:
    """One line for a user whose machine cannot do what ``numerics:`` asks for; empty where it can."""
    if numerics != "portable" or not shortfall():
        return ""
    return (
        f"`numerics: portable` does not hold on this machine ({shortfall()}): its own instructions compute, figures "
        "agree with those of other machines within tolerance only, and the manifests say so"
    )


def marks(params: Mapping[str, Any], inputs: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """What a manifest says under ``facts``, ``numerics``: machines on which portable numerics did not hold, sorted.

    Those of the ``inputs``' manifests, and this one where ``params`` hold ``numerics: portable``; none where every bit
    is portable, or portable bits were not asked for.
    """
    found = {mark for manifest in inputs for mark in manifest.get("facts", {}).get("numerics", ())}
    if params.get("numerics") == "portable" and shortfall():
        found.add(f"native: {shortfall()}")
    return sorted(found)


def add(values: Iterable[float]) -> float:
    """Sum from left to right. ``sum`` rounds floats in another way from Python 3.12 on."""
    total = 0.0
    for value in values:
        total += value
    return total


def pins(numerics: str) -> dict[str, str]:
    """Environment of a setting of ``numerics:`` in params.yaml (``portable`` or ``fast``) on this machine."""
    if numerics != "portable":
        return dict(ALWAYS)
    return {**ALWAYS, **(NATIVE if shortfall() else PORTABLE)}


def set_pins(numerics: str) -> bool:
    """Set the pins in the environment, for processes that are started from here; whether any was missing."""
    wanted = pins(numerics)
    # of another machine, for example of the node that submitted this job
    foreign = []
    if numerics == "portable" and shortfall():
        foreign = [k for k, v in PORTABLE.items() if k not in wanted and os.environ.get(k) == v]
    missing = any(os.environ.get(k) != v for k, v in wanted.items())
    for name in foreign:
        del os.environ[name]
    os.environ.update(wanted)
    return missing or bool(foreign)


def apply(numerics: str) -> None:
    """Set the pins; where any was missing, replace this process by one that has them (does not return then)."""
    if not set_pins(numerics):
        return
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  (ourselves, with the pins)


def check(numerics: str) -> None:
    """Raise NumericsError where a pin did not reach the loaded numpy."""
    if numerics != "portable" or shortfall():
        return
    from numpy._core._multiarray_umath import __cpu_features__ as features

    left = [name for name in ("X86_V4", "AVX512_ICL", "AVX512_SPR") if features.get(name)]
    if left:
        raise NumericsError(
            f"numpy still uses {', '.join(left)}: start through the `neurosieve` command, which sets "
            "the pins before numpy is loaded, or write `numerics: fast` in the params file"
        )
