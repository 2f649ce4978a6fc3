"""Results folders as they were in a git revision, for a site that shows them beside others.

Reads git; writes below a folder that the caller names.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from neurosieve.site.compare import commit_of
from neurosieve.site.read import SiteError


def results_folder(given: str, into: Path) -> Path:
    """The results folder that ``given`` names.

    Parameters
    ----------
    given : a folder, or REVISION:FOLDER, such as HEAD~3:results/default; a folder that is there is taken as it is.
    into : empty folder, below which one of a revision is unpacked, as <FOLDER's last part>@<REVISION>.

    Raises
    ------
    SiteError
        for a revision that git does not know, or that has no such folder.
    """
    revision, colon, folder = given.partition(":")
    if not colon or Path(given).exists():
        return Path(given)
    commit = commit_of(revision)
    if commit is None:
        raise SiteError(f"{given}: neither a folder nor one of a git revision: git knows no {revision!r} here")
    done = subprocess.run(["git", "archive", "--format=tar", f"{commit}:./{folder}"], capture_output=True, check=False)
    if done.returncode:
        raise SiteError(f"{given}: no folder {folder!r} in {revision!r}; name one, such as {revision}:results/default")
    target = into / f"{Path(folder).name}@{revision.replace('/', '-')}"
    if target.exists():
        raise SiteError(f"{given}: given twice; give each once")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(target, filter="data")
    return target
