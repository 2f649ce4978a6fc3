"""Entries alone: data in CodeXGLUE's clone format, a number, an architecture that nothing else here names."""

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path

import pytest
import tiny_models
import yaml

pytestmark = pytest.mark.slow
CLONES = Path("tests/data/tiny_codexglue_clone")
ARCHITECTURE = "olmo"


def pinned(folder: Path, roles: dict[str, str]) -> dict[str, dict[str, str]]:
    found = {role: (folder / name).read_bytes() for role, name in roles.items()}
    return {role: {"name": roles[role], "sha256": hashlib.sha256(data).hexdigest()} for role, data in found.items()}


@pytest.fixture(scope="module")
def done(make_checkout, tmp_path_factory):
    """A checkout whose params file has the entries, run once; its data lie in a folder elsewhere."""
    data = tmp_path_factory.mktemp("data")
    shutil.copytree(CLONES, data / "clones")
    (data / "lengths").mkdir()
    lines = []
    for i in range(240):
        words = ["value" if (i * 7 + j) % 3 else "name" for j in range(1 + i * 37 % 23)]
        lines.append({"code": f"def f{i}():\n    return {' + '.join(words)}", "size": len(words), "repo": f"r{i % 12}"})
    (data / "lengths" / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert ARCHITECTURE not in tiny_models.SPECIALS
    tiny_models.save(data / "unnamed", ARCHITECTURE)
    checkout = make_checkout()
    params = yaml.safe_load((checkout.root / "params.yaml").read_text())
    params["benchmark"] = "entries"
    params["run"] |= {"models": ["unnamed"], "tasks": ["clones", "length"]}
    params["models"] = {"unnamed": {"path": "unnamed"}}
    rows = {"train": 60, "tune": 12, "judge": 40, "test": 40}
    roles = {"functions": "functions.jsonl", "train": "train.txt", "dev": "dev.txt", "test": "test.txt"}
    params["prepare"]["tasks"] = {
        "clones": {
            "kind": "codexglue-clone", "folder": "clones", "files": pinned(data / "clones", roles),
            "metric": "accuracy", "rows": rows,
        },
        "length": {
            "kind": "table", "folder": "lengths", "files": pinned(data / "lengths", {"all": "all.jsonl"}),
            "columns": {"text": "code", "target": "size", "package": "repo"}, "metric": "r2", "rows": rows,
            "shares": {"train": 0.5, "dev": 0.3, "test": 0.2},
        },
    }  # fmt: skip
    (checkout.root / "mine.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    checkout.env["NEUROSIEVE_DATA"] = str(data)
    checkout.data = data
    checkout.snakemake("--configfile", "mine.yaml")
    return checkout


def test_params_entries_alone_run_through_to_the_leaderboard(done):
    text = (done.root / "results" / "entries" / "leaderboard.csv").read_text()
    rows = {(r["model"], r["task"]): r for r in csv.DictReader(io.StringIO(text))}
    assert set(rows) == {("unnamed", "clones"), ("unnamed", "length")}
    assert all(row["status"] and row["n_neurons"] == "48" for row in rows.values())
    assert {row["metric"] for row in rows.values()} == {"accuracy", "r2"}
    for row in rows.values():  # a missing figure is empty, never zero
        assert (row["oracle_spearman"] == "") == (row["metric"] == "accuracy")
    detail = json.loads((done.root / "results" / "entries" / "rows" / "unnamed__length.json").read_text())
    assert detail["note"] and "published" not in detail["note"]
    page = (done.root / "build" / "entries" / "site" / "index.html").read_text()
    assert "length" in page and "clones" in page


def test_no_certified_file_names_the_folder_of_the_data(done):
    for name, content in done.files("build/entries").items():
        assert str(done.data).encode() not in content, name


def test_a_changed_file_is_refused_and_a_missing_one_before_anything_runs(done):
    path = done.data / "clones" / "test.txt"
    whole = path.read_text()
    path.write_text(whole + "\n")
    before = done.files("build/entries")
    changed = done.snakemake("--configfile", "mine.yaml", "--until", "prepare_task", check=False)
    assert changed.returncode and "the file has changed" in changed.stderr and "test.txt" in changed.stderr
    assert done.files("build/entries") == before
    path.unlink()
    missing = done.snakemake("--configfile", "mine.yaml", check=False)
    assert missing.returncode and "no file" in missing.stderr and "test.txt" in missing.stderr
    plan = done.snakemake("--configfile", "mine.yaml", "--dry-run")
    assert plan.returncode == 0
    path.write_text(whole)
