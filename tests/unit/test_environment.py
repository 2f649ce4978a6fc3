"""The environment is pinned once: requirements.lock; everything else that names a version agrees with it."""

import re
from pathlib import Path

import yaml

LOCK = Path("requirements.lock").read_text()
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
    import tomllib

    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=]", d)[0] for d in [*project["dependencies"], *project["optional-dependencies"]["dev"]]}
    assert names - {"torch"} <= set(PINS)
