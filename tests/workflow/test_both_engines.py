"""DVC's stages on the tiny benchmark: the bytes of a Snakemake run, in a checkout and in clones of it."""

import pytest

pytestmark = pytest.mark.slow


def test_dvc_reproduces_what_snakemake_made_and_a_clean_clone_agrees(done, tmp_path, make_checkout):
    checkout = make_checkout()
    checkout.run("git", "init", "--quiet")
    checkout.commit("start")
    checkout.run("dvc", "repro")
    assert checkout.files("build/tiny") == done.files("build/tiny")
    assert checkout.files("results/tiny") == done.files("results/tiny")
    checkout.commit("results")
    clone = checkout.clone(tmp_path / "clone")
    clone.run("dvc", "repro")
    assert clone.run("git", "status", "--porcelain").stdout == ""
    assert "up to date" in clone.run("dvc", "status").stdout
    assert "oracle" in clone.run("dvc", "metrics", "show").stdout
    # A model that is dropped leaves nothing behind: what `dvc repro` makes here is what a clean clone makes.
    clone.params("models: [tiny, tiny-untrained]", "models: [tiny]")
    clone.run("dvc", "repro")
    assert {row["model"] for row in clone.table()} == {"tiny"}
    clone.commit("without the twin")
    again = clone.clone(tmp_path / "again")
    again.run("dvc", "repro")
    assert again.run("git", "status", "--porcelain").stdout == ""
    assert again.files("build/tiny") == clone.files("build/tiny")
