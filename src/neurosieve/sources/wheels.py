"""Python source from pinned wheels: fetched once, checked by sha256, read from the archive, never installed.

Reads and writes the wheel cache (`.cache/wheels` by default, ignored by git). A wheel that lies there with
the right hash needs no network. Wheels are pinned to `any` platform and no ABI, because a plain
`pip download` would take a binary wheel where a package offers both (SQLAlchemy does).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from neurosieve.artifacts import sha256_file
from neurosieve.config import Wheel

DEFAULT_CACHE = Path(".cache/wheels")
#: Wheels downloaded at a time, and requirements given to one pip call: pip itself downloads one by one.
PARALLEL = 4


class WheelError(RuntimeError):
    """A wheel that cannot be had, or is not the one that was pinned."""


@dataclass(frozen=True)
class SourceFile:
    """A Python file of a wheel; `text` has its line ends as `\\n` and no byte order mark."""

    package: str
    path: str
    text: str


@dataclass
class ReadCounts:
    """What `source_files` met: files given out, and files left out because they are not UTF-8."""

    files: int = 0
    not_utf8: int = 0
    not_utf8_paths: list[str] = field(default_factory=list)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_wheel_of(path: Path, wheel: Wheel) -> bool:
    """Whether a file's name says that it is this wheel (names compare as registries compare them)."""
    parts = path.name.split("-")
    return len(parts) >= 5 and _normalised(parts[0]) == _normalised(wheel.name) and parts[1] == wheel.version


def _cached(wheel: Wheel, cache: Path) -> Path | None:
    for path in sorted(cache.glob("*.whl")):
        if _is_wheel_of(path, wheel):
            _check(wheel, path)
            return path
    return None


def _check(wheel: Wheel, path: Path) -> None:
    found = sha256_file(path)
    if found != wheel.sha256:
        raise WheelError(
            f"{wheel.requirement}: {path.name} has sha256 {found}, the pin says {wheel.sha256}. "
            f"If the file in the cache is damaged, remove it and fetch again; otherwise correct the pin."
        )


def _download(wheels: Sequence[Wheel], cache: Path, pip_args: Sequence[str]) -> dict[str, Path]:
    """One pip call into a temporary folder inside the cache; checked files are then renamed into place."""
    temporary = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    try:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.11",
            "--only-binary", ":all:", "--dest", str(temporary), *pip_args,
            *[wheel.requirement for wheel in wheels],
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            names = ", ".join(wheel.requirement for wheel in wheels)
            raise WheelError(f"pip could not download {names}:\n{(done.stderr or done.stdout).strip()}")
        found: dict[str, Path] = {}
        for wheel in wheels:
            matches = [path for path in sorted(temporary.glob("*.whl")) if _is_wheel_of(path, wheel)]
            if not matches:
                raise WheelError(f"pip downloaded no wheel of {wheel.requirement}")
            _check(wheel, matches[0])
            target = cache / matches[0].name
            matches[0].replace(target)  # same file system, so nobody ever sees half a wheel
            found[wheel.name] = target
        return found
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def fetch_wheels(wheels: Sequence[Wheel], cache: Path = DEFAULT_CACHE, pip_args: Sequence[str] = ()) -> dict[str, Path]:
    """Return the path of every wheel, by name, downloading those that the cache lacks.

    `pip_args` go to `pip download` as they are (an index, `--find-links`). Raises `WheelError` with the
    wheel, the expected and the found hash on a mismatch, or with pip's words when a download fails. A failed
    download leaves nothing in the cache.
    """
    names = [wheel.name for wheel in wheels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise WheelError(f"wheels pinned more than once: {', '.join(twice)}; keep one pin of each")
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    missing: list[Wheel] = []
    for wheel in wheels:
        path = _cached(wheel, cache)
        if path is None:
            missing.append(wheel)
        else:
            found[wheel.name] = path
    groups = [missing[start::PARALLEL] for start in range(min(PARALLEL, len(missing)))]
    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        for group in pool.map(lambda some: _download(some, cache, pip_args), groups):
            found.update(group)
    return {wheel.name: found[wheel.name] for wheel in wheels}


def source_text(data: bytes) -> str:
    """Text of a source file, read alike wherever it lies: UTF-8, without byte order mark, line ends as `\\n`.

    Raises UnicodeDecodeError.
    """
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def source_files(wheel: Path, counts: ReadCounts | None = None) -> Iterator[SourceFile]:
    """Yield the `.py` files of a wheel in the order of their paths, read from the archive.

    `package` is the wheel's own name as its file name has it. A file that is not UTF-8 is left out and
    counted in `counts`; pass one to learn of it (the caller reports it).
    """
    counts = counts if counts is not None else ReadCounts()
    with zipfile.ZipFile(wheel) as archive:
        for path in sorted(name for name in archive.namelist() if name.endswith(".py")):
            try:
                text = source_text(archive.read(path))
            except UnicodeDecodeError:
                counts.not_utf8 += 1
                counts.not_utf8_paths.append(path)
                continue
            counts.files += 1
            yield SourceFile(wheel.name.split("-")[0], path, text)
