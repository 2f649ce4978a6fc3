"""What the world around Snakemake expects: deployed by snakedeploy as from the catalogue, and a crate that is valid."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TOOLS = ("snakedeploy==0.17.1", "roc-validator==0.13.0", "rocrate==0.16.0")
pytestmark = pytest.mark.system


@pytest.fixture(scope="session")
def tools(tmp_path_factory) -> Path:
    """The bin folder of an environment with TOOLS, made here, or named by NEUROSIEVE_TEST_TOOLS."""
    if named := os.environ.get("NEUROSIEVE_TEST_TOOLS"):
        return Path(named) / "bin"
    folder = tmp_path_factory.mktemp("tools")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS]
    done = subprocess.run(pip, text=True, capture_output=True)
    if done.returncode:
        pytest.skip(f"no {', '.join(TOOLS)} to be had: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin"


def test_the_catalogue_finds_what_it_asks_for():
    """Names and keys of its documentation: `Adding workflows`, standardized usage."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda", "report"}
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "workflow" / "Snakefile").is_file() and (ROOT / "config" / "README.md").is_file()
    assert (ROOT / "config" / "config.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.fixture(scope="session")
def deployed(done, tools, tmp_path_factory):
    """The tiny benchmark, deployed by snakedeploy: what runs it, and where. The git host is a folder here."""
    host = tmp_path_factory.mktemp("host") / "github.com"
    repository = host / "owner" / "neurosieve"
    shutil.copytree(done.root, repository, ignore=shutil.ignore_patterns("build", "results", ".snakemake", ".git"))
    shutil.rmtree(repository / "config", ignore_errors=True)
    shutil.copytree(ROOT / "config", repository / "config", symlinks=True)
    shutil.copy(ROOT / "LICENSE", repository)
    git = ("git", "-C", str(repository))
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "release"), ("tag", "v1")):
        subprocess.run([*git, *words], env=done.env, check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("deployed")
    env = {
        **done.env,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{host.as_uri()}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    env.pop("PYTHONPATH")
    deploy = [tools / "snakedeploy", "deploy-workflow", "https://github.com/owner/neurosieve", ".", "--tag", "v1"]
    subprocess.run(deploy, cwd=folder, env=env, check=True, capture_output=True)
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    return lambda: subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True), folder


def test_deployed_by_snakedeploy_it_runs_and_makes_the_same_bytes(done, deployed):
    run, folder = deployed
    ran = run()
    assert ran.returncode == 0, ran.stderr
    assert (
        'github("owner/neurosieve", path="workflow/Snakefile", tag="v1")' in (folder / "workflow/Snakefile").read_text()
    )
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.glob("build/tiny/**/*") if p.is_file()}
    assert found == {f"build/tiny/{name}": text for name, text in done.files("build/tiny").items()}
    (copy,) = (folder / ".snakemake" / "neurosieve").iterdir()
    assert re.fullmatch("[0-9a-f]{40}", copy.name) and not (folder / "results").exists()
    again = run()
    assert again.returncode == 0 and "Nothing to be done" in again.stderr


@pytest.mark.parametrize("severity", ["REQUIRED", "RECOMMENDED"])
def test_the_crate_is_a_valid_workflow_run_crate(done, tools, tmp_path, severity):
    """Of what is recommended, times are left out on purpose, and what the project has not: a page, a description."""
    crate = tmp_path / "crate"
    for name in ("LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, done.root)
    done.run(sys.executable, "-m", "neurosieve.cli", "crate", "--output", str(crate))
    command = [tools / "python", Path(__file__).with_name("validate_crate.py"), crate, severity]
    answer = subprocess.run(command, text=True, capture_output=True)
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout.strip().splitlines()[-1])
    assert told["main"] == "workflow/Snakefile" and told["actions"] == 44
    if severity == "REQUIRED":
        assert told["issues"] == []
    broken = crate / "ro-crate-metadata.json"
    broken.write_text(
        broken.read_text().replace("datePublished", "dateLost").replace('"programmingLanguage"', '"lost"')
    )
    answer = subprocess.run(command, text=True, capture_output=True)
    missed = " ".join(json.loads(answer.stdout.strip().splitlines()[-1])["issues"])
    assert "datePublished" in missed and "programmingLanguage" in missed
