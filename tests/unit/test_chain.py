"""What a manifest binds: each kind of difference is named, with the folder and the first difference, and no other."""

import json
import os
import shutil
from pathlib import Path

import pytest
import stub_chain

from neurosieve import artifacts, certify, chain, flow
from neurosieve.artifacts import Paths, read_json
from neurosieve.cli import COMMANDS
from neurosieve.config.names import PHASE_RULES


@pytest.fixture
def built(tmp_path):
    """Params and paths of a whole chain."""
    params, paths = stub_chain.load(tmp_path), Paths("tiny", tmp_path / "build")
    stub_chain.make(params, paths)
    return params, paths


def told(params, paths, **options) -> list[tuple[str, str, str]]:
    faults = chain.Chain(params, paths, **options).faults(contents=True)
    return [(f.kind, f.folder.relative_to(paths.root).as_posix(), f.difference) for f in faults]


def refused(params, paths, rule, **wildcards) -> str:
    with pytest.raises(chain.ChainError) as caught:
        chain.check_job(params, paths, rule, wildcards)
    return str(caught.value)


def edit(folder: Path, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(read_json(path) | changes))


def test_a_whole_chain_has_no_fault_and_every_job_may_run(built):
    params, paths = built
    assert told(params, paths) == [] and chain.stale(params, paths) == []
    for artifact in chain.artifacts(params, paths):
        chain.check_job(params, paths, artifact.rule, {k: v for k, v in artifact.wildcards.items() if k != "split"})
    chain.check_made(params, paths)
    assert "tmp" not in "".join(p.read_text() for p in paths.root.rglob("manifest.json")).replace("tmpl", "")


@pytest.mark.parametrize("wildcards", [{"model": "other", "task": "doc-match"}, {"model": "tiny", "task": "none"}])
def test_a_job_that_the_run_has_not_is_refused(built, wildcards):
    """Nothing says what it is made from, so nothing could be checked."""
    said = refused(*built, "fit_probes", **wildcards)
    assert said.startswith(
        f"fit_probes model={wildcards['model']} task={wildcards['task']}: benchmark tiny has no such job"
    )
    assert "tiny, tiny-untrained" in said and "token-roles, doc-match" in said


@pytest.mark.parametrize("name", [".DS_Store", "._data.txt", ".nfs00000000018e2f4a0000001c"])
def test_files_that_the_system_puts_there_make_nothing_stale(built, name):
    params, paths = built
    for folder in (paths.status(), paths.leaderboard(), paths.root / "probes"):
        (folder / name).touch()
    assert told(params, paths) == [] and list(certify.strays(chain.Chain(params, paths))) == []
    (paths.status() / "other").touch()
    assert told(params, paths) == [("content", "probes/status", "other is not in its manifest")]


def test_rules_are_those_of_the_command_line():
    assert {
        phase: tuple(function for module, function, _, _ in COMMANDS.values() if module == phase)
        for phase in PHASE_RULES
    } | {"activations": ("finetune_model", "dump_activations")} == PHASE_RULES


def test_a_changed_parameter_is_named_at_its_root_and_refused_by_what_reads_it(built, tmp_path):
    """X1, X2: what a checkout or a pull brought was made with another value."""
    _, paths = built
    params = stub_chain.load(tmp_path, ("window: 48", "window: 24"))
    dumps = [f for f in told(params, paths) if f[1].startswith("activations/")]
    assert len(dumps) == 2 * 2 * 4 and all(f[0] == "params" for f in dumps)
    assert dumps[0][2] == "made with activations.window 48, this run has 24"
    # the leaderboard holds all of the params file; what else is made of the dumps has no fault of its own
    assert {f[1] for f in told(params, paths)} - {f[1] for f in dumps} == {"leaderboard"}
    said = refused(params, paths, "search_subsets", model="tiny", task="doc-match")
    assert said.startswith(f"{paths.root}/activations/tiny/doc-match/train: made with activations.window 48, this run")
    assert "neurosieve run" in said
    # not only what reads it, but also what is made from that; the prepared tasks are none of it
    assert "activations.window" in refused(params, paths, "decide_status")
    chain.check_job(params, paths, "dump_activations", {"model": "tiny", "task": "doc-match"})
    with pytest.raises(chain.ChainError, match="nothing is published"):
        chain.check_made(params, paths)
    lines = list(chain.grouped(chain.stale(params, paths), lambda f: f.folder.parts[-4]))
    assert lines[0].endswith("made with activations.window 48, this run has 24") and "more: made" in lines[0]


