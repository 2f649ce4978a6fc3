"""The pins reach the libraries, and the command line applies them to itself."""

import os
import subprocess
import sys

import pytest

from neurosieve import numerics

SHOW = (
    "import sys; sys.argv[0] = 'x'\n"
    "from neurosieve import numerics; numerics.apply('{0}'); numerics.check('{0}')\n"
    "import os; print({{k: os.environ.get(k) for k in numerics.PORTABLE}})"
)


def run(setting: str) -> str:
    env = {k: v for k, v in os.environ.items() if k not in numerics.PORTABLE}
    return subprocess.run(
        [sys.executable, "-c", SHOW.format(setting)], env=env, text=True, capture_output=True, check=True
    ).stdout


def test_portable_re_executes_with_every_pin():
    if not numerics.has_avx2():
        pytest.skip("this processor has no AVX2 and FMA, which the pins need")
    assert eval(run("portable")) == numerics.PORTABLE  # noqa: S307


def test_fast_leaves_the_machine_its_own_code():
    assert "Haswell" not in run("fast")


def test_numpy_loaded_before_the_pins_is_refused():
    code = "import numpy; from neurosieve import numerics; numerics.check('portable')"
    env = {k: v for k, v in os.environ.items() if k not in numerics.PORTABLE}
    done = subprocess.run([sys.executable, "-c", code], env=env, text=True, capture_output=True)
    if "AVX512" not in done.stderr and done.returncode == 0:
        pytest.skip("this processor has nothing beyond AVX2, so no pin is needed")
    assert "start through the `neurosieve` command" in done.stderr
