"""The real workflow on a tiny corpus and a random model, through Snakemake."""

import json
import os
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import dags
import pytest

from neurosieve.config.names import lens_names
from neurosieve.leaderboard.evidence import TIERS

pytestmark = pytest.mark.slow


def test_there_is_a_row_per_model_and_task_and_a_page(done):
    rows = done.table()
    assert [(r["model"], r["task"]) for r in rows] == [
        (m, t) for m in ("tiny", "tiny-untrained") for t in ("token-roles", "doc-match")
    ]
    assert all(r["benchmark"] == "tiny" and r["status"] for r in rows)
    page = (done.root / "build" / "tiny" / "site" / "index.html").read_text()
    assert "<table" in page and 'src="http' not in page
    assert done.files("results/tiny") == done.files("build/tiny/leaderboard")


def test_every_job_left_a_log_and_a_timing(done):
    rules = {
        p.relative_to(done.root / "logs/tiny").parts[0].removesuffix(".log")
        for p in done.root.glob("logs/tiny/**/*.log")
    }
    timed = {
        p.relative_to(done.root / "timings/tiny").parts[0].removesuffix(".tsv")
        for p in done.root.glob("timings/tiny/**/*.tsv")
    }
    assert rules == timed
    assert {"extract_corpus", "prepare_task", "dump_activations", "score_test", "build_leaderboard"} <= rules


def test_no_certified_file_holds_a_path_of_this_machine(done):
    for name, content in done.files("build/tiny").items():
        assert str(done.root).encode() not in content, name


def test_a_second_run_does_nothing(done):
    again = done.snakemake()
    assert "Nothing to be done" in again.stdout + again.stderr


def test_after_results_are_removed_the_same_bytes_return(done):
    before = done.files("results/tiny")
    for path in (done.root / "results" / "tiny").rglob("*"):
        if path.is_file():
            path.unlink()
    done.run(
        "make",
        "benchmark",
        "-o",
        f"{Path(sys.executable).parents[1]}/.installed",
        f"VENV={Path(sys.executable).parents[1]}",
    )
    assert done.files("results/tiny") == before


def test_a_source_archive_with_equal_times_computes_every_phase(done, make_checkout):
    archive = make_checkout()
    for name, content in done.files("results/tiny").items():
        path = archive.root / "results" / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for path in archive.root.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    plan = archive.snakemake("--dry-run").stdout
    planned = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", plan, re.MULTILINE)}
    logs = [path.relative_to(done.root / "logs/tiny").parts[0] for path in done.root.glob("logs/tiny/**/*.log")]
    ran = Counter(name.removesuffix(".log") for name in logs)
    assert {rule: planned[rule] for rule in ran} == ran and ran["dump_activations"] == 4


@pytest.mark.system
def test_another_seed_and_further_twins_beside_it_give_other_figures_and_touch_nothing(done):
    """Twins that are no rows: activations and probes, a range in the note, the best on tune as the opponent."""
    before = done.files("build/tiny")
    text = (done.root / "params.yaml").read_text()
    (done.root / "other.yaml").write_text(
        text.replace("benchmark: tiny", "benchmark: other")
        .replace("seed: 5", "seed: 6")
        .replace("tasks: [token-roles, doc-match]", "tasks: [token-roles]")
        .replace("models: [tiny, tiny-untrained]", "models: [tiny]\n  twins: [tiny-untrained, kept]")
        .replace("\nmodels:\n", "\nmodels:\n  kept: {untrained: tiny, seed: 1, embeddings: kept}\n")
    )
    done.snakemake("--configfile", "other.yaml")
    assert done.files("build/tiny") == before
    # pages of the site are named by the benchmark
    rows = {name for name in before if not any(word in name for word in ("untrained", "match", "site/"))}
    folders = tuple(f"{part}/tiny-untrained/token-roles/" for part in ("activations", "probes/models"))
    twins = {name for name in before if name.startswith(folders)}
    assert len(twins) > 20
    made = {name for name in done.files("build/other") if not name.startswith("site/")}
    assert made == rows | twins | {n.replace("tiny-untrained", "kept") for n in twins}
    (new,) = done.table("other")
    (old,) = [row for row in done.table() if (row["model"], row["task"]) == ("tiny", "token-roles")]
    assert any(new[name] != old[name] for name in ("oracle", "subset_test", "random_test"))
    row = json.loads((done.root / "results" / "other" / "rows" / "tiny__token-roles.json").read_text())
    judge, test = (row["comparisons"][split]["untrained"] for split in ("judge", "test"))
    best = max(judge["twins"], key=lambda name: judge["twins"][name]["tune"])
    assert set(judge["twins"]) == set(test["twins"]) == {"tiny-untrained", "kept"}
    assert judge["score"] == judge["twins"][best]["judge"] == row["judge"]["untrained"]
    assert test["score"] == test["twins"][best]["test"] == row["untrained"]
    assert any(note.startswith("2 untrained twins: ") for note in row["notes"])


