"""Results of a git revision as a folder: what lies there, and what is told where there is none."""

import shutil
import subprocess

import pytest
from site_build import write_leaderboard

from neurosieve import cli
from neurosieve.site import collect
from neurosieve.site.read import SiteError
from neurosieve.site.revisions import results_folder


def git(*words: str) -> None:
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *words], check=True, capture_output=True)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """results/default in a commit of a repository in the current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    made = tmp_path / "here" / "results" / "default"
    shutil.copytree(write_leaderboard(tmp_path), made)
    git("init")
    git("add", "results")
    git("commit", "-m", "first")
    return made


def test_a_folder_of_a_revision_is_as_it_was_and_one_that_is_there_is_taken(results, tmp_path):
    before = files(results)
    shutil.rmtree(results / "rows")
    found = results_folder("HEAD:results/default", tmp_path / "into")
    assert files(found) == before and found == tmp_path / "into" / "default@HEAD"
    assert results_folder(str(results), tmp_path / "into") == results


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("HEAD~9:results/default", "git knows no 'HEAD~9'"),
        ("--output=x:results/default", "git knows no '--output=x'"),
        ("HEAD:results/other", "no folder 'results/other' in 'HEAD'"),
        ("HEAD:results/default", "given twice"),
    ],
)
def test_what_is_not_there_is_told(results, tmp_path, given, told):
    (tmp_path / "into" / "default@HEAD").mkdir(parents=True)
    with pytest.raises(SiteError, match=told):
        results_folder(given, tmp_path / "into")


def test_a_site_shows_results_beside_what_they_were(results, capsys):
    assert cli.main(["site", "results/default", "HEAD:results/default", "--output", "out"]) == 0
    assert "2 results, 0 submissions" in capsys.readouterr().out
    page = (results.parents[1] / "out" / "compare.html").read_text(encoding="utf-8")
    assert "default (default): doc-match" in page and "default (default@HEAD): doc-match" in page


def test_submissions_stand_beside_results_of_their_version_or_are_told_and_left_out(results, capsys, monkeypatch):
    made = results.parents[1] / "submissions"
    for by in ("lab", "older"):
        shutil.copytree(results, made / "default" / by / "leaderboard")
    monkeypatch.setattr(
        collect,
        "read_submissions",
        lambda folder: [
            (folder / "default" / by / "leaderboard",
             {"by": by, "benchmark": "default", "version": version, "reproduced": False})
            for by, version in (("lab", 1), ("older", 0))
        ],
    )  # fmt: skip
    assert cli.main(["site", "results/default", "--output", "out"]) == 0
    told = capsys.readouterr().out
    assert "1 results, 1 submissions" in told and "1 submissions of other benchmarks or versions are not shown" in told
    assert cli.main(["site", "results/default", "--output", "out", "--no-submissions"]) == 0
    assert "1 results, 0 submissions" in capsys.readouterr().out
