"""Other processors, emulated by qemu: the same bytes with AVX2 and FMA; without them a benchmark runs to its end.

All jobs run in one emulated process: a start of torch takes most of a minute there, and an emulated process that starts
another leaves the emulator. So the pins are set before, and Snakemake takes no part.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neurosieve import numerics
from neurosieve.artifacts import read_manifest
from neurosieve.verify.differences import artifacts_below

WHOLE = Path(__file__).parents[1] / "whole_run.py"
OLD = "x86_64 without avx2, fma"
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs the Debian package qemu-user"),
    pytest.mark.skipif(
        numerics.shortfall() != "", reason="compares with the bits of Linux on x86-64 with AVX2 and FMA"
    ),
]


def python(*words: str, cpu: str, env: dict[str, str], cwd: Path = Path()) -> str:
    """Run a Python on another processor, or on this one where ``cpu`` is empty; returns what it prints."""
    clean = {k: v for k, v in os.environ.items() if k not in numerics.PORTABLE and k != "OPENBLAS_L2_SIZE"}
    command = [*(["qemu-x86_64", "-cpu", cpu] if cpu else []), sys.executable, *words]
    done = subprocess.run(command, cwd=cwd, env=clean | env, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def whole(checkout, build: str, cpu: str, pins: dict[str, str], *last: str) -> None:
    env = {**numerics.ALWAYS, **pins, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout.root / "src")}
    python(str(WHOLE), "params.yaml", build, *last, cpu=cpu, env=env, cwd=checkout.root)


@pytest.fixture(scope="module")
def native(make_checkout):
    """A model and a task of the tiny benchmark, run here in one process and committed."""
    checkout = make_checkout()
    checkout.params("models: [tiny, tiny-untrained]", "models: [tiny]")
    checkout.params("tasks: [token-roles, doc-match]", "tasks: [token-roles]")
    checkout.params("transfer: true", "transfer: false")
    whole(checkout, "build", "", numerics.PORTABLE)
    checkout.run("git", "init", "--quiet")
    checkout.run(sys.executable, "-m", "neurosieve.cli", "publish")
    checkout.commit("made here")
    return checkout


def test_an_emulated_processor_is_seen_as_what_it_is():
    for cpu, why in {"Haswell": "", "Nehalem": OLD, "max,-avx2": "x86_64 without avx2"}.items():
        code = "from neurosieve import numerics; print(numerics.shortfall())"
        assert python("-c", code, cpu=cpu, env={"PYTHONPATH": "src"}).strip() == why
    # make env says it, before anything else
    env = {"NEUROSIEVE_PARAMS": "tests/data/tiny.yaml"}
    assert python("src/neurosieve/preflight.py", cpu="Haswell", env=env) == ""


def version() -> int:
    """Of the emulator, its first number; 0 where it says none."""
    said = subprocess.run(["qemu-x86_64", "--version"], text=True, capture_output=True).stdout
    found = re.search(r"version (\d+)", said)
    return int(found[1]) if found else 0


@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is not None and version() < 10,
    reason="needs qemu-user 10 (Debian bookworm-backports or trixie): with AVX2 7.2 gets products "
    "wrong by 0.03 and dies in the fits",
)
def test_Haswell_gives_the_bytes_of_this_machine(native):
    """All artifacts, from the corpus to the pages."""
    whole(native, "haswell", "Haswell", numerics.PORTABLE)
    here, made = native.files("build"), native.files("haswell")
    assert made.keys() == here.keys() and len({name.split("/")[1] for name in made}) == 8
    assert [name for name in made if made[name] != here[name]] == []


def test_N4_a_machine_without_AVX2_runs_to_the_end_and_is_compared_within_tolerance(native):
    whole(native, "nehalem", "Nehalem", numerics.NATIVE)
    root = native.root / "nehalem" / "tiny"
    marks = {name: read_manifest(root / name)["facts"].get("numerics") for name in artifacts_below(root)}
    assert set(marks) == set(artifacts_below(native.root / "build" / "tiny"))
    expected = {name: None if name.startswith("prepare/") else [f"native: {OLD}"] for name in marks}
    assert marks == expected
    command = (sys.executable, "-m", "neurosieve.cli")
    shown = native.run(*command, "show", "--build", "nehalem").stdout
    assert f"on other hardware (native: {OLD})" in shown
    page = (root / "site" / "index.html").read_text()  # on the first page, before any figure
    assert f"portable was asked for and did not hold (native: {OLD})" in page
    native.run(*command, "publish", "--build", "nehalem")
    (native.root / "build").rename(native.root / "native")
    (native.root / "nehalem").rename(native.root / "build")
    refused = native.run(*command, "certify", check=False)
    assert refused.returncode == 1 and "have the bits of other hardware" in refused.stderr
