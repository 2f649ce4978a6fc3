"""The pins reach the libraries, the command line applies them to itself, and machines that cannot hold them say so."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import stub_chain

from neurosieve import chain, check, config, numerics
from neurosieve.artifacts import Paths, Writer, read_manifest
from neurosieve.certify import CertifyError, certify
from neurosieve.verify.differences import WITHIN, compare_artifact

SHOW = (
    "import sys; sys.argv[0] = 'x'\n"
    "from neurosieve import numerics; {1}numerics.apply('{0}'); numerics.check('{0}')\n"
    "import os, json; print(json.dumps({{k: os.environ.get(k) for k in numerics.PORTABLE}}))"
)
HERE = numerics.shortfall()
X86_64 = "flags\t\t: fpu sse4_2 avx avx2 fma bmi2\n"
NEHALEM = "flags\t\t: fpu sse4_2 popcnt\n"
ARM = "Features\t: fp asimd evtstrm aes\n"  # as Linux writes it on aarch64


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Function that makes this machine another one: platform, processor, text of /proc/cpuinfo, features by numpy."""

    def become(system, processor, cpuinfo=None, features=None):
        path = tmp_path / "cpuinfo"
        if cpuinfo is not None:
            path.write_text(cpuinfo)
        monkeypatch.setattr(numerics, "CPUINFO", path)
        monkeypatch.setattr(sys, "platform", {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}[system])
        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "machine", lambda: processor)
        if features is not None:
            module = SimpleNamespace(__cpu_features__=features)
            monkeypatch.setitem(sys.modules, "numpy._core._multiarray_umath", module)
        numerics.shortfall.cache_clear()

    yield become
    monkeypatch.undo()
    numerics.shortfall.cache_clear()


def run(setting: str, before: str = "", **more: str) -> dict[str, str | None]:
    env = {k: v for k, v in os.environ.items() if k not in numerics.PORTABLE} | more
    command = [sys.executable, "-c", SHOW.format(setting, before)]
    return json.loads(subprocess.run(command, env=env, text=True, capture_output=True, check=True).stdout)


@pytest.mark.skipif(bool(HERE), reason=f"the pins do not hold on {HERE}")
def test_portable_re_executes_with_every_pin():
    assert run("portable") == numerics.PORTABLE


def test_fast_leaves_the_machine_its_own_code():
    assert "Haswell" not in run("fast").values()


def test_pins_of_another_machine_are_taken_away_and_those_of_a_user_stay():
    """A job's environment is that of the node that submitted it; ATEN_CPU_CAPABILITY=avx2 kills torch without AVX2."""
    other = "numerics.shortfall = lambda: 'aarch64'; "
    user = {"OPENBLAS_CORETYPE": "NEOVERSEN1"}
    found = run("portable", other, **(numerics.PORTABLE | user))
    assert found == dict.fromkeys(numerics.PORTABLE) | numerics.NATIVE | user


def test_numpy_loaded_before_the_pins_is_refused():
    code = "import numpy; from neurosieve import numerics; numerics.check('portable')"
    env = {k: v for k, v in os.environ.items() if k not in numerics.PORTABLE}
    done = subprocess.run([sys.executable, "-c", code], env=env, text=True, capture_output=True)
    if "AVX512" not in done.stderr and done.returncode == 0:
        pytest.skip("this processor has nothing beyond AVX2, so no pin is needed")
    assert "start through the `neurosieve` command" in done.stderr


WITH = {"AVX2": True, "FMA3": True}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (("Linux", "x86_64", X86_64, WITH), ""),
        (("Linux", "x86_64", None, WITH), ""),  # no /proc: numpy alone says it
        (("Linux", "x86_64", NEHALEM, WITH), "x86_64 without avx2, fma"),
        (("Linux", "x86_64", X86_64, {"FMA3": True, "AVX2": False}), "x86_64 without avx2"),  # an emulated processor
        (("Linux", "aarch64", ARM, {"ASIMD": True}), "aarch64"),
        (("Darwin", "arm64"), "Darwin on arm64"),
        (("Darwin", "x86_64", None, WITH), "Darwin on x86_64"),
        (("Windows", "AMD64", None, WITH), "Windows on AMD64"),
    ],
)
def test_N4_where_portable_numerics_hold(machine, found, why):
    machine(*found)
    assert numerics.shortfall() == why
    assert numerics.pins("portable") == numerics.ALWAYS | (numerics.NATIVE if why else numerics.PORTABLE)
    assert numerics.pins("fast") == numerics.ALWAYS and numerics.notice("fast") == ""
    line = numerics.notice("portable")
    assert (why in line and "\n" not in line and "within tolerance only" in line) if why else line == ""
    params = config.load_params("tests/data/tiny.yaml")
    told = check.notices(params)
    assert (told[0] == line) if why else not any("numerics" in note for note in told)
    assert line == "" or line not in check.notices(params, here=False)  # a cluster's jobs run elsewhere
    if why:
        numerics.check("portable")  # no refusal