def test_a_seed_goes_to_the_tasks(built, tmp_path):
    """X2."""
    _, paths = built
    params = stub_chain.load(tmp_path, ("\nseed: 5", "\nseed: 2"))
    assert told(params, paths)[0] == ("params", "prepare/tasks/token-roles/train", "made with seed 5, this run has 2")
    assert "seed 5" in refused(params, paths, "dump_activations", model="tiny", task="token-roles")


def test_other_code_and_another_lock_are_named(built, monkeypatch):
    params, paths = built
    monkeypatch.setattr(chain, "code_sha256", lambda phase: "0" if phase == "probes" else artifacts.code_sha256(phase))
    found = told(params, paths)
    assert {f[0] for f in found} == {"code"} and {f[1].split("/")[0] for f in found} == {"probes"}
    assert "other code of the phase probes" in refused(params, paths, "score_test", model="tiny", task="doc-match")
    monkeypatch.setattr(chain, "code_sha256", artifacts.code_sha256)
    monkeypatch.setattr(chain, "lock_sha256", lambda: "0")
    found = told(params, paths)
    assert {f[0] for f in found} == {"lock"} and len(found) == len(chain.artifacts(params, paths))


def test_an_input_that_was_made_anew_is_named_by_what_was_made_from_the_old_one(built):
    params, paths = built
    with flow.writer(params, paths, "fit_probes", model="tiny", task="doc-match") as out:
        out.text("data.txt", "other figures")
    found = told(params, paths)
    assert {f[0] for f in found} == {"input"}
    folder = paths.probes("tiny", "doc-match")
    assert ("input", "subsets/search/tiny/doc-match", f"{folder} was made anew since, with another content") in found
    assert "made anew" in refused(params, paths, "score_test", model="tiny", task="doc-match")


def test_a_model_that_joins_or_leaves_the_run_is_an_input(built, tmp_path):
    _, paths = built
    params = stub_chain.load(tmp_path, ("models: [tiny, tiny-untrained]", "models: [tiny]"))
    found = dict((folder, kind) for kind, folder, _ in told(params, paths))
    assert found["probes/status"] == "params"  # its settings name the twins
    assert found["subsets/search/tiny/doc-match"] == "input"
    assert "made from probes/models/tiny-untrained" in refused(
        params, paths, "score_test", model="tiny", task="doc-match"
    ) or "probes/status" in refused(params, paths, "score_test", model="tiny", task="doc-match")


