"""A release is a git tag that says which version of which benchmark params.yaml and results/ are."""

import json
import re
import subprocess
from pathlib import Path

from neurosieve.config import load_params


def wrong(tags: list[str], benchmark: str, version: int) -> list[str]:
    """Tags that look like a release, <name>-v<number>, and are not the one of this benchmark and version."""
    return [t for t in tags if re.fullmatch(r"[\w.-]+-v\d+", t) and t != f"{benchmark}-v{version}"]


def test_a_tag_of_this_commit_names_the_benchmark_and_its_version():
    done = subprocess.run(["git", "tag", "--points-at", "HEAD"], capture_output=True, text=True)
    params = load_params("params.yaml")
    assert not wrong(done.stdout.split(), params.benchmark, params.version)
    assert wrong(["default-v4", "mine-v5", "default-v5", "1.0", "draft"], "default", 5) == ["default-v4", "mine-v5"]


def test_the_committed_results_are_of_this_version():
    params = load_params("params.yaml")
    made = json.loads(Path("results", params.benchmark, "manifest.json").read_text())["params"]
    assert (made["benchmark"], made["version"]) == (params.benchmark, params.version)
