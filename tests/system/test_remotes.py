"""Remotes end to end: push, clone elsewhere, pull; over a folder, SSH, the S3 protocol and HTTP, on this machine."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Checkout

SSHD, NGINX = shutil.which("sshd", path="/usr/sbin"), shutil.which("nginx", path="/usr/sbin")
# moto 5 answers as S3 does; it has dependencies of its own, so it lives in an environment of its own
S3_SERVER = "moto[server]==5.2.5"
pytestmark = pytest.mark.system


def install(folder: Path, *options: str) -> Path:
    """Python of a new environment; the test is skipped where the registry gives nothing."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip install {' '.join(options)}: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Python with the packages of this environment and those of requirements-remotes.lock."""
    folder = tmp_path_factory.mktemp("plugins") / "venv"
    lock = str(ROOT / "requirements-remotes.lock")
    found = install(folder, "--no-deps", "--require-hashes", "--requirement", lock)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "this.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return found


@pytest.fixture(scope="module")
def certified(done, tmp_path_factory) -> Checkout:
    """The tiny benchmark with its dvc.lock and a full cache."""
    root = tmp_path_factory.mktemp("certified") / "checkout"
    shutil.copytree(done.root, root, symlinks=True)
    checkout = Checkout(root)
    checkout.run("dvc", "commit", "--force")
    checkout.commit("results")
    return checkout


@contextlib.contextmanager
def server(port: int, *command: str, cwd: Path) -> Iterator[None]:
    """A server while the block runs; ready when its port answers."""
    with (cwd / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)
    try:
        for _ in range(600):
            assert process.poll() is None, (cwd / "server.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def share(checkout: Checkout, python: Path, name: str, url: str, *settings: tuple[str, str, str]) -> None:
    """The commands of docs/reproduce.md: name the remote, commit that, push; a setting begins --project or --local."""
    checkout.run("dvc", "remote", "add", "--force", "--default", name, url)
    for scope, option, value in settings:
        checkout.run("dvc", "remote", "modify", scope, name, option, value)
    checkout.commit(f"the remote {name}")
    assert "pushed" in checkout.run(str(python), "-m", "dvc", "push").stdout


def receive(checkout: Checkout, python: Path, root: Path, *settings: tuple[str, ...]) -> Checkout:
    """A clone elsewhere, which finds the remote in its .dvc/config; all artifacts are there after the pull."""
    clone = checkout.clone(root)
    clone.env = checkout.env | {"PYTHONPATH": str(root / "src")}
    for words in settings:
        clone.run("dvc", "remote", "modify", *words)
    assert not (root / "build").exists()
    clone.run(str(python), "-m", "dvc", "pull")
    assert clone.files("build/tiny") == checkout.files("build/tiny")
    assert "up to date" in clone.run("dvc", "status").stdout
    return clone


def test_a_folder_and_a_release(certified, python, tmp_path):
    share(certified, python, "folder", str(tmp_path / "store"))
    receive(certified, python, tmp_path / "clone")
    certified.run("git", "tag", "tiny-v1")
    release = tmp_path / "release"
    certified.run("git", "clone", "--quiet", "--branch", "tiny-v1", str(certified.root), str(release))
    pulled = Checkout(release)
    pulled.run("dvc", "pull")
    assert pulled.files("build/tiny/leaderboard") == pulled.files("results/tiny") == certified.files("results/tiny")
    assert "up to date" in pulled.run("dvc", "status").stdout


@pytest.mark.skipif(SSHD is None or os.geteuid() != 0, reason="needs root and sshd (apt-get install openssh-server)")
def test_ssh_with_a_key(certified, python, tmp_path):
    port, home = free_port(), tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)  # Debian's service makes it; sshd asks for it
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    config = tmp_path / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {tmp_path}/host\nPidFile {tmp_path}/pid\nUsePAM no\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nStrictModes no\nPasswordAuthentication no\n"
        "Subsystem sftp internal-sftp\n"
    )
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/store"
    key = str(tmp_path / "user")
    certified.env["HOME"] = str(home.parent)
    with server(port, str(SSHD), "-D", "-e", "-f", str(config), cwd=tmp_path):
        share(certified, python, "ssh", url, ("--local", "keyfile", key))
        # the key is the colleague's own: no setting in git
        receive(certified, python, tmp_path / "clone", ("--local", "ssh", "keyfile", key))


def test_s3(certified, python, tmp_path):
    s3, port = install(tmp_path / "venv", S3_SERVER), free_port()
    address = f"http://127.0.0.1:{port}"
    certified.env |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with server(port, str(s3), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port), cwd=tmp_path):
        urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"))  # noqa: S310
        share(certified, python, "s3", "s3://bucket/neurosieve", ("--project", "endpointurl", address))
        receive(certified, python, tmp_path / "clone")


@pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light)")
def test_http_reads_and_a_push_is_refused_in_words(certified, python, tmp_path):
    store, port = tmp_path / "store", free_port()
    share(certified, python, "behind", str(store))
    config = tmp_path / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temp = " ".join(f"{kind}_temp_path {tmp_path}/temp;" for kind in kinds)
    config.write_text(
        f"user root; daemon off; pid {tmp_path}/pid; events {{}}\n"
        f"http {{ access_log off; {temp} server {{ listen 127.0.0.1:{port}; root {store}; }} }}\n"
    )
    address = f"http://127.0.0.1:{port}"
    with server(port, str(NGINX), "-e", "stderr", "-c", str(config), cwd=tmp_path):
        certified.run("dvc", "remote", "add", "--force", "--default", "http", address)
        certified.commit("the remote http")
        receive(certified, python, tmp_path / "clone")
        lost = min(store.rglob("*.dir"))  # where the list of a folder is there, DVC takes its files to be there too
        lost.unlink()
        done = certified.run("dvc", "push", check=False)
        assert done.returncode and not lost.exists()
        assert "failed to push data to the cloud" in done.stderr and "Traceback" not in done.stderr
