"""A hub of models and datasets on loopback that speaks the Hugging Face hub's protocol, for tests of the real client.

``with HubServer() as hub: hub.add("owner/name", {"config.json": b"..."}); run(env={"HF_ENDPOINT": hub.url, ...})``.
Two origins, as on the hub: the endpoint, and a store of large files to which it redirects; a token must not go there.
Large are the files that the hub keeps in large-file storage. No xet: plain HTTP, which every client can fall back on.
Every request is kept in ``hub.requests``; faults are made by path, a given number of times.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = ("*.safetensors", "*.bin", "*.parquet", "*.gz")


@dataclass
class Commit:
    id: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """``token``: needed to see it (private), or, where it is gated, to read its files."""

    id: str
    kind: str
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    token: str | None = None

    def find(self, revision: str) -> Commit | None:
        wanted = self.refs.get(revision, revision)
        return next((c for c in self.commits if c.id == wanted), None)


@dataclass
class Fault:
    """What goes wrong, ``times`` times, with requests whose path matches ``path`` and whose method is ``method``."""

    path: str
    times: int = 1
    method: str = "GET"
    cut: int | None = None
    wrong: bool = False
    status: int | None = None
    slow: float = 0.0


@dataclass
class Request:
    """A request that was answered; ``range`` and ``token`` as they were sent."""

    method: str
    path: str
    range: str | None
    token: str | None
    agent: str
    origin: str


class HubServer:
    """The server; ``url`` is for HF_ENDPOINT. A context manager: it listens inside."""

    def __init__(self, page: int = 1000) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.renamed: dict[str, str] = {}
        self.page = page
        self.lock = threading.Lock()
        self.servers: list[ThreadingHTTPServer] = []
        self.url = self.store = ""

    def __enter__(self) -> HubServer:
        for name in ("hub", "store"):
            server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self, "origin": name}))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            self.servers.append(server)
        self.url, self.store = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def add(
        self,
        id: str,
        files: dict[str, bytes],
        kind: str = "model",
        *,
        gated: bool = False,
        token: str | None = None,
        refs: tuple[str, ...] = ("main",),
    ) -> str:
        """A commit with these files, which the branches ``refs`` then point to; returns its 40 digits."""
        repository = self.repositories.setdefault((kind, id), Repository(id, kind))
        repository.gated, repository.token = gated, token
        text = json.dumps([len(repository.commits), id, {name: _sha256(data) for name, data in files.items()}])
        commit = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        repository.commits.append(Commit(commit, dict(files)))
        repository.refs.update(dict.fromkeys(refs, commit))
        return commit

    def rename(self, old: str, new: str) -> None:
        """What was ``old`` is ``new``: the hub redirects every address, as for bert-base-uncased."""
        self.renamed[old] = new

    def fault(self, path: str, **what: Any) -> None:
        self.faults.append(Fault(path, **what))

    def asked(self, pattern: str = "*", method: str | None = None) -> list[Request]:
        return [r for r in self.requests if fnmatch.fnmatch(r.path, pattern) and method in (None, r.method)]

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fnmatch.fnmatch(path, fault.path):
                    fault.times -= 1
                    return fault
        return None


def blob_id(data: bytes) -> str:
    """git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _large(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in LARGE)


def _entry(name: str, data: bytes) -> dict[str, Any]:
    if not _large(name):
        return {"type": "file", "oid": blob_id(data), "size": len(data), "path": name}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{_sha256(data)}\nsize {len(data)}\n".encode()
    large = {"oid": _sha256(data), "size": len(data), "pointerSize": len(pointer)}
    return {"type": "file", "oid": blob_id(pointer), "size": len(data), "path": name, "lfs": large}


def _folders(commit: Commit) -> list[str]:
    return sorted({"/".join(name.split("/")[:i]) for name in commit.files for i in range(1, name.count("/") + 1)})


