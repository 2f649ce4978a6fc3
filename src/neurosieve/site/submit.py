"""`neurosieve submit`: the results of a run as one file to send in, see pack.py.

Reads a leaderboard folder and the params file of its run. Writes one zip, which holds no time, host or folder of this
machine but those in the params file itself.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from neurosieve.artifacts import ArtifactError, check_files, dump_json, read_manifest
from neurosieve.config import Params
from neurosieve.site import pack
from neurosieve.site.compare import differing


def submit(params: Params, params_file: Path, results: Path, by: str, out: Path | None = None) -> tuple[Path, int]:
    """Pack the results of a run; returns the file and the number of its rows.

    Parameters
    ----------
    results : the leaderboard folder, as published or built.
    by : who hands it in, a name as params files have them.
    out : file to write (default: ``<benchmark>-<by>.zip`` here); replaced where it is there.

    Raises
    ------
    ArtifactError
        where results are not whole, not what their manifest says, or not of this params file.
    """
    if not pack.is_name(by) or len(by) > pack.MAX_NAME:
        raise ArtifactError(
            f"--by: found {by!r}; write at most {pack.MAX_NAME} letters, digits, '.', '_' and '-', first a letter or "
            "digit: a folder has this name"
        )
    if not (results / pack.TABLE).is_file():
        raise ArtifactError(
            f"{results}: no {pack.TABLE} in it; run the benchmark (`neurosieve run`), or name its leaderboard with "
            "--results"
        )
    check_files(results)
    made = read_manifest(results).get("params") or {}
    if other := differing(json.loads(dump_json(params.settings("build_leaderboard"))), made):
        first = other[0]
        raise ArtifactError(
            f"{results}: not made with {params_file}: `{first['key']}:` is {first['a']!r} there and was {first['b']!r}"
            + (f", and {len(other) - 1} more keys" if len(other) > 1 else "")
            + "; name the params file of the run with --params"
        )
    inside = {path.relative_to(results).as_posix(): path for path in sorted(results.rglob("*")) if path.is_file()}
    files = {pack.PARAMS: params_file.read_bytes()}
    files |= {f"{pack.INSIDE}{name}": path.read_bytes() for name, path in inside.items()}
    files[pack.PACK] = pack.describe(files, params.benchmark, params.version, version("neurosieve"), by)
    target = out or Path(f"{params.benchmark}-{by}.zip")
    try:
        pack.check(files, str(results))
    except ArtifactError as error:
        raise ArtifactError(f"{error}; run the benchmark again with this release (`neurosieve run`)") from None
    _write(target, pack.to_zip(files))
    return target, len(params.run.models) * len(params.run.tasks)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