def test_every_question_that_can_be_asked_of_neurons_is_answered(done):
    """From the artifacts of the run: rules of `concepts` alone are made, and the leaderboard shows what they say."""
    text = dags.with_every_question((done.root / "params.yaml").read_text())
    (done.root / "every.yaml").write_text(text.replace("benchmark: tiny", "benchmark: every"))
    shutil.copytree(done.root / "build" / "tiny", done.root / "build" / "every")
    before = done.files("build/every")
    done.snakemake("--configfile", "every.yaml")
    after = done.files("build/every")
    made = {name for name, content in after.items() if before.get(name) != content}
    assert {name.split("/")[0] for name in made} == {"concepts", "leaderboard", "site"}
    row = json.loads((done.root / "results" / "every" / "rows" / "tiny__token-roles.json").read_text())
    assert set(row["lenses"]) == set(lens_names())
    for name in ("attribution", "faithfulness", "effects"):
        assert row[name]["reason"] is None, name
    assert row["evidence_tests"]["necessary"] is not None and row["evidence"] in TIERS
    languages = json.loads(after["concepts/languages/tiny/languages.json"])
    assert languages["reason"] is None
    page = after["concepts/neurons/tiny/token-roles/heatmaps.html"].decode()
    assert "<script" not in page and "tiny" in page
    assert not [name for name in after if "heatmaps" in name and name.startswith("leaderboard/")]


def test_a_part_that_is_verified_is_run_again_alone_and_is_identical(done):
    """Snakemake runs the part's job and no other; the artifacts at hand, and their times, stay as they are."""
    times = {p: p.stat().st_mtime_ns for p in (done.root / "build/tiny").rglob("*")}
    command = (sys.executable, "-m", "neurosieve.cli", "verify", "probes/status", "--report", "logs/report.json")
    verified = done.run(*command)
    assert verified.stdout.endswith(
        "tiny 1, probes/status: 1 artifacts compared with the artifacts at hand: identical\n"
    )
    assert re.search(r"^1 jobs to run$", verified.stderr, re.MULTILINE)
    assert {p: p.stat().st_mtime_ns for p in (done.root / "build/tiny").rglob("*")} == times
    report = json.loads((done.root / "logs/report.json").read_text())
    assert report["status"] == 0 and report["phases"] == {"probes": {"identical": 1}}
    # a line of code that changes nothing is a change of code all the same, if it is committed
    code = done.root / "src/neurosieve/leaderboard/table.py"
    text = code.read_text()
    code.write_text(text + "# changed\n")
    command = (*command[:3], "verify", "leaderboard")
    assert "uncommitted changes: src/neurosieve/leaderboard/table.py" in done.run(*command, check=False).stderr
    changed = done.run(*command, "--dirty", check=False)
    code.write_text(text)
    assert changed.returncode == 2
    assert re.search(r"first: phase leaderboard, leaderboard, code: .* its files are equal", changed.stdout)


def test_a_wrong_file_is_refused_before_anything_runs(make_checkout):
    checkout = make_checkout()
    checkout.params("numerics: portable", "numerics: exact")
    failed = checkout.snakemake(check=False)
    assert failed.returncode != 0
    assert "numerics: found 'exact'" in failed.stdout + failed.stderr
    assert not (checkout.root / "build").exists()


def test_after_a_kill_the_next_run_mends_what_was_half_written(done):
    before = done.files("build/tiny")
    folder = done.root / "build/tiny/activations/tiny/doc-match/train"
    (folder / "manifest.json").unlink()  # as after a kill between two files
    (folder / "layer_00.npy").write_bytes(b"half")
    folder.with_name(".train.part").mkdir()
    later = [p for p in (done.root / "build/tiny").glob("*/**/tiny/doc-match") if "activations" not in p.parts]
    assert len(later) > 4
    for path in later:  # none of it was there yet
        shutil.rmtree(path)
    shutil.rmtree(done.root / "build/tiny/leaderboard")
    done.snakemake()
    assert done.files("build/tiny") == before
