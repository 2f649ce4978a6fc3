"""`make verify-all` on a model and a task of the tiny benchmark; SLURM and emulators have tests of their own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = ("snakemake", "dvc", "two-threads", "kills", "together")


def changed() -> bool:
    done = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, text=True, capture_output=True)
    return done.returncode != 0 or any(not line.startswith("??") for line in done.stdout.splitlines())


pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(changed(), reason="needs a git checkout without changes, which it clones"),
]


def test_every_way_gives_one_dvc_lock(tmp_path):
    only = [word for row in ROWS for word in ("--only", row)]
    script = ROOT / "benchmarks" / "verify_all.py"
    command = [sys.executable, str(script), "--benchmark", "less", "--work", str(tmp_path / "w"), *only]
    done = subprocess.run(command, text=True, capture_output=True)
    rows = json.loads((tmp_path / "w" / "rows.json").read_text())["rows"]
    # variations that this machine cannot make (root, faketime) are left out of one row, and told
    left_out = rows["together"].get("without", "")
    assert done.returncode == (2 if left_out else 0), done.stdout + done.stderr
    assert list(rows) == list(ROWS) and {row["outcome"] for row in rows.values()} == {"done"}
    assert len({row["sha256"] for row in rows.values()}) == 1
    again = subprocess.run([*command[:-2]], text=True, capture_output=True)  # what is done is not done again
    assert again.returncode == 0 and "1/4" not in again.stdout
    assert not list(Path(tempfile.gettempdir()).glob("verify-all-together-*"))
