"""Running out of memory: which errors say so, and how much was asked for. No import of weight: no memory is left."""

from __future__ import annotations

import ctypes
import errno
import gc
import re

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_SAYS = re.compile(r"can(no|')t allocate memory|not enough memory|out of memory|unable to allocate|_alloc_failed", re.I)
_ASKED = re.compile(r"(?:unable|tried) to allocate ([\d.,]+ ?\w*?bytes|[\d.]+ [KMGT]i?B)", re.I)


class JobMemoryError(RuntimeError):
    """A job that found too little memory; the message says how much it asked for and which keys make it smaller."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, of Python, numpy, torch or a file that is mapped, is a lack of memory, on a device too."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return type(error).__name__ == "OutOfMemoryError" or says_so(str(error))


def says_so(text: str) -> bool:
    """Whether what an error says is a lack of memory."""
    return bool(_SAYS.search(text))


def give_back(*, map_large: bool = False) -> None:
    """Give back what is not used any more, which glibc keeps otherwise.

    map_large : large blocks are mappings from now on, so that what is freed counts no more; slow where many are made.
    """
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        if map_large:
            libc.mallopt(M_MMAP_THRESHOLD, 1 << 16)
        libc.malloc_trim(0)


def asked(error: BaseException) -> str | None:
    """The size that could not be had, as "1.07 GB"; None where the error does not say it."""
    found = _ASKED.search(str(error))
    if found is None:
        return None
    number, unit = re.match(r"([\d.,]+) ?(\w+)", found[1]).groups()  # type: ignore[union-attr]
    power = {"k": 1, "m": 2, "g": 3, "t": 4}.get(unit[0].lower(), 0)
    size = float(number.replace(",", "")) * (1024 if "i" in unit else 1000) ** power
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"
