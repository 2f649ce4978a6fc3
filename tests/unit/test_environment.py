"""The environment is pinned once: requirements.lock; everything else that names a version agrees with it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

LOCK = Path("requirements.lock").read_text()
MAKES = ("preflight", "numerics")  # what `make env` runs before there is an environment
PINS = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", LOCK, re.M))


def test_the_conda_environment_of_the_rules_is_the_lock():
    """Made by `make workflow/envs/neurosieve.yaml`."""
    pip = yaml.safe_load(Path("workflow/envs/neurosieve.yaml").read_text())["dependencies"][-1]["pip"]
    assert pip[0] == "torch==2.13.0"
    assert dict(pin.split("==") for pin in pip[1:]) == PINS


def test_every_pin_has_a_hash_and_torch_has_its_own_line():
    blocks = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.M)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "torch" not in PINS and not [name for name in PINS if name.startswith("nvidia")]
    assert "torch==2.13.0" in Path("Makefile").read_text()


def test_the_lock_of_the_plugins_for_remotes_moves_nothing_and_has_hashes():
    remotes = Path("requirements-remotes.lock").read_text()
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", remotes, re.M))
    assert {"dvc-s3", "dvc-ssh"} <= set(pins) and not set(pins) & set(PINS)
    assert pins["s3fs"] == PINS["fsspec"]  # each s3fs wants the fsspec of its own date
    blocks = re.split(r"^(?=[A-Za-z0-9])", remotes, flags=re.M)[1:]
    assert len(blocks) == len(pins) and all("--hash=sha256:" in block for block in blocks)


def test_the_locks_name_no_index():
    for text in (LOCK, Path("requirements-remotes.lock").read_text()):
        assert not re.search(r"https?://|file:|--index|--find-links", text)


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=]", d)[0] for d in [*project["dependencies"], *project["optional-dependencies"]["dev"]]}
    assert names - {"torch"} <= set(PINS)


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
@pytest.mark.parametrize("machine", [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")])
def test_one_lock_serves_every_python_and_machine(minor, machine):
    """Made by `make lock`: every package of Linux on x86-64 with 3.11 is there, with the same version."""
    system, processor = machine
    environment = {
        "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "sys_platform": system, "platform_machine": processor,
        "platform_system": system.capitalize(), "os_name": "posix",
    }  # fmt: skip
    requirements = [Requirement(line) for line in re.findall(r"^([A-Za-z0-9][^\\]*?) \\$", LOCK, re.M)]
    here = {r.name for r in requirements if r.marker is None or r.marker.evaluate(environment)}
    # greenlet's own condition: SQLAlchemy asks for it where wheels of it are served, and runs without
    assert set(PINS) - here == ({"greenlet"} if processor == "arm64" else set())


def test_the_versions_of_python_are_said_alike_everywhere():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    said = [re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", line) for line in project["classifiers"]]
    minors = [int(found[1]) for found in said if found]
    assert project["requires-python"] == f">=3.{minors[0]},<3.{minors[-1] + 1}" and minors == [11, 12, 13, 14]
    assert "for v in 11 12 13 14;" in Path("Makefile").read_text()
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in Path("src/neurosieve/preflight.py").read_text()


def test_the_container_is_made_by_make_env_from_files_that_it_copies(tmp_path):
    """No image is built here; `make` is asked whether what lies in the image is enough for it, and what it would do."""
    recipe = Path("Dockerfile").read_text()
    assert re.search(r"^FROM python:3\.11-", recipe, re.M) and "python3.11" in Path("Makefile").read_text()
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", recipe, re.M) for name in line.split()]
    kept = [line[1:] for line in Path(".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert copied == kept and Path(".dockerignore").read_text().startswith("*\n")
    for name in copied:
        (tmp_path / name).symlink_to(Path(name).absolute())
    command = re.search(r"^RUN (make env .*)$", recipe, re.M)[1]
    words = ["make", "--dry-run", *command.replace('"$PIP_OPTIONS"', "--x").split()[1:]]
    made = subprocess.run(words, cwd=tmp_path, text=True, capture_output=True)
    assert made.returncode == 0, made.stderr
    assert "--x torch==2.13.0" in made.stdout and "--require-hashes -r requirements.lock" in made.stdout


def test_an_environment_of_another_python_is_not_mixed_with_it(tmp_path):
    """`python -m venv` over it would keep its packages, and a finished one would be left as it is without a word."""
    (tmp_path / "src" / "neurosieve").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml", *(f"src/neurosieve/{n}.py" for n in MAKES)):
        shutil.copy(name, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    config, mark = tmp_path / ".venv" / "pyvenv.cfg", tmp_path / ".venv" / ".installed"
    config.write_text("home = /usr/bin\nversion = 3.9.2\n")
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "MAKEFLAGS")}

    def make(*words):
        return subprocess.run(["make", "env", *words], cwd=tmp_path, env=env, text=True, capture_output=True)

    said = "error: the environment .venv is of Python 3.9, and this is {}.{}: ".format(*sys.version_info[:2])
    named = f"PYTHON={sys.executable}"
    assert make(named).returncode != 0 and said in make(named).stderr
    mark.touch()
    os.utime(mark, (2**32, 2**32))  # done, and later than the lock
    assert make(named).returncode != 0 and said in make(named).stderr
    assert make().returncode == 0  # no Python was named
    for line in ("version = {}.{}.99", "version_info = {}.{}.1.final.0", "no version"):  # the last: of another tool
        config.write_text(line.format(*sys.version_info[:2]))
        assert make(named).returncode == 0
