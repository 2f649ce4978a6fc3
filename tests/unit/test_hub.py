"""Models and datasets of the hub: the real client against a hub on loopback (tests/hub_server.py)."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_models
import yaml
from hub_server import HubServer, blob_id
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from neurosieve import config
from neurosieve.config import HubDataset, Model, Wheel
from neurosieve.sources import datasets, fetch, hub
from neurosieve.sources.hub import HubError, hub_folder

CLOSED = "http://127.0.0.1:9"  # the port of `discard`, where nothing listens
WEIGHTS = np.random.default_rng(7).bytes(5000)
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b'{"version": "1.0"}',
    "vocab.txt": b"a\nb\n",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"a pickle",
    "tf_model.h5": b"another library's",
    "modeling_own.py": b"raise SystemExit",
    "README.md": b"# Tiny\n",
    "onnx/model.safetensors": b"elsewhere",
    "onnx/config.json": b"{}",
}
NEEDED = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]
VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What HF_ENDPOINT does when the client is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, token or cache of the user's, and nothing but loopback."""
    for name in (*VARIABLES, *(n for n in os.environ if n.lower().endswith("_proxy"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "WAITS", (0.0, 0.0))
    use(monkeypatch, CLOSED)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as running:
        use(monkeypatch, running.url)
        yield running
    close_session()


def entry(commit: str | None, id: str = "org/tiny", **more: Any) -> Model:
    return Model.model_validate({"hub": id, "revision": commit, **more})


def get(commit: str, cache: Path, id: str = "org/tiny", **more: Any) -> tuple[Path, dict[str, Any]]:
    return hub_folder(entry(commit, id, **more), "m", cache)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "wheels"


def refused(commit: str | None, cache: Path, id: str = "org/tiny", **more: Any) -> str:
    with pytest.raises(HubError) as error:
        get(commit, cache, id, **more)  # type: ignore[arg-type]
    return str(error.value)


def environment(**more: str) -> dict[str, str]:
    clean = {n: v for n, v in os.environ.items() if n not in VARIABLES}
    return {**clean, "PYTHONPATH": str(Path("src").absolute()), **more}


def in_process(commit: str, cache: Path, **more: str) -> subprocess.Popen[str]:
    """hub_folder in a process of its own, with the environment as a user sets it; prints its facts."""
    code = (
        "import json, sys; from pathlib import Path\n"
        "from neurosieve import config; from neurosieve.sources import hub\n"
        f"m = config.Model.model_validate({{'hub': 'org/tiny', 'revision': {commit!r}}})\n"
        f"try: print(json.dumps(hub.hub_folder(m, 'm', Path({str(cache)!r}))[1]))\n"
        "except hub.HubError as error: sys.exit(str(error))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment(**more), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


# --- download


def test_what_a_model_needs_is_fetched_into_the_cache_beside_the_wheels(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    folder, facts = get(commit, cache)
    assert folder.is_relative_to(cache.parent / "hub")
    assert facts == {"hub": "org/tiny", "commit": commit, "files": {name: sha256(FILES[name]) for name in NEEDED}}
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == NEEDED
    assert all((folder / name).read_bytes() == FILES[name] for name in NEEDED)
    assert not server.asked("*agent-harnesses*") and not server.asked("*telemetry*")
    assert all(r.token is None and "torch" not in r.agent for r in server.requests)


def test_a_listing_of_several_pages_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    with HubServer(page=2) as server:
        use(monkeypatch, server.url)
        commit = server.add("org/tiny", FILES)
        assert sorted(get(commit, cache)[1]["files"]) == NEEDED
        assert len(server.asked("*/tree/*")) == 6  # ten files and a folder
    close_session()


def test_the_pinned_commit_is_used_whatever_the_branch_says(server: HubServer, cache: Path) -> None:
    first = server.add("org/tiny", FILES)
    second = server.add("org/tiny", {**FILES, "model.safetensors": b"later weights"})
    assert hub.resolve_commit("org/tiny") == second and hub.resolve_commit("org/tiny", first) == first
    old, new = get(first, cache), get(second, cache)
    assert (old[0] / "model.safetensors").read_bytes() == WEIGHTS
    assert (new[0] / "model.safetensors").read_bytes() == b"later weights"
    assert old[1]["commit"] == first and new[1]["commit"] == second
    # of what both have alike nothing was fetched twice
    assert len(server.asked("*/config.json", "GET")) == len(server.asked("*/vocab.txt", "GET")) == 1


def test_an_id_without_owner_is_followed_to_where_it_moved(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    server.rename("tiny", "org/tiny")
    assert hub.resolve_commit("tiny") == commit
    _, facts = get(commit, cache, id="tiny")
    assert facts["hub"] == "tiny" and sorted(facts["files"]) == NEEDED


def test_the_second_use_asks_nothing(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = server.add("org/tiny", FILES)
    first = get(commit, cache)
    server.requests.clear()
    assert get(commit, cache) == first
    assert server.requests == []
    use(monkeypatch, CLOSED)
    assert get(commit, cache) == first


def test_a_cache_of_the_users_own_is_used(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = server.add("org/tiny", FILES)
    monkeypatch.setenv("HF_HOME", str(cache.parent / "own"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache.parent / "own" / "hub"))  # read at import
    assert get(commit, cache)[0].is_relative_to(cache.parent / "own")
    assert not (cache.parent / "hub").exists()


def test_a_broken_connection_is_resumed_where_it_broke(server: HubServer, cache: Path) -> None:
    large = np.random.default_rng(0).bytes(12_000_000)  # more than the client's chunk of 10 MiB
    commit = server.add("org/tiny", {**FILES, "model.safetensors": large})
    store = f"*/{sha256(large)}"
    server.fault(store, cut=11_000_000)
    folder, facts = get(commit, cache)
    assert [r.range for r in server.asked(store, "GET")] == [None, f"bytes={10 * 2**20}-"]
    assert (folder / "model.safetensors").read_bytes() == large
    assert facts["files"]["model.safetensors"] == sha256(large)


def test_a_download_that_was_killed_goes_on_with_the_files_it_lacks(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    server.fault(f"*/{sha256(WEIGHTS)}", slow=60)
    job = in_process(commit, cache, HF_ENDPOINT=server.url)
    snapshots = cache.parent / "hub" / "models--org--tiny" / "snapshots"
    while not server.asked(f"*/{sha256(WEIGHTS)}") or len(list(snapshots.glob("*/*"))) < 3:
        assert job.poll() is None, job.communicate()
    job.kill()
    job.communicate()
    server.requests.clear()
    assert sorted(get(commit, cache)[1]["files"]) == NEEDED
    assert [r.path for r in server.asked("/[!a]*", "GET")] == [f"/model/org/tiny/{sha256(WEIGHTS)}"]


def test_a_failure_of_the_hub_is_tried_again(server: HubServer, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    commit = server.add("org/tiny", FILES)
    server.fault(f"*/{sha256(WEIGHTS)}", status=500, times=2)
    assert sorted(get(commit, cache)[1]["files"]) == NEEDED
    assert len(server.asked(f"*/{sha256(WEIGHTS)}", "GET")) == 3
    assert "fails with status 500" in caplog.text
    server.fault("*/resolve/*/config.json", status=503, times=3)
    later = server.add("org/tiny", {**FILES, "config.json": b"{}"})
    assert "fails with status 503" in refused(later, cache)


# --- bytes that are not as the hub states them


def test_wrong_bytes_are_fetched_again_and_never_used(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    server.fault(f"*/{sha256(WEIGHTS)}", wrong=True)
    server.fault("*/tokenizer.json", wrong=True)
    folder, _ = get(commit, cache)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "tokenizer.json").read_bytes() == FILES["tokenizer.json"]


def test_wrong_bytes_that_stay_are_refused_and_not_kept(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    server.fault(f"*/{sha256(WEIGHTS)}", wrong=True, times=2)
    message = refused(commit, cache)
    found = sha256(bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:])
    assert f"model.safetensors has sha256 {found} instead of {sha256(WEIGHTS)}" in message and server.url[7:] in message
    kept = [p.name for p in (cache.parent / "hub").rglob("*") if p.is_file() and p.read_bytes()[1:] == WEIGHTS[1:]]
    assert kept == []
    assert get(commit, cache)[1]["files"]["model.safetensors"] == sha256(WEIGHTS)


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("damage", ["cut", "changed", "text"])
def test_a_damaged_cache_is_mended_or_refused(
    server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str, links: bool
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", not links)
    commit = server.add("org/tiny", FILES)
    folder, facts = get(commit, cache)
    assert (folder / "config.json").is_symlink() == links
    name = "config.json" if damage == "text" else "model.safetensors"
    blob = (folder / name).resolve()
    blob.write_bytes(WEIGHTS[:-1] if damage == "cut" else FILES[name][:-1] + b"!")
    use(monkeypatch, CLOSED)
    what = {
        "cut": "model.safetensors has 4999 bytes instead of 5000",
        "changed": f"model.safetensors has sha256 {sha256(WEIGHTS[:-1] + b'!')} instead of {sha256(WEIGHTS)}",
        "text": f"config.json has sha1 {blob_id(FILES[name][:-1] + b'!')} instead of {blob_id(FILES[name])}",
    }[damage]
    assert what in refused(commit, cache)
    use(monkeypatch, server.url)
    assert get(commit, cache) == (folder, facts)
    assert (folder / name).read_bytes() == FILES[name]


def test_a_lost_link_costs_no_blob_of_another_commit(server: HubServer, cache: Path) -> None:
    first = server.add("org/tiny", FILES)
    second = server.add("org/tiny", {**FILES, "config.json": b"{}"})
    folder, _ = get(first, cache)
    other, _ = get(second, cache)
    (other / "model.safetensors").unlink()
    server.requests.clear()
    get(second, cache)
    assert not server.asked("/model/*")
    assert (folder / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes() == WEIGHTS


def test_damage_in_the_cache_and_then_on_the_way_is_mended(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    folder, facts = get(commit, cache)
    (folder / "model.safetensors").resolve().write_bytes(WEIGHTS[:-1])
    server.fault(f"*/{sha256(WEIGHTS)}", wrong=True)
    assert get(commit, cache) == (folder, facts)


def test_a_damaged_blob_that_repositories_share_goes_too(server: HubServer, cache: Path) -> None:
    """The client's store of large files: blobs of repositories are links into it, and it is trusted by size."""
    commit = server.add("org/tiny", FILES)
    folder, facts = get(commit, cache)
    blob = (folder / "model.safetensors").resolve()
    shared = cache.parent / "hub" / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(shared)
    assert get(commit, cache) == (folder, facts)
    shared.write_bytes(WEIGHTS[:-1] + b"!")
    assert get(commit, cache) == (folder, facts) and not shared.exists()


def test_a_damaged_blob_is_not_copied_where_links_are_no_longer_made(
    server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.add("org/tiny", FILES)
    folder, facts = get(commit, cache)
    (folder / "model.safetensors").resolve().write_bytes(WEIGHTS[:-1])
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    assert get(commit, cache) == (folder, facts)


def test_a_cache_of_an_older_client_is_used_without_network(
    server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Older clients keep no listing; the names of the blobs still say what is in them."""
    commit = server.add("org/tiny", FILES)
    folder, facts = get(commit, cache)
    shutil.rmtree(folder.parents[1] / "trees")
    use(monkeypatch, CLOSED)
    assert get(commit, cache) == (folder, facts)
    assert "without a listing" in caplog.text
    (folder / "model.safetensors").resolve().write_bytes(b"other weights")
    assert "model.safetensors has sha256" in refused(commit, cache)


def test_two_jobs_at_a_time_fetch_each_file_once(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    server.fault(f"*/{sha256(WEIGHTS)}", slow=1.0)
    home = cache.parent / "home"
    home.mkdir()
    jobs = [in_process(commit, cache, HF_ENDPOINT=server.url, HOME=str(home)) for _ in range(2)]
    found = [job.communicate(timeout=60) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], found
    assert found[0][0] == found[1][0] and sorted(json.loads(found[0][0])["files"]) == NEEDED
    paths = [r.path for r in server.requests if r.method == "GET"]
    files = [path for path in paths if not path.startswith("/api/")]
    assert len(files) == len(set(files)) == 4
    # the listing of the commit; the commit itself, before the texts and before the weights that they name
    assert sorted(Counter(path for path in paths if path.startswith("/api/")).values()) == [1, 2]
    assert not list(home.rglob("*"))


# --- what the hub refuses


def test_an_unknown_id_is_told(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("org/tiny", FILES)
    commit = "0" * 40
    message = refused(commit, cache, id="org/tine")
    assert "models.m: " in message and "shows no model 'org/tine' without a token" in message
    assert "Check the spelling" in message and f"{server.url}/org/tine" in message and "HF_TOKEN" in message
    assert "this one has no owner" in refused(commit, cache, id="tiny")
    monkeypatch.setenv("HF_TOKEN", "valid")
    assert "shows no model 'org/tine' with the token in use" in refused(commit, cache, id="org/tine")
    monkeypatch.setenv("HF_TOKEN", "expired")
    assert "refuses the token in use (status 401)" in refused(commit, cache)
    with pytest.raises(HubError, match="write owner/name"):
        hub.resolve_commit("org/tiny/more")


def test_an_unknown_revision_is_told(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    message = refused("1" * 40, cache)
    assert f"no revision {'1' * 40}" in message and "`neurosieve fetch --model org/tiny` prints the commit" in message
    assert "models.m.revision: missing" in refused(None, cache)
    tag = "a" * 40  # what a hub takes for a revision, and is no commit
    server.add("org/tagged", FILES, refs=("main", tag))
    assert "write the commit itself, all 40 digits" in refused(tag, cache, id="org/tagged")
    with pytest.raises(HubError, match="no revision v2"):
        hub.resolve_commit("org/tiny", "v2")
    assert hub.resolve_commit("org/tiny") == commit


def test_a_gated_model_needs_a_token_with_access(
    server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = server.add("org/tiny", FILES, gated=True, token="given")  # noqa: S106
    message = refused(commit, cache)
    assert "is gated" in message and "no token was sent" in message
    assert f"ask for access at {server.url}/org/tiny" in message and "set HF_TOKEN" in message
    monkeypatch.setenv("HF_TOKEN", "valid")
    assert "the token in use (HF_TOKEN) has no access to it" in refused(commit, cache)
    monkeypatch.setenv("HF_TOKEN", "given")
    assert sorted(get(commit, cache)[1]["files"]) == NEEDED
    assert {r.token for r in server.requests if r.origin == "store"} == {None}


def test_a_private_model_needs_its_token(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = server.add("org/tiny", FILES, token="given")  # noqa: S106
    assert "if it is private, set HF_TOKEN" in refused(commit, cache)
    monkeypatch.setenv("HF_TOKEN", "given")
    assert sorted(get(commit, cache)[1]["files"]) == NEEDED


def test_no_network_is_told_with_the_host_and_the_way_out(cache: Path) -> None:
    message = refused("0" * 40, cache)
    assert "no connection to 127.0.0.1:9" in message and "`neurosieve fetch --params FILE`" in message
    assert str(cache.parent / "hub") in message


def test_a_hub_that_does_not_answer_in_time(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = server.add("org/tiny", FILES)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    server.fault("*/revision/*", slow=1.0)
    assert "gave no answer for org/tiny in time" in refused(commit, cache)


@pytest.mark.parametrize("number, words", [(errno.ENOSPC, "no space left"), (errno.EROFS, "cannot write org/tiny")])
def test_a_disk_that_takes_no_more(
    server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    commit = server.add("org/tiny", FILES)

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(hub, "snapshot_download", full)
    message = refused(commit, cache)
    assert words in message and str(cache.parent / "hub") in message and "HF_HOME" in message


def test_a_server_that_is_no_hub(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    server.fault("*/revision/*", status=200)
    assert "cannot fetch the model org/tiny" in refused(commit, cache)


# --- offline


def test_offline_a_full_cache_is_enough_and_half_of_one_is_not(server: HubServer, cache: Path) -> None:
    commit = server.add("org/tiny", FILES)
    _, facts = get(commit, cache)
    for settings in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": CLOSED}):
        out, err = (job := in_process(commit, cache, **settings)).communicate(timeout=60)
        assert job.returncode == 0 and json.loads(out) == facts, err
    lost = next((cache.parent / "hub").glob("*/snapshots/*/model.safetensors"))
    lost.unlink()
    out, err = (job := in_process(commit, cache, HF_HUB_OFFLINE="1")).communicate(timeout=60)
    assert job.returncode == 1
    assert "HF_HUB_OFFLINE is set" in err and "model.safetensors is missing" in err


# --- formats


def test_without_safetensors_the_message_says_what_to_write(server: HubServer, cache: Path) -> None:
    files = {name: data for name, data in FILES.items() if not name.endswith("model.safetensors")}
    commit = server.add("org/tiny", files)
    message = refused(commit, cache)
    assert "no safetensors, only pytorch_model.bin, a pickle" in message
    assert "write `weights: bin` under models.m" in message
    assert not server.asked("/model/*")  # the message comes before the weights
    assert "pytorch_model.bin" in get(commit, cache, weights="bin")[1]["files"]
    other = server.add("org/other", {n: d for n, d in files.items() if n != "pytorch_model.bin"})
    assert "no weights that transformers loads with torch" in refused(other, cache, "org/other")
    assert "tf_model.h5" in refused(other, cache, "org/other")
    safe = server.add("org/safe", {n: d for n, d in FILES.items() if n != "pytorch_model.bin"})
    assert "take `weights: bin` out" in refused(safe, cache, "org/safe", weights="bin")
    bare = server.add("org/bare", {"model.safetensors": WEIGHTS})
    assert "no config.json" in refused(bare, cache, "org/bare")


def test_weights_in_several_files_and_code_only_where_it_is_trusted(server: HubServer, cache: Path) -> None:
    parts = {f"model-0000{i}-of-00002.safetensors": bytes([i]) * 100 for i in (1, 2)}
    weight_map = json.dumps({"metadata": {}, "weight_map": {str(i): name for i, name in enumerate(parts)}})
    index = {"model.safetensors.index.json": weight_map.encode(), "modeling_own.py": b"pass", "lib/own.py": b"pass"}
    commit = server.add("org/tiny", {"config.json": b"{}", **parts, **index})
    assert "modeling_own.py" not in get(commit, cache)[1]["files"]
    files = get(commit, cache, trust_remote_code=True)[1]["files"]
    assert sorted(files) == sorted(["config.json", *parts, *index])


# --- a model of the hub is a model


def test_the_dump_of_a_hub_model_is_that_of_its_folder(server: HubServer, cache: Path, tmp_path: Path) -> None:
    from neurosieve.activations import dump_activations
    from neurosieve.artifacts import Paths, Writer, read_manifest

    folder = tiny_models.save(tmp_path / "tiny", "roberta")
    commit = server.add("org/tiny", {p.name: p.read_bytes() for p in folder.iterdir()})
    entries = {"hub": entry(commit), "path": Model(path=str(folder))}
    settings = config.Activations(subword="mean", pooling="mean", window=24, batch_tokens=64)
    params = config.load_params("tests/data/tiny.yaml").model_copy(update={"models": entries, "activations": settings})
    paths = Paths("b", tmp_path / "build")
    for split in config.SPLITS:
        with Writer(paths.task("t") / split, "prepare", {}) as writer:
            writer.jsonl("inputs.jsonl", [{"id": 0, "text": "x = y", "file": "a.py", "name": "f"}])
            writer.jsonl("rows.jsonl", [{"input": 0, "label": 0}])
    for name in entries:
        dump_activations(params, paths, model=name, task="t", cache=cache)
    for split in config.SPLITS:
        found = {name: read_manifest(paths.activations(name, "t", split)) for name in entries}
        assert found["hub"]["files"] == found["path"]["files"] and len(found["hub"]["files"]) >= 3
        assert found["hub"]["facts"]["model_sha256"] == found["path"]["facts"]["model_sha256"]
        assert (found["hub"]["facts"]["hub"], found["hub"]["facts"]["commit"]) == ("org/tiny", commit)
        assert str(tmp_path) not in json.dumps(found["hub"]) and server.url not in json.dumps(found["hub"])


# --- neurosieve fetch


def test_fetch_prints_the_lines_of_a_model(server: HubServer, tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "tiny", "bert")
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    commit = server.add("org/tiny", files)
    command = [sys.executable, "-m", "neurosieve.cli", "fetch", "--model", "org/tiny"]
    settings = environment(HF_ENDPOINT=server.url)
    done = subprocess.run(command, cwd=tmp_path, env=settings, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"org/tiny at main: commit {commit}", "", "models:", "  tiny:", "    hub: org/tiny", f"    revision: {commit}",
        "    layers: 3", "    width: 16", "  tiny-untrained:", "    untrained: tiny", "    seed: 1",
    ]  # fmt: skip
    assert not server.asked("/model/*") and not server.asked("*agent*")
    assert (tmp_path / ".cache" / "hub").is_dir()
    done = subprocess.run([*command[:-1], "org/tine"], cwd=tmp_path, env=settings, text=True, capture_output=True)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "shows no model 'org/tine'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "stated, lines",
    [
        ({"model_type": "gpt2", "n_layer": 4, "n_embd": 8}, ["layers: 5", "width: 8"]),
        ({"model_type": "t5", "num_layers": 2, "d_model": 8, "is_encoder_decoder": True}, ["layers: 3", "width: 8"]),
        ({"model_type": "own", "auto_map": {"AutoModel": "modeling_own.Own"}}, []),
    ],
)
def test_the_lines_say_layers_width_and_what_to_know(
    server: HubServer, cache: Path, stated: dict[str, Any], lines: list[str]
) -> None:
    files = {"config.json": json.dumps(stated).encode(), "pytorch_model.bin": b"a pickle"}
    server.add("org/tiny", files, refs=("main", "v1"))
    found = fetch.model_lines("org/tiny@v1", cache)
    assert [line.strip() for line in found if re.match("    (layers|width): ", line)] == lines
    assert "    weights: bin" in found and any("pickled weights" in line for line in found)
    assert any("encoder's layers" in line for line in found) == (stated["model_type"] == "t5")
    assert any("trust_remote_code" in line for line in found) == (stated["model_type"] == "own")
    entries = "\n".join(found[found.index("models:") :])
    loaded = yaml.safe_load(entries)["models"]
    assert {name: Model.model_validate(value) for name, value in loaded.items()}


def table(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


CARD = """---
license: mit
configs:
- config_name: java
  data_files:
  - {split: train, path: java/train-*}
  - {split: test, path: [java/test-*]}
- config_name: c
  data_files: "**/c/*.jsonl"
dataset_info:
- config_name: c
  features:
  - {name: code, dtype: string}
  - {name: bug, dtype: {class_label: {names: {"0": clean, "1": faulty}}}}
---
"""
DATA = {
    "README.md": CARD.encode(),
    "java/train-0.parquet": table([{"code": "int a;", "bug": 1}, {"code": "int b;", "bug": 0}]),
    "java/test-0.parquet": table([{"code": "int c;", "bug": 1}]),
    "c/some.jsonl": b'{"code": "int d;", "bug": 1}\n',
    "data.py": b"raise SystemExit",
}


def dataset(commit: str, configuration: str | None, **splits: str) -> HubDataset:
    return HubDataset.model_validate(
        {"id": "org/data", "revision": commit, "configuration": configuration, "splits": splits}
    )


@pytest.mark.parametrize(
    "configs",
    ["[a, b]", "[{data_files: [{split: train}]}]", "[{data_files: {train: 3}}]", "[{data_files: [{path: x}]}]"],
)
def test_a_card_that_is_not_as_documented_names_no_files(tmp_path: Path, configs: str) -> None:
    (tmp_path / "README.md").write_text(f"---\nconfigs: {configs}\n---\n", encoding="utf-8")
    assert datasets.card_configurations(tmp_path / "README.md") == {}


@pytest.mark.parametrize("path", ["{tmp}/secret.jsonl", "c/../../secret.jsonl", "https://other.example/c.jsonl"])
def test_a_card_may_not_name_files_outside_the_dataset(
    server: HubServer, cache: Path, tmp_path: Path, path: str
) -> None:
    (tmp_path / "secret.jsonl").write_text('{"code": "mine", "bug": 0}\n', encoding="utf-8")
    path = path.format(tmp=tmp_path)
    card = f"---\nconfigs:\n- config_name: c\n  data_files:\n  - {{split: train, path: [c/*.jsonl, '{path}']}}\n---\n"
    commit = server.add("org/data", {**DATA, "README.md": card.encode()}, "dataset")
    with pytest.raises(HubError, match="outside the dataset"):
        datasets.load_split(dataset(commit, "c", train="train"), "train", tmp_path / "tables", "dataset", cache)


def test_fetch_takes_all_that_a_benchmark_needs(
    server: HubServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, data = server.add("org/tiny", FILES), server.add("org/data", DATA, "dataset")
    base = config.load_params("tests/data/tiny.yaml")
    wheel = Wheel(name="six", version="1.0", licence="MIT", sha256="0" * 64)
    task = base.prepare.tasks["doc-match"].model_copy(
        update={"corpus": None, "dataset": dataset(data, "java", train="train", test="test")}
    )
    wheels = base.prepare.corpora["tiny"].model_copy(update={"wheels": [wheel], "folder": None})
    entries = {"m": entry(commit), "twin": Model(untrained="m"), "gone": Model(path=str(tmp_path / "none"))}
    entries["off"] = entry("0" * 40, "org/off")
    params = base.model_copy(
        update={
            "models": entries,
            "run": base.run.model_copy(update={"models": ["m", "twin", "gone"]}),
            "prepare": base.prepare.model_copy(
                update={"tasks": {**base.prepare.tasks, "doc-match": task}, "corpora": {"tiny": wheels}}
            ),
        }
    )

    def download(some: list[Wheel], into: Path, _: object) -> dict[str, Path]:
        (into / "six-1.0-py3-none-any.whl").write_bytes(b"a wheel")
        return {"six": into / "six-1.0-py3-none-any.whl"}

    monkeypatch.setattr("neurosieve.sources.wheels._download", download)
    monkeypatch.setattr("neurosieve.sources.wheels._check", lambda *_: None)
    for word in ("fetched", "here"):
        lines = []
        with pytest.raises(fetch.FetchError, match="1 lacking"):
            lines.extend(_collect(fetch.fetch_all(params, cache), lines))
        assert lines == [
            f"{word}  prepare.corpora.tiny: wheel six==1.0",
            f"{word}  models.m: org/tiny at {commit}",
            f"{word}  prepare.tasks.doc-match: dataset org/data at {data}",
            f"lacking  models.gone: no folder {tmp_path / 'none'}",
        ]
    # a fault does not stop the rest
    use(monkeypatch, CLOSED)
    shutil.rmtree(cache.parent / "hub" / "models--org--tiny")
    lines = []
    with pytest.raises(fetch.FetchError, match="2 lacking"):
        _collect(fetch.fetch_all(params, cache), lines)
    assert lines[1].startswith("lacking  models.m: no connection to")
    assert lines[2].startswith("here")


def _collect(lines: Iterator[str], into: list[str]) -> list[str]:
    for line in lines:
        into.append(line)
    return []


# --- datasets


def test_a_dataset_is_read_from_its_files_at_the_commit(
    server: HubServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = server.add("org/data", DATA, "dataset")
    new = server.add("org/data", {**DATA, "java/test-0.parquet": table([{"code": "later", "bug": 0}])}, "dataset")
    java = dataset(old, "java", train="train", test="test")

    def rows(entry: HubDataset, split: str) -> list[dict[str, Any]]:
        return datasets.load_split(entry, split, tmp_path / "datasets", "d", cache).to_list()

    assert rows(java, "train") == [{"code": "int a;", "bug": 1}, {"code": "int b;", "bug": 0}]
    assert rows(java, "test") == [{"code": "int c;", "bug": 1}]
    assert not server.asked("*.jsonl") and not server.asked("*/data.py")
    assert rows(dataset(new, "java", test="test"), "test") == [{"code": "later", "bug": 0}]
    server.requests.clear()
    use(monkeypatch, CLOSED)  # and the later commit, read last, is not taken for the earlier one
    assert rows(java, "test") == [{"code": "int c;", "bug": 1}] and server.requests == []


def test_a_dataset_keeps_the_names_of_its_classes(server: HubServer, cache: Path, tmp_path: Path) -> None:
    commit = server.add("org/data", DATA, "dataset")
    found = datasets.load_split(dataset(commit, "c", train="train"), "train", tmp_path / "datasets", "d", cache)
    assert found.features["bug"].names == ["clean", "faulty"] and found["bug"][:] == [1]


def test_a_dataset_without_a_card_is_known_by_the_names_of_its_files(
    server: HubServer, cache: Path, tmp_path: Path
) -> None:
    files = {"train.jsonl": b'{"code": "a"}\n', "test.jsonl": b'{"code": "b"}\n'}
    commit = server.add("org/data", files, "dataset")
    entry = dataset(commit, None, train="train", test="test")
    for split, code in (("train", "a"), ("test", "b")):
        assert datasets.load_split(entry, split, tmp_path / "datasets", "d", cache).to_list() == [{"code": code}]


def test_what_is_wrong_with_a_dataset_is_told(server: HubServer, cache: Path) -> None:
    commit = server.add("org/data", DATA, "dataset")

    def message(entry: HubDataset) -> str:
        with pytest.raises(HubError) as error:
            datasets.dataset_snapshot(entry, "prepare.tasks.t.dataset", cache)
        return str(error.value)

    assert "configuration: found 'rust', for the dataset org/data; write one of: java, c" in message(
        dataset(commit, "rust", train="train")
    )
    assert "configuration: missing" in message(dataset(commit, None, train="train"))
    assert "no split 'validation'; its splits are train, test" in message(dataset(commit, "java", dev="validation"))
    assert "--dataset org/data` prints" in message(dataset("2" * 40, "java", train="train"))
    script = server.add("org/data", {"data.py": b"raise SystemExit", "README.md": b"# Data"}, "dataset")
    assert "scripts are never run" in message(dataset(script, None, train="train"))


def test_fetch_prints_the_lines_of_a_dataset(server: HubServer, cache: Path) -> None:
    commit = server.add("org/data", DATA, "dataset")
    lines = fetch.dataset_lines("org/data", cache)
    assert "note: its configurations are java, c" in lines
    stated = yaml.safe_load("\n".join(lines[lines.index("dataset:") :]))["dataset"]
    assert HubDataset.model_validate(stated) == dataset(commit, "java", train="train", test="test")
    plain = server.add("org/data", {"train.jsonl": b"{}\n"}, "dataset")
    stated = yaml.safe_load("\n".join(fetch.dataset_lines("org/data", cache)[3:]))["dataset"]
    assert stated == {"id": "org/data", "revision": plain, "splits": {"all": "train"}}


def test_the_package_needs_no_client_where_no_model_is_of_the_hub() -> None:
    """Importing the command line and the phases before the models loads neither the hub's module nor its client."""
    modules = "neurosieve.cli, neurosieve.prepare, neurosieve.sources.fetch"
    code = f"import sys, {modules}; print([m for m in sys.modules if 'hug' in m])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), text=True, capture_output=True)
    assert done.stdout.strip() == "[]", done.stderr
