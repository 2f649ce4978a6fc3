"""`snakemake --sdm conda`, with a stand-in for conda."""

import sys
from pathlib import Path

import stub_conda
import yaml


def test_X8_the_python_of_the_environment_runs_the_jobs(make_checkout, tmp_path):
    checkout = make_checkout()
    tools = stub_conda.make(tmp_path / "conda", f"'{sys.executable}'")
    checkout.env["PATH"] += f":{tools}"  # behind the environment that plans
    checkout.snakemake("--sdm", "conda", "--until", "extract_corpus")
    made = stub_conda.environment(checkout.root)
    ran = stub_conda.ran(checkout.root)
    assert len(ran) == 1 and ran[0].startswith(f"{made} -m neurosieve.cli extract-corpus")
    wanted = yaml.safe_load(Path("workflow/envs/neurosieve.yaml").read_text())
    assert yaml.safe_load((made / "environment.yaml").read_text()) == wanted
    manifest = checkout.root / "build" / "tiny" / "prepare" / "corpora" / "tiny" / "manifest.json"
    assert manifest.is_file()

    # without --sdm the Python that plans runs them
    manifest.unlink()
    checkout.snakemake("--until", "extract_corpus")
    assert manifest.is_file() and stub_conda.ran(checkout.root) == ran
