"""`neurosieve certify` without DVC: what it refuses, and what it leaves of dvc.lock where DVC fails."""

import shutil
from pathlib import Path

import pytest
import stub_chain

from neurosieve import certify, chain
from neurosieve.artifacts import Paths
from neurosieve.verify import committed


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Params of a whole chain in the current folder, with its results."""
    params = stub_chain.load(tmp_path)
    monkeypatch.chdir(tmp_path)
    stub_chain.make(params, Paths("tiny"))
    shutil.copytree("build/tiny/leaderboard", "results/tiny")
    Path("dvc.yaml").write_text("stages: {}\n")
    return params


def test_another_build_folder_is_not_certified_as_that_of_dvc_lock(built, monkeypatch):
    monkeypatch.setattr(certify, "_commit", lambda looked: pytest.fail("committed"))
    shutil.copytree("build", "other")
    (Path("build/tiny/redundancy/tiny/doc-match") / "data.txt").write_text("tampered")
    with pytest.raises(certify.CertifyError, match="leave --build out"):
        certify.certify(built, Paths("tiny", "other"), "params.yaml")
    shutil.copy("params.yaml", "mine.yaml")  # of which dvc.lock is not
    assert "results/tiny/manifest.json" in certify.certify(built, Paths("tiny", "other"), "mine.yaml")


@pytest.mark.parametrize("before", [None, "stages: {}\n"])
def test_where_dvc_fails_half_way_dvc_lock_is_as_it_was(built, monkeypatch, before):
    def commit(looked):
        Path("dvc.lock").write_text("half")
        raise certify.CertifyError("`dvc commit` failed: no space")

    monkeypatch.setattr(certify, "_commit", commit)
    Path("dvc.lock").write_text(before) if before else None
    with pytest.raises(certify.CertifyError, match="no space"):
        certify.certify(built, Paths("tiny"), "params.yaml")
    assert (Path("dvc.lock").read_text() if Path("dvc.lock").exists() else None) == before


def test_a_damaged_file_of_dvcs_cache_does_not_take_the_place_of_a_checked_one(built, monkeypatch, tmp_path):
    """With linked caches DVC would put it there, for it believes its read-only files."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(committed, "cache_folder", lambda root: cache)
    looked = chain.Chain(built, Paths("tiny"))
    damaged, whole, linked = (a.folder / "data.txt" for a in looked.artifacts[:3])
    stored = {path: committed.cached(cache, committed.md5_of(path)) for path in (damaged, whole, linked)}
    for path, place in stored.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(path) if path == linked else shutil.copy(path, place)
    stored[damaged].write_text("rotten")
    stored[damaged].chmod(0o444)
    certify._drop_damaged(looked)
    assert [place.exists() for place in stored.values()] == [False, True, True]
