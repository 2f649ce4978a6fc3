"""Other processors, emulated by qemu: the same bytes with AVX2 and FMA; without them a benchmark runs to its end.

An emulated process starts native ones, so every job gets its own emulator: as the Python of a conda environment, and
with its pins set before, for a process that replaces itself would leave the emulator.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
import stub_conda

from neurosieve import numerics

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs the Debian package qemu-user"),
    pytest.mark.skipif(
        numerics.shortfall() != "", reason="compares with the bits of Linux on x86-64 with AVX2 and FMA"
    ),
]
OLD = "x86_64 without avx2, fma"


def emulated(cpu: str, pins: dict[str, str]) -> str:
    """Shell command of a Python on another processor."""
    unset = [f"-u {name}" for name in numerics.PORTABLE] + ["-u OPENBLAS_L2_SIZE"]
    given = [f"{key}='{value}'" for key, value in pins.items()]
    return f"env {' '.join([*unset, *given])} qemu-x86_64 -cpu {cpu} '{sys.executable}'"


@pytest.fixture(scope="module")
def native(make_checkout):
    """A model and a task of the tiny benchmark, run here and committed."""
    checkout = make_checkout()
    checkout.params("models: [tiny, tiny-untrained]", "models: [tiny]")
    checkout.params("tasks: [token-roles, doc-match]", "tasks: [token-roles]")
    checkout.params("transfer: true", "transfer: false")
    checkout.run("git", "init", "--quiet")
    checkout.snakemake()
    checkout.commit("made here")
    return checkout


@pytest.fixture
def other(native, tmp_path):
    """Function that runs Snakemake in a clone of it, with the jobs on another processor."""

    def run(cpu: str, pins: dict[str, str], *options: str):
        checkout = native.clone(tmp_path / "clone")
        tools = stub_conda.make(tmp_path / "conda", emulated(cpu, pins))
        checkout.env["PATH"] += f":{tools}"
        checkout.snakemake("--sdm", "conda", *options)
        return checkout

    return run


def test_an_emulated_processor_is_seen_as_what_it_is():
    for cpu, found in {"Haswell": "", "Nehalem": OLD, "max,-avx2": "x86_64 without avx2"}.items():
        command = f"{emulated(cpu, {})} -c 'from neurosieve import numerics; print(numerics.shortfall())'"
        env = {**os.environ, "PYTHONPATH": "src"}
        done = subprocess.run(command, shell=True, env=env, text=True, capture_output=True, check=True)  # noqa: S602
        assert done.stdout.strip() == found


def test_Haswell_gives_the_bytes_of_this_machine(native, other):
    pins = numerics.ALWAYS | numerics.PORTABLE
    checkout = other("Haswell", pins, "--until", "fit_probes", "measure_redundancy")
    made = checkout.files("build")
    assert any("/activations/" in name for name in made) and any("/probes/models/" in name for name in made)
    here = native.files("build")
    assert {name: here[name] == content for name, content in made.items()} == dict.fromkeys(made, True)


def test_N4_a_machine_without_AVX2_runs_to_the_end_and_is_compared_within_tolerance(native, other):
    checkout = other("Nehalem", numerics.ALWAYS | numerics.NATIVE)
    assert len(stub_conda.ran(checkout.root)) == 15  # a job each
    marks = {
        path.parent.relative_to(checkout.root / "build" / "tiny").as_posix(): json.loads(path.read_text())["facts"]
        for path in (checkout.root / "build").rglob("manifest.json")
    }
    marked = {name for name, facts in marks.items() if facts.get("numerics") == [f"native: {OLD}"]}
    assert marked == {name for name in marks if not name.startswith("prepare/")}
    shown = checkout.run(sys.executable, "-m", "neurosieve.cli", "show").stdout
    assert f"on other hardware (native: {OLD})" in shown
    page = (checkout.root / "results" / "tiny" / "index.html").read_text()
    assert f"portable was asked for and did not hold (native: {OLD})" in page
    refused = checkout.run(sys.executable, "-m", "neurosieve.cli", "certify", check=False)
    assert refused.returncode == 1 and "have the bits of other hardware" in refused.stderr