def write(folder: Path, inputs=(), setting="portable") -> dict:
    with Writer(folder, "probes", {"numerics": setting}, inputs) as out:
        out.facts = {"rows": 1}
    return read_manifest(folder)


def test_a_manifest_says_that_it_or_an_input_was_made_without_the_pins(machine, tmp_path):
    machine("Linux", "x86_64", X86_64, WITH)
    before = write(tmp_path / "before")
    assert before["facts"] == {"rows": 1}
    machine("Linux", "aarch64", ARM)
    there = write(tmp_path / "there", [tmp_path / "before"])
    assert there["facts"] == {"rows": 1, "numerics": ["native: aarch64"]}
    write(tmp_path / "other")
    assert there["params"] == before["params"]  # so nothing is made again elsewhere
    assert write(tmp_path / "fast", setting="fast")["facts"] == {"rows": 1}  # nothing was promised
    compared = compare_artifact("there", tmp_path / "before", tmp_path / "other", {})
    assert (compared.verdict, compared.kind) == (WITHIN, "numerics")
    machine("Darwin", "arm64")
    both = write(tmp_path / "both", [tmp_path / "there"])
    assert both["facts"]["numerics"] == ["native: Darwin on arm64", "native: aarch64"]
    machine("Linux", "x86_64", X86_64, WITH)
    after = write(tmp_path / "after", [tmp_path / "before", tmp_path / "there"])
    assert after["facts"]["numerics"] == ["native: aarch64"]


def test_a_sum_of_floats_is_that_of_python_3_11():
    """From 3.12 on `sum([0.1] * 10)` is 1.0."""
    assert numerics.add([0.1] * 10) == 0.9999999999999999
    assert numerics.add([]) == 0


def test_N4_what_was_made_without_the_pins_is_used_and_not_certified(machine, tmp_path, monkeypatch):
    machine("Linux", "x86_64", X86_64, WITH)
    params, paths = stub_chain.load(tmp_path), Paths("tiny", tmp_path / "build")
    stub_chain.make(params, paths)
    folders = [a.folder for a in chain.artifacts(params, paths)]
    shutil.rmtree(paths.redundancy("tiny", "token-roles"))
    machine("Linux", "aarch64", ARM)
    stub_chain.make(params, paths, lambda a: not a.manifest.is_file())
    machine("Linux", "x86_64", X86_64, WITH)
    stub_chain.make(params, paths, lambda a: chain.Chain(params, paths).own(a) is not None)  # as a run goes on
    assert not chain.Chain(params, paths).faults(contents=True)
    results = tmp_path / "results"
    shutil.copytree(paths.leaderboard(), results / "tiny")
    marked = [f for f in folders if "numerics" in read_manifest(f)["facts"]]
    assert paths.redundancy("tiny", "token-roles") == marked[0] and paths.leaderboard() in marked
    assert paths.redundancy("tiny-untrained", "token-roles") not in marked and 1 < len(marked) < len(folders)
    told = rf"not certified: {len(marked)} artifacts, the first {marked[0]}, .* other hardware \(native: aarch64\)"
    with pytest.raises(CertifyError, match=told):
        certify(params, paths, tmp_path / "params.yaml", results)


def test_the_bundled_models_take_nothing_from_the_c_library():
    """torch takes erf of what fills no vector of a row from it, and its versions round it differently."""
    configs = [json.loads(path.read_text()) for path in sorted(Path("models").glob("*/config.json"))]
    assert len(configs) >= 2
    assert [config["intermediate_size"] % 16 for config in configs] == [0] * len(configs)


def test_the_package_takes_nothing_of_float32_from_the_c_library():
    """numpy takes these from it, and glibc rounds those of float32 differently from 2.41 on; float64 is asked for."""
    calls = [
        (path.name, call)
        for path in Path("src/neurosieve").rglob("*.py")
        for call in re.findall(r"np\.(?:log1p|expm1|cbrt|arctan|arctan2|tan|sinh|cosh|arcsinh)\(.*", path.read_text())
    ]
    known = {("baselines.py", "np.log1p(size)], axis=1)")}  # of float64
    assert [call for call in calls if call not in known and "dtype=np.float64" not in call[1]] == []
