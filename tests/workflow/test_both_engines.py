"""DVC's stages on the tiny benchmark: the bytes of a Snakemake run, in a checkout and in a clone of it."""

import sys

import pytest

pytestmark = pytest.mark.slow
WITHOUT_TWIN = ("models: [tiny, tiny-untrained]", "models: [tiny]")


def test_dvc_reproduces_what_snakemake_made_and_a_dropped_model_leaves_nothing(done, tmp_path, make_checkout):
    checkout = make_checkout()
    checkout.run("git", "init", "--quiet")
    checkout.commit("start")
    checkout.run("dvc", "repro")
    assert checkout.files("build/tiny") == done.files("build/tiny")
    assert checkout.files("results/tiny") == done.files("results/tiny")
    assert "up to date" in checkout.run("dvc", "status").stdout
    # the other door: what Snakemake made, certified
    done.run(sys.executable, "-m", "neurosieve.cli", "certify")
    assert (done.root / "dvc.lock").read_bytes() == (checkout.root / "dvc.lock").read_bytes()
    assert "oracle" in checkout.run("dvc", "metrics", "show").stdout
    checkout.commit("results")
    # What `dvc repro` makes without a model is what a clone makes in which it was never there.
    clone = checkout.clone(tmp_path / "clone")
    for place in (checkout, clone):
        place.params(*WITHOUT_TWIN)
        place.run("dvc", "repro")
        assert {row["model"] for row in place.table()} == {"tiny"}
    assert clone.files("build/tiny") == checkout.files("build/tiny")
    assert (clone.root / "dvc.lock").read_bytes() == (checkout.root / "dvc.lock").read_bytes()
    assert clone.run("git", "diff", "--name-only").stdout == checkout.run("git", "diff", "--name-only").stdout
