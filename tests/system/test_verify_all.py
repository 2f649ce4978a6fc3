"""`make verify-all` on a model and a task of the tiny benchmark: the rows that take a minute each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = ("snakemake", "dvc", "two-threads", "kills", "path", "umask", "locale", "clock", "order")


def changed() -> bool:
    done = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, text=True, capture_output=True)
    return done.returncode != 0 or any(not line.startswith("??") for line in done.stdout.splitlines())


pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(changed(), reason="needs a git checkout without changes, which it clones"),
]


def test_every_way_gives_one_dvc_lock(tmp_path):
    text = (ROOT / "tests" / "data" / "tiny.yaml").read_text()
    for old, new in (
        ("models: [tiny, tiny-untrained]", "models: [tiny]"),
        ("tasks: [token-roles, doc-match]", "tasks: [token-roles]"),
        ("transfer: true", "transfer: false"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "less.yaml").write_text(text)
    only = [word for row in ROWS for word in ("--only", row)]
    script = ROOT / "benchmarks" / "verify_all.py"
    command = [
        sys.executable,
        str(script),
        "--params",
        str(tmp_path / "less.yaml"),
        "--work",
        str(tmp_path / "w"),
        *only,
    ]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "w" / "rows.json").read_text())["rows"]
    assert [name for name, row in rows.items() if row["outcome"] != "done"] in ([], ["clock"])  # clock: faketime
    assert len({row["sha256"] for row in rows.values() if "sha256" in row}) == 1
    again = subprocess.run(command, text=True, capture_output=True)  # what is done is not done again
    assert again.returncode == 0 and "1/9" not in again.stdout
