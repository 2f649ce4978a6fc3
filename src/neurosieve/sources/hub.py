"""The Hugging Face hub: files of a repository at a pinned commit, through the hub's own client, and its models.

Reads and writes the hub's cache: `.cache/hub` beside the wheels, or the user's own where HF_HOME or HF_HUB_CACHE is
set. What lies there whole needs no network and no request. Before each use every file is compared with the size and
hash that the hub's listing of the commit states: one that differs is fetched again, or refused. HF_ENDPOINT, HF_TOKEN
and HF_HUB_OFFLINE mean what they mean to the client. No telemetry is sent.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the client is imported

import httpx2
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub import errors as hub_errors
from huggingface_hub.utils import WeakFileLock, disable_progress_bars, filter_repo_objects, get_token

from neurosieve.artifacts import sha256_file
from neurosieve.config import Model
from neurosieve.sources.folder import CONFIG, WEIGHTS, FolderError, indexed, refuse_code_elsewhere
from neurosieve.sources.wheels import DEFAULT_CACHE

constants.HF_HUB_DISABLE_TELEMETRY = True  # where the client was imported before

Kind = Literal["model", "dataset"]

#: What a model consists of, at the top of its repository: shells match these, and `/` is no border to them.
TEXTS = ("*.json", "*.txt", "*.model")
#: Attempts of a download that the hub breaks off, and seconds between them; the client resumes a cut one by itself.
WAITS = (1.0, 4.0)
OWN_CACHE = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")

log = logging.getLogger(__name__)
logging.getLogger("huggingface_hub._snapshot_download").setLevel(logging.ERROR)  # warns of a dataset without a card


class HubError(RuntimeError):
    """A model or dataset of the hub that cannot be had; the message says what was found and what to do."""


@dataclass(frozen=True)
class Snapshot:
    """Files of a commit: their folder, sha256 by name, and whether any of them had to be fetched."""

    folder: Path
    files: dict[str, str]
    fetched: bool


@dataclass(frozen=True)
class Stated:
    """What the hub says of a file: hash `sha1` is that of git's blob, `sha256` of the content; size where known."""

    algorithm: Literal["sha1", "sha256"]
    digest: str
    size: int | None


def hub_folder(entry: Model, name: str, cache: Path = DEFAULT_CACHE) -> tuple[Path, dict[str, Any]]:
    """Folder of ``models.<name>``, a model of the hub, and the facts {"hub", "commit", "files": {name: sha256}}.

    ``cache`` is that of the wheels; the hub's lies beside it. Only configuration, tokenizer and the weights that
    ``entry.weights`` names are fetched, and Python files with ``trust_remote_code``. Raises HubError.
    """
    found = model_snapshot(entry, name, cache)
    return found.folder, {"hub": entry.hub, "commit": entry.revision, "files": found.files}


def model_snapshot(entry: Model, name: str, cache: Path = DEFAULT_CACHE) -> Snapshot:
    """The files of :func:`hub_folder`."""
    assert entry.hub is not None
    if entry.revision is None:
        raise HubError(
            f"models.{name}.revision: missing; `neurosieve fetch --model {entry.hub}` prints the commit to write there"
        )
    fetched, named = False, _named_weights(entry, name, cache, checked=False)
    while True:  # texts alone where the index that names the weights is not here yet, or is another than it should be
        wanted = _wanted_model(entry, name, cache, named)
        found = obtain(wanted)
        fetched |= found.fetched
        _check_model(found, entry, wanted)
        before, named = named, _named_weights(entry, name, cache, checked=True)
        if named == before:
            return Snapshot(found.folder, found.files, fetched)


def _wanted_model(entry: Model, name: str, cache: Path, weights: Sequence[str]) -> Wanted:
    """Configuration, tokenizer and the files of ``weights``, all at the top; Python files at any depth."""
    assert entry.hub is not None and entry.revision is not None
    allow = (*TEXTS, *(glob.escape(file) for file in weights))
    ignore = tuple(f"*/{pattern}" for pattern in allow)  # folders hold other formats of the same weights
    allow += ("*.py",) if entry.trust_remote_code else ()
    return Wanted(entry.hub, entry.revision, "model", allow, ignore, hub_cache(cache), f"models.{name}")


