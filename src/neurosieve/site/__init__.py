"""The site: every result as pages that work from a folder on disk and from any static server.

Reads leaderboard folders alone (see read.py), of one or several benchmarks; writes the files of pages.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

MARK = "assets/site.css"  # in every site, so that no other folder is ever replaced by one


def make_site(folders: Sequence[Path], out: Path) -> list[Path]:
    """Make the site of leaderboard folders, written beside its place and moved there whole; an older one is replaced.

    Parameters
    ----------
    folders : build/<benchmark>/leaderboard or results/<benchmark>, in the order in which they are shown.
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
    from neurosieve.site.read import SiteError, read_all

    out = Path(out)
    if out.exists() and not out.is_dir():
        raise SiteError(f"{out}: a file; name a folder for the site")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise SiteError(f"{out}: holds something other than a site; name a new or empty folder")
    files = render(read_all(folders))
    part = out.absolute().with_name(f".{out.absolute().name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name, content in files.items():
            target = part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        shutil.rmtree(out, ignore_errors=True)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return sorted(out / name for name in files)
