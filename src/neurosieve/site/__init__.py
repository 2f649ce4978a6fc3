"""The site: every result as pages that work from a folder on disk and from any static server.

Reads leaderboard folders alone (see read.py), of one or several benchmarks; writes the files of pages.py, and as the
phase's artifact `site` report.html beside them (see report.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurosieve.artifacts import Paths
    from neurosieve.config import Params

MARK = ".neurosieve-site"  # names the files of a site, so that nothing else is ever replaced by one


REPORT = "report.html"


def build_site(params: Params, paths: Paths) -> None:
    """Write the site of the run's own leaderboard."""
    from neurosieve.flow import writer
    from neurosieve.site import report
    from neurosieve.site.pages import render
    from neurosieve.site.read import read_results

    own = read_results(paths.leaderboard())
    with writer(params, paths, "build_site") as out:
        for name, content in render([own]).items():
            out.path(name).write_bytes(_bytes(content))
        out.text(REPORT, report.page(str(own.facts["title"]), own.rows))
        out.facts = {"rows": len(own.rows)}


def make_site(
    folders: Sequence[Path], out: Path, submitted: Sequence[tuple[Path, Mapping[str, Any]]] = ()
) -> list[Path]:
    """Make the site of leaderboard folders, written beside its place and moved there whole; an older one is replaced.

    Parameters
    ----------
    folders : build/<benchmark>/leaderboard or results/<benchmark>, in the order in which they are shown.
    submitted : leaderboard folders of others with their origin, as collect.read_submissions returns them.
    out : folder of the site; not there, empty, or an older site.

    Returns
    -------
    Every file of the site, sorted.

    Raises
    ------
    SiteError
        for results that cannot be read, and for an ``out`` that holds something else.
    """
    from neurosieve.site.pages import render
    from neurosieve.site.read import OWN, SiteError, read_all

    out = Path(out)
    if out.exists() and not out.is_dir():
        raise SiteError(f"{out}: a file; name a folder for the site")
    if out.is_dir() and _others(out):
        raise SiteError(f"{out}: holds something other than a site; name a new or empty folder")
    files = render(read_all([*((folder, OWN) for folder in folders), *submitted]))
    part = out.absolute().with_name(f".{out.absolute().name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name, content in files.items():
            target = part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_bytes(content))
        (part / MARK).write_text("".join(f"{name}\n" for name in sorted(files)), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return sorted(out / name for name in files)


def _others(out: Path) -> bool:
    """Whether a folder holds what no site wrote."""
    mark = out / MARK
    own = {MARK, *(mark.read_text(encoding="utf-8").splitlines() if mark.is_file() else ())}
    there = (path for path in out.rglob("*") if path.is_symlink() or path.is_file())
    return any(path.relative_to(out).as_posix() not in own for path in there)


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode("utf-8")