def _named_weights(entry: Model, name: str, cache: Path, *, checked: bool) -> tuple[str, ...]:
    """Files of weights of a model, as far as the cache knows: the one file, else those that the index names.

    ``checked``: the index in the cache is as the hub states it; before, one that cannot be read names nothing.
    """
    wanted = _wanted_model(entry, name, cache, ())
    whole, index = WEIGHTS[entry.weights]
    there = _listing(wanted) or _by_links(wanted.folder)
    if whole in there:
        return (whole,)
    if index not in there or not (wanted.folder / index).is_file():
        return ()
    try:
        return indexed(wanted.folder / index, entry.weights)
    except FolderError as error:
        if not checked:
            return ()
        raise HubError(f"models.{name}: {error}") from error


def hub_cache(cache: Path = DEFAULT_CACHE) -> Path:
    """The hub's cache: the user's own where the environment names one, else `hub` beside the wheels' cache."""
    if any(os.environ.get(variable) for variable in OWN_CACHE):
        return Path(constants.HF_HUB_CACHE)
    return cache.absolute().with_name("hub")


def resolve_commit(id: str, revision: str = "main", kind: Kind = "model") -> str:
    """Commit (40 hex digits) that a branch, a tag or a commit of a model or dataset of the hub is; HubError if none."""
    return str(repository(id, revision, kind).sha)