class _Refused(Exception):
    def __init__(self, status: int, code: str | None, message: str, commit: str | None = None) -> None:
        self.status, self.code, self.message, self.commit = status, code, message, commit


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    origin: str
    protocol_version = "HTTP/1.1"
    headers: Message

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_GET

    def _serve(self) -> None:
        url = urlsplit(self.path)
        path, token = unquote(url.path), (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        request = Request(
            self.command, path, self.headers["Range"], token, self.headers["User-Agent"] or "", self.origin
        )
        with self.hub.lock:
            self.hub.requests.append(request)
        self.fault = self.hub.take_fault(self.command, path)
        if self.fault is not None:
            time.sleep(self.fault.slow)
            if self.fault.status is not None:
                self._send(self.fault.status, b"out of order")
                return
        for old, new in self.hub.renamed.items():
            start = re.match(rf"/(api/models/|api/datasets/|datasets/|)({re.escape(old)})(/|$)", path)
            if start is not None and self.origin == "hub":
                query = f"?{url.query}" if url.query else ""
                self._send(307, b"", {"Location": f"/{start[1]}{new}{url.path[start.end(2) :]}{query}"})
                return
        try:
            if self.origin == "store":
                self._stored(path)
            elif path.startswith("/api/"):
                self._api(path, token, parse_qs(url.query), body)
            else:
                self._resolve(path, token)
        except _Refused as refused:
            headers = {"X-Error-Message": refused.message}
            headers |= {"X-Error-Code": refused.code} if refused.code else {}
            headers |= {"X-Repo-Commit": refused.commit} if refused.commit else {}
            self._json({"error": refused.message}, refused.status, headers)

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        """The answer; the cut and the wrong bytes are of its body alone, the headers promise the whole."""
        headers = {"Content-Length": str(len(data)), **(headers or {})}
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        fault = self.fault
        if fault is not None and fault.wrong and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        if fault is not None and fault.cut is not None:
            self.wfile.write(data[: fault.cut])
            self.wfile.flush()
            self.close_connection = True
            return
        try:
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):  # the client went away
            self.close_connection = True

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _bytes(self, data: bytes, headers: dict[str, str]) -> None:
        wanted = self.headers["Range"]
        if wanted is None:
            self._send(200, data, {"Accept-Ranges": "bytes", **headers})
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, len(data)) if last else len(data)
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}", **headers}
        self._send(206, data[start:stop], headers)

    def _stored(self, path: str) -> None:
        """/<kind>/<owner/name>/<sha256>: what the endpoint redirects to."""
        if self.headers["Authorization"]:  # as signed addresses of a store do
            raise _Refused(400, None, "a token was sent to the store")
        for repository in self.hub.repositories.values():
            for commit in repository.commits:
                for name, data in commit.files.items():
                    if path.endswith(f"/{repository.kind}/{repository.id}/{_sha256(data)}") and _large(name):
                        self._bytes(data, {"ETag": f'"{_sha256(data)[:32]}"'})
                        return
        raise _Refused(404, None, "no such object")

    def _find(self, kind: str, id: str, token: str | None, *, files: bool) -> Repository:
        tokens = {r.token for r in self.hub.repositories.values()} | {"valid"}
        if token is not None and token not in tokens:
            raise _Refused(401, None, "Invalid credentials in Authorization header")
        found = self.hub.repositories.get((kind, id))
        if found is None or (found.token is not None and not found.gated and token != found.token):
            # without a token the hub does not say whether there is none or it is private
            if token is None:
                raise _Refused(401, "RepoNotFound" if files else None, "Invalid username or password.")
            raise _Refused(404, "RepoNotFound", "Repository not found")
        if found.gated and files and token != found.token:
            raise _Refused(401 if token is None else 403, "GatedRepo", f"Access to {kind} {id} is restricted.")
        return found

    def _commit(self, repository: Repository, revision: str) -> Commit:
        found = repository.find(revision)
        if found is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _resolve(self, path: str, token: str | None) -> None:
        """[/datasets]/<owner/name>/resolve/<revision>/<file>: the file, or where the store has it."""
        kind, path = ("dataset", path.removeprefix("/datasets")) if path.startswith("/datasets/") else ("model", path)
        id, _, rest = path.strip("/").partition("/resolve/")
        repository = self._find(kind, id, token, files=True)
        revision, name = self._split(repository, rest)
        commit = self._commit(repository, revision)
        if name not in commit.files:
            raise _Refused(404, "EntryNotFound", "Entry not found", commit.id)
        data = commit.files[name]
        headers = {"X-Repo-Commit": commit.id}
        if not _large(name):
            self._bytes(data, {"ETag": f'"{blob_id(data)}"', **headers})
            return
        headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{_sha256(data)}"'}
        location = f"{self.hub.store}/{kind}/{id}/{_sha256(data)}"
        self._send(302, b"", {"Location": location, "ETag": f'"{blob_id(data)}"', **headers})

    def _split(self, repository: Repository, rest: str) -> tuple[str, str]:
        """Revision and path; a branch such as refs/convert/parquet has slashes of its own."""
        for name in sorted(repository.refs, key=len, reverse=True):
            if rest == name or rest.startswith(name + "/"):
                return name, rest[len(name) + 1 :]
        revision, _, path = rest.partition("/")
        return revision, path

    def _api(self, path: str, token: str | None, query: dict[str, list[str]], body: bytes) -> None:
        plural, _, rest = path.removeprefix("/api/").partition("/")
        if plural not in ("models", "datasets"):
            raise _Refused(404, None, "Not found")
        kind = plural.removesuffix("s")
        parts = re.fullmatch(r"(.+?)(?:/(revision|tree|paths-info|refs)(?:/(.*))?)?", rest)
        assert parts is not None
        id, verb, rest = parts[1], parts[2], parts[3] or ""
        repository = self._find(kind, id, token, files=False)
        if verb == "refs":
            branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in repository.refs.items()]
            self._json({"branches": branches, "tags": [], "converts": []})
            return
        revision, inside = self._split(repository, rest.strip("/"))
        commit = self._commit(repository, revision or "main")
        if verb == "tree":
            self._tree(commit, inside, query)
        elif verb == "paths-info":
            paths = parse_qs(body.decode()).get("paths", [])
            files = [_entry(name, commit.files[name]) for name in paths if name in commit.files]
            folders = [_folder(name) for name in paths if name in _folders(commit)]
            self._json(files + folders)
        else:
            siblings = [{"rfilename": name} for name in sorted(commit.files)]
            gated = "manual" if repository.gated else False
            about = {"private": repository.token is not None and not repository.gated, "gated": gated}
            self._json({"_id": "0", "id": repository.id, "sha": commit.id, "siblings": siblings, "tags": [], **about})

    def _tree(self, commit: Commit, inside: str, query: dict[str, list[str]]) -> None:
        deep = query.get("recursive", ["false"])[0].lower() == "true"
        if inside and inside not in _folders(commit):
            raise _Refused(404, "EntryNotFound", f"{inside} does not exist on the revision", commit.id)
        start = f"{inside}/" if inside else ""
        entries = [_entry(name, data) for name, data in sorted(commit.files.items())]
        entries += [_folder(name) for name in _folders(commit)]
        entries = [e for e in entries if e["path"].startswith(start) and (deep or "/" not in e["path"][len(start) :])]
        first = int(query.get("cursor", ["0"])[0])
        headers = {}
        if first + self.hub.page < len(entries):
            address = f"{self.hub.url}{urlsplit(self.path).path}?recursive={deep}&cursor={first + self.hub.page}"
            headers = {"Link": f'<{address}>; rel="next"'}
        self._json(entries[first : first + self.hub.page], headers=headers)


def _folder(name: str) -> dict[str, Any]:
    return {"type": "directory", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0, "path": name}  # noqa: S324
