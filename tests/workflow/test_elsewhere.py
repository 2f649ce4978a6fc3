"""The workflow from other folders than its checkout: `-s`, `-d`, and as a module of another workflow, planned only."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[2]
MODULE = f"""
configfile: "config/config.yaml"


module neurosieve:
    snakefile:
        "{ROOT}/workflow/Snakefile"
    config:
        config


use rule * from neurosieve
"""


@pytest.fixture
def folder(tmp_path):
    """Another workflow's folder, with a params file and the workflow as a module."""
    for name in ("config", "workflow"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "tests" / "data" / "tiny.yaml", tmp_path / "config" / "config.yaml")
    (tmp_path / "workflow" / "Snakefile").write_text(MODULE)
    return tmp_path


def snakemake(cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", *options]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True)


def jobs(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How many jobs of each rule a plan has."""
    assert done.returncode == 0, done.stdout + done.stderr
    return {rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}


def list_jobs(cwd: Path, *words: str) -> list[dict]:
    command = [sys.executable, str(ROOT / "tests" / "list_jobs.py"), *words]
    return json.loads(subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=True).stdout)


def test_another_folder_has_a_build_of_its_own_and_the_code_and_data_of_the_checkout(tmp_path):
    """The jobs are those of the checkout, whose files go by their whole names."""
    shutil.copy(ROOT / "tests" / "data" / "tiny.yaml", tmp_path / "params.yaml")
    found = {tuple(job["output"]): job for job in list_jobs(tmp_path, "params.yaml", f"{ROOT}/workflow/Snakefile")}
    inside = {tuple(job["output"]): job for job in list_jobs(ROOT, "tests/data/tiny.yaml")}
    assert found.keys() == inside.keys() and len(found) == 45
    for outputs, job in inside.items():
        named = {path if path.startswith("build/") else f"{ROOT}/{path}" for path in job["input"]}
        assert set(found[outputs]["input"]) == named
    assert any("tests/data/tiny_corpus/graphs/" in path for job in inside.values() for path in job["input"])


def test_without_a_file_of_its_own_a_folder_runs_the_params_of_the_checkout(tmp_path):
    planned = jobs(snakemake(ROOT, "--directory", str(tmp_path), "--dry-run"))
    assert planned["dump_activations"] == 36 and planned["build_leaderboard"] == 1


def test_a_module_of_another_workflow_plans_every_job_also_under_other_names(folder):
    planned = jobs(snakemake(folder, "--dry-run"))
    assert planned["build_leaderboard"] == 1 and planned["score_test"] == 4
    path = folder / "workflow" / "Snakefile"
    path.write_text(MODULE.rstrip() + " as ns_*\n")
    assert jobs(snakemake(folder, "--dry-run")) == {
        rule if rule == "total" else f"ns_{rule}": number for rule, number in planned.items()
    }


def test_a_module_is_looked_at_before_its_run_as_the_workflow_by_itself_is(folder):
    """Snakemake runs `onstart` of the main Snakefile alone; what is there is run too, after it."""
    hook = '\nonstart:\n    print("of mine", file=sys.stderr)\n'
    (folder / "workflow" / "Snakefile").write_text(f"import sys\n{MODULE.rstrip()} as ns_*\n{hook}")
    config, target = folder / "config" / "config.yaml", "build/tiny/prepare/corpora/tiny/manifest.json"
    text = config.read_text()
    config.write_text(re.sub(r"(tiny_corpus\n +sha256: )\w+", rf"\g<1>{'a' * 64}", text))
    done = snakemake(folder, target)  # a model that is not there
    assert done.returncode == 1 and "the run cannot start\nmodels.tiny" in done.stderr, done.stderr
    (folder / "models" / "tiny").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (folder / "models" / "tiny" / name).write_text("{}")
    save_file({"weight": np.zeros(1)}, folder / "models" / "tiny" / "model.safetensors")
    done = snakemake(folder, target)
    assert done.returncode == 1 and "the run cannot start\nprepare.corpora.tiny" in done.stderr, done.stderr
    assert not (folder / "build").exists() and "of mine" not in done.stderr
    config.write_text(text)
    done = snakemake(folder, target)
    assert done.returncode == 0 and (folder / target).is_file(), done.stderr
    assert "of mine" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "options", "said"),
    [
        ("    config:\n        config\n", "", (), "`config: config` in it"),
        ("", "", ("--config", "seed=7"), "no --config"),
        ("    config:\n", '    prefix:\n        "mine"\n    config:\n', (), "takes no `prefix:`"),
    ],
)
def test_a_module_that_would_not_do_what_it_says_is_refused(folder, old, new, options, said):
    path = folder / "workflow" / "Snakefile"
    path.write_text(MODULE.replace(old, new))
    done = snakemake(folder, "--dry-run", *options)
    assert done.returncode and said in done.stderr and "Traceback" not in done.stderr