def repository(id: str, revision: str, kind: Kind) -> Any:
    """What the hub says of a repository at a revision: `sha`, and `siblings` with the names of its files."""
    try:
        return _api().repo_info(id, revision=revision, repo_type=kind, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # httpx, the hub's and the system's errors alike
        raise HubError(explain(error, id, kind, revision)) from error


def fetch_file(id: str, commit: str, kind: Kind, name: str, cache: Path = DEFAULT_CACHE) -> Path:
    """One file of a repository at a commit, checked like the others; HubError where it has none of this name."""
    found = obtain(Wanted(id, commit, kind, (name,), (f"*/{name}",), hub_cache(cache), id))
    if name not in found.files:
        raise HubError(f"{id} has no file {name} at {commit[:12]}")
    return found.folder / name


def _api() -> HfApi:
    return HfApi(library_name="neurosieve")


@dataclass(frozen=True)
class Wanted:
    """The files of a commit that match ``allow`` and not ``ignore``; ``where`` is the key of the params file."""

    id: str
    commit: str
    kind: Kind
    allow: tuple[str, ...]
    ignore: tuple[str, ...]
    cache: Path
    where: str

    @property
    def storage(self) -> Path:
        """Where the client keeps the repository: blobs/<hash>, and snapshots/<commit>/<name>, links to them."""
        return self.cache / f"{self.kind}s--{self.id.replace('/', '--')}"

    @property
    def folder(self) -> Path:
        return self.storage / "snapshots" / self.commit

    def download(self) -> None:
        snapshot_download(
            self.id,
            repo_type=self.kind,
            revision=self.commit,
            cache_dir=self.cache,
            allow_patterns=list(self.allow),
            ignore_patterns=list(self.ignore),
            max_workers=4,
            library_name="neurosieve",
        )

    def check(self) -> _Checked:
        """Compare every file with the listing; no request, no lock, nothing written."""
        listing = _listing(self)
        stated = listing if listing is not None else _by_links(self.folder)
        sums: dict[str, str] = {}
        wrong: dict[str, str] = {}
        for name in filtered(stated, self.allow, self.ignore):
            path, file = self.folder / name, stated[name]
            if not path.is_file():
                wrong[name] = f"{name} is missing"
                continue
            size = path.stat().st_size
            if file.size is not None and size != file.size:
                wrong[name] = f"{name} has {size} bytes instead of {file.size}"
                continue
            sums[name] = sha256_file(path)
            found = sums[name] if file.algorithm == "sha256" else _git_blob(path)
            if file.digest and found != file.digest:
                wrong[name] = f"{name} has {file.algorithm} {found} instead of {file.digest}"
        return _Checked(sums, wrong, listing is not None)

    def remove(self, names: Iterable[str]) -> None:
        """Files that are there, and the blobs behind them: the client takes for whole what lies there."""
        stated = _listing(self) or {}
        for name in names:
            path = self.folder / name
            if not path.exists():  # its blob may be whole, or another commit's as well
                continue
            behind = path.resolve()
            if path.is_symlink():  # to a blob, which may be a link itself, to a store that repositories share
                (path.parent / path.readlink()).unlink(missing_ok=True)
            if behind.is_relative_to(self.cache.resolve()):
                behind.unlink(missing_ok=True)
            if name in stated:  # without links, a blob may lie there beside its copy
                (self.storage / "blobs" / stated[name].digest).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Checked:
    """sha256 by name; by name what is wrong with a file; whether the hub's listing was there to compare with."""

    files: dict[str, str]
    wrong: dict[str, str]
    listed: bool

    @property
    def whole(self) -> bool:
        return self.listed and not self.wrong


def obtain(wanted: Wanted) -> Snapshot:
    """The wanted files, each as the hub states it: from the cache, else from the network."""
    checked = wanted.check()
    if checked.whole:
        return Snapshot(wanted.folder, checked.files, fetched=False)
    try:
        with _locked(wanted):
            checked = wanted.check()  # another job may have fetched it meanwhile
            if checked.whole:
                return Snapshot(wanted.folder, checked.files, fetched=False)
            return _download(wanted, checked)
    except HubError:
        raise
    except Exception as error:  # the client's, httpx's and the system's errors alike
        why = explain(error, wanted.id, wanted.kind, wanted.commit, wanted.cache)
        if checked.files and not checked.listed and not checked.wrong:
            log.warning("%s: used as an older client left it in the cache, without a listing: %s", wanted.where, why)
            return Snapshot(wanted.folder, checked.files, fetched=False)
        here = f"; in the cache, {_some(list(checked.wrong.values()))}" if checked.files and checked.wrong else ""
        raise HubError(f"{wanted.where}: {why}{here}") from error


def _download(wanted: Wanted, before: _Checked) -> Snapshot:
    # Asked once and first: what is wrong with id, revision, token or network is told at once, without the client's
    # five attempts at a listing.
    info = _api().repo_info(
        wanted.id, revision=wanted.commit, repo_type=wanted.kind, timeout=constants.HF_HUB_ETAG_TIMEOUT
    )
    if info.sha != wanted.commit:
        raise HubError(
            f"{wanted.where}: {_host()} answers with the commit {info.sha} of {wanted.id} to {wanted.commit}; "
            "write the commit itself, all 40 digits"
        )
    if not sys.stderr.isatty():
        disable_progress_bars()  # they are for a terminal, not for the log of a job
    if wanted.cache != Path(constants.HF_HUB_CACHE):  # what the client keeps of large files goes where the files go
        os.environ.setdefault("HF_XET_CACHE", str(wanted.cache / "xet"))
    wanted.remove(before.wrong)
    for last in (False, True):
        _download_patiently(wanted)
        checked = wanted.check()
        if checked.whole:
            return Snapshot(wanted.folder, checked.files, fetched=True)
        wanted.remove(checked.wrong)
        if not last:
            log.warning("%s: fetched again, not as the hub states it: %s", wanted.where, _listed(checked))
    raise HubError(
        f"{wanted.where}: what {_host()} sends of {wanted.id} is not what it states: {_listed(checked)}. Nothing of it "
        "was kept. If it stays so, a proxy or mirror on the way changes files (HTTPS_PROXY, HF_ENDPOINT)"
    )


def _listed(checked: _Checked) -> str:
    return "; ".join(checked.wrong.values()) or "no listing of the commit"


def _download_patiently(wanted: Wanted) -> None:
    for wait in (*WAITS, None):
        try:
            wanted.download()
            return
        except Exception as error:
            if wait is None or not _passing(error):
                raise
            why = explain(error, wanted.id, wanted.kind, wanted.commit, wanted.cache)
            log.warning("%s: %s; trying again", wanted.where, why)
            time.sleep(wait)


def _listing(wanted: Wanted) -> dict[str, Stated] | None:
    """The hub's listing of a commit, as the client keeps it; None where it has none (an older client's cache)."""
    path = wanted.storage / "trees" / f"{wanted.commit}.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {
            name: Stated("sha256", info["lfs_sha256"], info["lfs_size"])
            if info.get("lfs_sha256")
            else Stated("sha1", info["blob_id"], info["size"])
            for name, info in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _by_links(folder: Path) -> dict[str, Stated]:
    """The same from the names of the blobs that the links of a snapshot lead to; "" for what is no link."""
    found: dict[str, Stated] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.readlink().name if path.is_symlink() else ""
        digest = name if len(name) in (40, 64) else ""
        found[path.relative_to(folder).as_posix()] = Stated("sha256" if len(digest) == 64 else "sha1", digest, None)
    return found


def _git_blob(path: Path) -> str:
    """The hash that git has for a file: its etag on the hub where the file is not in large-file storage."""
    return hashlib.sha1(b"blob %d\0" % path.stat().st_size + path.read_bytes(), usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _locked(wanted: Wanted) -> Iterator[None]:
    """One job at a time fetches, compares and mends a repository."""
    path = wanted.cache / ".locks" / f"neurosieve--{wanted.storage.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(path):
        yield


def _check_model(found: Snapshot, entry: Model, wanted: Wanted) -> None:
    """Refuse a repository without configuration or weights of the wanted format, saying what it has."""
    there = [path for path in _listing(wanted) or found.files if "/" not in path]
    at = f"{wanted.where}: {wanted.id} at {wanted.commit[:12]}"
    if CONFIG not in found.files:
        raise HubError(f"{at} has no {CONFIG}, so it is no transformers model; it has {_some(there)}")
    if entry.trust_remote_code:
        try:
            refuse_code_elsewhere(found.folder)
        except FolderError as error:
            raise HubError(f"{at}: {error}") from error
    if filtered(there, WEIGHTS[entry.weights]):
        return
    other = "bin" if entry.weights == "safetensors" else "safetensors"
    have = filtered(there, WEIGHTS[other])
    if have and other == "bin":
        raise HubError(
            f"{at} has no safetensors, only {_some(have)}, a pickle, which can run code when it is read carelessly; "
            f"write `weights: bin` under {wanted.where}: the tensors alone are then loaded, and no code"
        )
    if have:
        raise HubError(f"{at} has no pytorch_model.bin, but {_some(have)}; take `weights: bin` out of {wanted.where}")
    raise HubError(f"{at} has no weights that transformers loads with torch; it has {_some(there)}")


def filtered(names: Iterable[str], allow: Sequence[str], ignore: Sequence[str] = ()) -> list[str]:
    """Names that match a pattern of ``allow`` and none of ``ignore``, sorted."""
    return sorted(filter_repo_objects(names, allow_patterns=list(allow), ignore_patterns=list(ignore)))


def _some(names: Sequence[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "no file"


def _passing(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later: the hub's own failures and broken connections."""
    for one in _chain(error):
        if isinstance(one, hub_errors.HfHubHTTPError):
            return one.response.status_code >= 500 or one.response.status_code == 408
        if isinstance(one, httpx2.ConnectError):
            return False
        if isinstance(one, httpx2.TransportError) or "Consistency check failed" in str(one):
            return True
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: list[BaseException] = []
    here: BaseException | None = error
    while here is not None and here not in seen:
        seen.append(here)
        yield here
        here = here.__cause__ or here.__context__


def _host() -> str:
    return urlsplit(constants.ENDPOINT).netloc or constants.ENDPOINT


def explain(
    error: BaseException, id: str, kind: Kind = "model", revision: str | None = None, cache: Path | None = None
) -> str:
    """What an error of the client means and what to do about it, in a sentence or two."""
    option = f"--{kind}"
    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{id}"
    place = f" {cache}" if cache is not None else ""
    for one in _chain(error):
        if isinstance(one, HubError):
            return str(one)
        if isinstance(one, hub_errors.HFValidationError):
            return f"found the id {id!r}; write owner/name as in the address of its page ({' '.join(str(one).split())})"
        if isinstance(one, hub_errors.GatedRepoError):
            asked = "the token in use (HF_TOKEN) has no access to it" if get_token() else "no token was sent"
            return (
                f"the {kind} {id} is gated: its owner gives access on request, and {asked}. Log in and ask for access "
                f"at {page}, make a token with read access at {constants.ENDPOINT}/settings/tokens, and set HF_TOKEN "
                "to it"
            )
        if isinstance(one, hub_errors.RevisionNotFoundError):
            return (
                f"{_host()} has the {kind} {id}, but no revision {revision or 'of that name'}; "
                f"`neurosieve fetch {option} {id}` prints the commit of its main branch"
            )
        if isinstance(one, hub_errors.DisabledRepoError):
            return f"{_host()} has disabled access to the {kind} {id}; name another {kind}"
        if isinstance(one, hub_errors.RepositoryNotFoundError) or (_status(one) == 401 and not get_token()):
            token = "with the token in use (HF_TOKEN)" if get_token() else "without a token"
            spelling = "" if "/" in id else "; nearly all ids are owner/name, and this one has no owner"
            return (
                f"{_host()} shows no {kind} {id!r} {token}{spelling}. Check the spelling, capitals too, against the "
                f"address of its page ({page}); if it is private, set HF_TOKEN to a token that may read it"
                + ("; if it is a dataset, give it under `dataset:`" if kind == "model" else "")
            )
        if isinstance(one, hub_errors.RemoteEntryNotFoundError):
            return f"{id} has no file {one.response.url.path.rsplit('/', 1)[-1]} at revision {revision or 'main'}"
        if isinstance(one, hub_errors.OfflineModeIsEnabled):
            return (
                f"HF_HUB_OFFLINE is set and the cache{place} lacks files of {id}; run `neurosieve fetch` once without "
                "HF_HUB_OFFLINE where there is network, for the same cache"
            )
        if isinstance(one, hub_errors.HfHubHTTPError):
            return _explain_status(one.response.status_code, id, kind)
        if isinstance(one, hub_errors.FileMetadataError):
            return f"{_host()} answers, but not as a hub does; check HF_ENDPOINT and the proxy ({_short(one)})"
        if isinstance(one, httpx2.TimeoutException):
            return (
                f"{_host()} gave no answer for {id} in time; try again, or allow more seconds with "
                "HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT (10 each)"
            )
        if isinstance(one, (httpx2.RemoteProtocolError, httpx2.ReadError)):
            return f"{_host()} broke off the connection while {id} was fetched; fetch again: whole files are kept"
        if isinstance(one, httpx2.TransportError):
            return (
                f"no connection to {_host()} for the {kind} {id} ({_short(one)}). On a machine without network, fill "
                "the cache first: run `neurosieve fetch --params FILE` where there is network, for the same cache"
                f"{place}; a mirror is named by HF_ENDPOINT, a proxy by HTTPS_PROXY"
            )
        if isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"no space left for {id} in the cache{place}; make room, or name a folder elsewhere with HF_HOME"
        if isinstance(one, OSError) and one.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"cannot write {id} to the cache{place} ({_short(one)}); name a folder of your own with HF_HOME"
        if "Consistency check failed" in str(one):
            return f"a file of {id} came cut off from {_host()}; fetch again: whole files are kept"
    return f"cannot fetch the {kind} {id}: {type(error).__name__}: {_short(error)}"


def _status(error: BaseException) -> int | None:
    return error.response.status_code if isinstance(error, hub_errors.HfHubHTTPError) else None


def _explain_status(status: int, id: str, kind: Kind) -> str:
    if status == 401:
        return f"{_host()} refuses the token in use (status 401); set HF_TOKEN to a valid one, or unset it"
    if status == 403:
        return f"{_host()} forbids access to the {kind} {id} (status 403); set HF_TOKEN to a token that may read it"
    if status == 429:
        return f"{_host()} allows no more requests for now (status 429); wait some minutes, or set HF_TOKEN"
    return f"{_host()} fails with status {status} for the {kind} {id}; try again later"


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
