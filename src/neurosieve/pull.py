"""`neurosieve pull`: the artifacts of dvc.lock from a DVC remote, such that Snakemake has nothing to do after it.

Runs dvc and Snakemake in the root of a checkout; they write build/, results/ and the times in .snakemake/.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from neurosieve.run import SNAKEFILE, check_lock

PARAMS_FILE = "params.yaml"  # the one that dvc.yaml is about


class PullError(RuntimeError):
    """Artifacts that cannot be fetched, or are not what this checkout would make; with what to do instead."""


def pull(remote: str | None = None) -> None:
    """dvc pull, dvc status, snakemake --touch; the last only where DVC finds nothing that differs.

    ``remote`` is the name of a DVC remote, None for the default one. Raises PullError without a remote, where the pull
    fails, and where params, code, data or artifacts are not those of dvc.lock: it names them and touches nothing.
    """
    if not SNAKEFILE.is_file() or not Path("dvc.lock").is_file():
        raise PullError(f"no {SNAKEFILE} and dvc.lock in {Path.cwd()}; pull in the root of a checkout of NeuroSieve")
    check_lock(PARAMS_FILE)
    _known(remote)
    _dvc(["pull", *(["--remote", remote] if remote else [])], "the pull failed")
    if changes := changed():
        shown = "; ".join(f"{stage}: {', '.join(map(str, what))}" for stage, what in changes.items())
        raise PullError(
            f"what was pulled is not what this checkout would make, so nothing is marked as done: {shown}; go back to "
            "the params, code and data of dvc.lock (`git status`, `git diff` show what is changed), or run the "
            "benchmark (`neurosieve run` or `dvc repro`)"
        )
    _touch()
    print("pulled, and as dvc.lock says: a run of this benchmark has nothing to do")


def changed() -> dict[str, list[str]]:
    """stage -> what DVC says of it: changed params, deps and outs; empty where all is as in dvc.lock."""
    # `--json` says it for programs, and is the same in every language of the user
    text = _dvc(["status", "--json"], "`dvc status` failed")
    found: dict[str, list[str]] = {}
    for stage, entries in (yaml.safe_load(text) or {}).items():
        for entry in entries:
            if not isinstance(entry, dict):
                found.setdefault(stage, []).append(str(entry))
                continue
            for kind, names in entry.items():
                for name, what in names.items() if isinstance(names, dict) else [(names, "")]:
                    said = f"{', '.join(what)} in {name}" if isinstance(what, dict) else f"{name} {what}".strip()
                    found.setdefault(stage, []).append(f"{kind} {said}")
    return found


def _known(remote: str | None) -> None:
    """Raise PullError where there is no remote of that name, or no default one."""
    names = [line.split()[0] for line in _dvc(["remote", "list"], "`dvc remote list` failed").splitlines() if line]
    default = _dvc(["config", "core.remote"], "", check=False).strip()
    if (remote or default) not in names:
        what = f"no DVC remote {remote}" if remote else "no default DVC remote"
        others = f"; there is {', '.join(names)}: `neurosieve pull -r {names[0]}`" if names else ""
        raise PullError(
            f"{what} in this checkout{others}; name one with `dvc remote add --default NAME URL` (docs/reproduce.md), "
            "or run the benchmark (`neurosieve run`)"
        )


def _touch() -> None:
    """Give every output Snakemake's record and a time after its inputs'."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--touch", "--cores", "1", "--quiet", "--configfile", PARAMS_FILE],
        capture_output=True,
        text=True,
        env={**os.environ, "NEUROSIEVE_PUBLISH": "later"},
    )
    if done.returncode:
        raise PullError(f"pulled, but `snakemake --touch` failed: {_last(done.stderr)}")


def _dvc(words: Sequence[str], failed: str, check: bool = True) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *words], capture_output=True, text=True)
    if check and done.returncode and "unsaved files" in done.stderr:
        names = [line for line in done.stderr.splitlines() if Path(line).is_absolute()]
        shown = ", ".join([*(os.path.relpath(name) for name in names[:3]), *(["..."] if names[3:] else [])])
        raise PullError(
            f"{failed}: it would replace files that DVC has not saved: {shown}; keep them (rename build/) or delete "
            "their folders, and pull again"
        )
    if check and done.returncode:
        raise PullError(f"{failed}: {_last(done.stderr)}")
    return done.stdout


def _last(text: str) -> str:
    """The error of a command: its lines but for the advice to ask DVC's makers."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "dvc.org/support" not in line]
    errors = [line for line in lines if line.startswith(("ERROR", "error"))]
    return " ".join(errors or lines[-1:]) or "it said nothing"