def flip(path: Path) -> None:
    """One bit of the middle byte; the times stay."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    "fault", ["bit", "truncated", "gone", "extra", "empty manifest", "no manifest", "half manifest"]
)
def test_X3_X6_a_damaged_artifact_is_refused_by_name_and_made_again_where_names_tell(built, fault):
    params, paths = built
    folder = paths.activations("tiny", "doc-match", "train")
    path, manifest = folder / "data.txt", folder / "manifest.json"
    if fault == "bit":
        flip(path)
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:-3])
    elif fault == "gone":
        path.unlink()
    elif fault == "extra":
        (folder / "left.npy").write_bytes(b"")
    elif fault == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("" if fault == "empty manifest" else manifest.read_text()[:200])
    said = refused(params, paths, "fit_probes", model="tiny", task="doc-match")
    name = {"extra": "left.npy", "no manifest": "no manifest.json"}.get(fault, "data.txt" if "man" not in fault else "")
    assert str(folder) in said and name in said and "run again" in said
    kind = "missing" if fault == "no manifest" else "content"
    assert told(params, paths)[0][:2] == (kind, "activations/tiny/doc-match/train")
    # what a look at names and manifests finds is made again without a word from the user
    again = {f.folder for f in chain.stale(params, paths)}
    assert (folder in again) == (fault not in ("bit", "truncated", "no manifest"))
    # who reads others is not stopped, and who reads it only through its manifest neither
    chain.check_job(params, paths, "fit_baselines", {"task": "doc-match"})
    if fault in ("bit", "truncated"):
        chain.check_job(params, paths, "build_leaderboard", {})


def test_a_manifest_of_another_artifact_or_of_an_older_version_is_refused(built, tmp_path):
    params, paths = built
    folder = paths.probes("tiny", "doc-match")
    shutil.rmtree(folder)
    shutil.copytree(paths.probes("tiny-untrained", "doc-match"), folder)
    assert "fit_probes model=tiny-untrained task=doc-match" in refused(
        params, paths, "fit_controls", model="tiny", task="doc-match"
    )
    edit(folder, schema=1)
    assert "another version of NeuroSieve" in refused(params, paths, "fit_controls", model="tiny", task="doc-match")
    # of another benchmark: the same rule and names, other settings
    other = stub_chain.load(tmp_path, ("benchmark: tiny", "benchmark: other"), ("gap: 1e-4", "gap: 1e-3"))
    stub_chain.make(other, Paths("other", tmp_path / "build"))
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "build" / "other" / "probes" / "models" / "tiny" / "doc-match", folder)
    params = stub_chain.load(tmp_path)
    said = refused(params, paths, "fit_controls", model="tiny", task="doc-match")
    assert "made with probes.gap 0.001, this run has 0.0001" in said


@pytest.mark.parametrize("key", ["inputs", "sources", "facts", "files"])
def test_a_manifest_with_a_list_for_a_table_is_damaged_and_no_traceback(built, key):
    params, paths = built
    edit(paths.activations("tiny", "doc-match", "train"), **{key: None})
    assert told(params, paths)[0] == ("content", "activations/tiny/doc-match/train", "manifest.json is damaged")


def test_X5_weights_that_are_replaced_while_a_job_reads_them_are_told_by_the_job(built, tmp_path):
    params, paths = built
    job = ("dump_activations", {"model": "tiny", "task": "doc-match"})
    before = chain.check_job(params, paths, *job)
    chain.check_unchanged(params, paths, *job, before)
    flip(tmp_path / "model" / "model.safetensors")
    with pytest.raises(chain.ChainError, match=r"model\.safetensors was replaced while the job read it"):
        chain.check_unchanged(params, paths, *job, before)
    assert not (paths.activations("tiny", "doc-match", "train") / "manifest.json").exists()


def test_X5_weights_that_were_replaced_are_seen_by_their_sum(built, tmp_path):
    params, paths = built
    flip(tmp_path / "model" / "model.safetensors")
    found = chain.stale(params, paths)
    # the dumps of the model and of its twin, and what runs the model again
    assert {f.kind for f in found} == {"source"}
    assert {f.folder.relative_to(paths.root).parts[:2] for f in found} == {
        ("activations", "tiny"), ("activations", "tiny-untrained"), ("concepts", "ablation")
    }  # fmt: skip
    assert str(tmp_path / "model" / "model.safetensors") in found[0].difference
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    assert any("it was not there then" in f.difference for f in chain.stale(params, paths)) or found
    shutil.rmtree(tmp_path / "model")  # a machine without the model: nothing can be told
    assert chain.stale(params, paths) == []


def test_a_model_that_moved_is_the_same_model(built, tmp_path):
    _, paths = built
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    params = stub_chain.load(tmp_path, model="elsewhere")
    assert [f for f in told(params, paths) if f[1] != "leaderboard"] == []
    assert told(params, paths) == []


def test_a_swapped_data_file_is_seen_by_its_sum(built, tmp_path):
    params, paths = built
    corpus = tmp_path / "corpus"
    shutil.copytree("tests/data/tiny_corpus", corpus)
    params = stub_chain.load(tmp_path, ("folder: tests/data/tiny_corpus", f"folder: '{corpus}'"))
    assert chain.stale(params, paths) == []
    flip(next(corpus.rglob("*.py")))
    (found,) = chain.stale(params, paths)
    assert found.kind == "source" and found.folder == paths.corpus("tiny") and str(corpus) in found.difference


def test_differences_are_told_by_their_key():
    assert chain.difference({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2]}}) is None
    assert chain.difference({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}) == "a.b[1] 2, this run has 3"
    assert chain.difference({"a": 1}, {}) == "a 1, this run has nothing"
    assert chain.difference({"a": 1}, {"a": True}) == "a 1, this run has true"
    assert chain.difference({"a": [1]}, {"a": [1, 2]}) == "a [1], this run has [1, 2]"
