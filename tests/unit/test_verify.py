"""`neurosieve verify` without a run: Snakemake is replaced by something that writes a chain of small artifacts."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import stub_chain
import yaml

from neurosieve import chain, cli, config, flow, pull, verify
from neurosieve.artifacts import Paths
from neurosieve.verify import committed, tree

PIECES = ("workflow/Snakefile", "requirements.lock", "src/neurosieve/numerics.py")  # of a checkout


def git(*words):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(["git", *who, *words], text=True, capture_output=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(params, paths, score=0.5, only=None):
    """Every artifact holds a figure; those that are there stay."""
    for artifact in chain.artifacts(params, paths):
        if not artifact.manifest.exists() and (only is None or only(artifact)):
            with flow.writer(params, paths, artifact.rule, **artifact.wildcards) as out:
                out.json("figures.json", {"score": score, "of": artifact.rule})


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout, the current folder, with the artifacts of the tiny benchmark; its params."""
    params = stub_chain.load(tmp_path / "elsewhere")
    root = tmp_path / "check out"
    for piece in PIECES:
        (root / piece).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(piece, root / piece)
    shutil.copy2(tmp_path / "elsewhere" / "params.yaml", root / "params.yaml")
    (root / ".gitignore").write_text("/build/\n/data/\n/.cache/\n")
    monkeypatch.chdir(root)
    make(params, Paths("tiny"))
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "start")
    return params


@pytest.fixture
def ran(checkout, monkeypatch):
    """What the replaced run was asked for, by name; its `score` is what the run finds, `act` what else it does."""

    class Ran:
        targets, score, act, place = None, 0.5, None, None

    def run(place, params_file, targets, cores):
        Ran.place = place
        Ran.targets = sorted(path.relative_to(place / "build" / "tiny").as_posix() for path in targets)
        if Ran.act is not None:
            Ran.act(place)
        make(checkout, Paths("tiny", place / "build"), Ran.score, lambda a: not targets or a.folder in targets)

    monkeypatch.setattr(verify, "_snakemake", run)
    return Ran


def left():
    return [path.name for path in Path("build").iterdir() if path.name.startswith(".verify")]


def last(capsys):
    return capsys.readouterr().out.rstrip().split("\n")


def test_what_is_run_again_and_equal_is_identical_and_leaves_nothing(ran, capsys, tmp_path):
    before = {p: p.read_bytes() for p in Path("build").rglob("*") if p.is_file()}
    assert cli.main(["verify", "--report", str(tmp_path / "r.json")]) == 0
    assert ran.targets == [] and last(capsys)[-1].endswith("compared with the artifacts at hand: identical")
    assert left() == [] and git("worktree", "list").count("\n") == 1 and git("status", "--porcelain") == ""
    assert {p: p.read_bytes() for p in Path("build").rglob("*") if p.is_file()} == before
    text = (tmp_path / "r.json").read_text()
    report = json.loads(text)
    assert (report["verdict"], report["status"], report["against"], report["first"]) == ("identical", 0, "build", None)
    assert str(tmp_path) not in text and sum(n["identical"] for n in report["phases"].values()) == 64


def test_the_tree_is_clean(ran, monkeypatch):
    """HEAD's files, links to the data that git does not have, nothing else of the checkout."""
    Path("data/set").mkdir(parents=True)
    Path("data/set/rows.csv").write_text("1\n")
    Path(".cache").mkdir()
    Path("notes.txt").write_text("not in git")
    seen = {}
    ran.act = lambda place: seen.update(
        {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()} and
        {"files": sorted(p.relative_to(place).as_posix() for p in place.iterdir() if p.name != ".git"),
         "data": (place / "data" / "set" / "rows.csv").read_text(), "link": (place / ".cache").is_symlink()}
    )  # fmt: skip
    assert cli.main(["verify"]) == 0
    assert seen["files"] == [".cache", ".gitignore", "data", "params.yaml", "requirements.lock", "src", "workflow"]
    assert seen["data"] == "1\n" and seen["link"]


@pytest.mark.parametrize("change", ["changed", "not in git", "deleted", "params"])
def test_uncommitted_changes_are_told_and_taken_along_where_that_is_asked(ran, capsys, change):
    code = Path("src/neurosieve/numerics.py")
    name = code.as_posix()
    if change == "changed":
        code.write_text("changed\n")
    elif change == "not in git":
        name = "src/neurosieve/new.py"
        Path(name).write_text("changed\n")
    elif change == "deleted":
        code.unlink()
    else:
        name, change = "params.yaml", "changed"
        Path(name).write_text(Path(name).read_text() + "# changed\n")
    Path("README.md").write_text("nothing that a run reads\n")
    assert cli.main(["verify"]) == 3
    said = capsys.readouterr().err
    assert f"uncommitted changes: {name} ({change});" in said and "--dirty" in said and "README" not in said
    assert left() == [] and ran.place is None
    taken = []
    ran.act = lambda place: taken.append((place / name).read_text() if (place / name).exists() else None)
    assert cli.main(["verify", "--dirty"]) == 0
    assert taken == [Path(name).read_text() if change != "deleted" else None]


def test_a_params_file_that_is_not_in_git_is_taken_as_it_is(ran):
    shutil.copy2("params.yaml", "mine.yaml")
    ran.act = lambda place: (place / "mine.yaml").read_text()
    assert cli.main(["verify", "--params", "mine.yaml"]) == 0


ROW = {f"activations/tiny/doc-match/{s}" for s in ("train", "tune", "judge", "test")} | {
    f"{place}/tiny/doc-match"
    for place in (
        "redundancy", "probes/models", "probes/controls", "subsets/search", "subsets/robustness", "subsets/scores",
        "concepts/neurons", "concepts/ablation",
    )
}  # fmt: skip


@pytest.mark.parametrize(
    ("part", "targets"),
    [
        ("leaderboard", {"leaderboard"}),
        ("tiny:doc-match", ROW),
        ("activations/tiny/doc-match/train", {name for name in ROW if name.startswith("activations")}),
        ("build/tiny/probes/status/", {"probes/status"}),
        ("prepare/corpora/tiny", {"prepare/corpora/tiny"}),
        ("tiny/prepare/tasks/doc-match/tune", {f"prepare/tasks/doc-match/{s}"
                                              for s in ("train", "tune", "judge", "test", "card")}),
    ],
)  # fmt: skip
def test_a_part_is_run_from_the_earlier_artifacts_at_hand(ran, part, targets, tmp_path, capsys):
    lent = []
    ran.act = lambda place: lent.extend(place.rglob("manifest.json"))
    assert cli.main(["verify", part, "--report", str(tmp_path / "r.json")]) == 0
    assert set(ran.targets) == targets
    compared = {one["artifact"] for one in json.loads((tmp_path / "r.json").read_text())["artifacts"]}
    assert compared == targets
    names = {path.parent.relative_to(ran.place / "build" / "tiny").as_posix() for path in lent}
    assert not names & targets and (not names) == part.startswith("prepare/corpora")


def test_lent_artifacts_are_finished_for_snakemake(ran):
    """Their manifests are copies, of one time, later than the code; the files beside them are links."""
    os.utime("build/tiny/prepare/corpora/tiny/manifest.json", (1, 1))

    def look(place):
        times = {path.stat().st_mtime_ns for path in (place / "build").rglob("manifest.json")}
        code = max(path.stat().st_mtime_ns for path in (place / "src").rglob("*") if path.is_file())
        assert len(times) == 1 and min(times) >= code
        assert not any(path.is_symlink() for path in (place / "build").rglob("manifest.json"))
        assert all(path.is_symlink() for path in (place / "build").rglob("figures.json"))

    ran.act = look
    assert cli.main(["verify", "leaderboard"]) == 0
    assert Path("build/tiny/prepare/corpora/tiny/manifest.json").stat().st_mtime == 1


def test_an_unknown_part_names_those_that_there_are(ran, capsys):
    assert cli.main(["verify", "tiny:nope"]) == 3
    said = capsys.readouterr().err
    assert "tiny:nope: no such part" in said and "tiny:token-roles" in said and "prepare, activations" in said
    assert ran.place is None


@pytest.mark.parametrize(
    ("name", "kind"), [("figures.json", "content"), ("manifest.json", "code"), ("gone", "missing")]
)
def test_a_part_is_not_run_from_artifacts_that_are_not_this_runs(ran, capsys, name, kind):
    folder = Path("build/tiny/activations/tiny/doc-match/train")
    if name == "gone":
        shutil.rmtree(folder)
    elif name == "manifest.json":
        manifest = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(manifest | {"code": "of before"}))
    else:
        (folder / name).write_text("{}")
    assert cli.main(["verify", "tiny:doc-match"]) in (0, 2)  # it is run again itself
    assert cli.main(["verify", "probes"]) == 3
    assert f"{kind}: {folder}: " in capsys.readouterr().err and left() == []


def test_figures_within_tolerance_are_told_with_the_largest(ran, capsys):
    ran.score = 0.501
    assert cli.main(["verify", "tiny:doc-match"]) == 1
    lines = last(capsys)
    assert lines[-2].endswith("equal within tolerance") and lines[-1].startswith("largest difference 0.001, relative")


def test_what_differs_is_named_by_its_first_phase_artifact_file_and_place(ran, capsys, tmp_path):
    ran.score = 0.9
    assert cli.main(["verify", "--report", str(tmp_path / "r.json")]) == 2
    lines = last(capsys)
    assert lines[-1].startswith(
        "first: phase prepare, prepare/corpora/tiny, numerics: figures.json: score: 0.5 before, 0.9 now"
    )
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["status"] == 2 and report["first"]["artifact"] == "prepare/corpora/tiny"
    (file,) = report["artifacts"][0]["files"]
    assert (file["file"], file["place"], file["absolute"]) == ("figures.json", "score", pytest.approx(0.4))
    assert {one["kind"] for one in report["artifacts"][1:]} <= {"input", "numerics"}


def test_an_artifact_that_was_tampered_with_is_named(ran, capsys):
    Path("build/tiny/probes/status/figures.json").write_text('{"score": 0.6}')
    assert cli.main(["verify"]) == 2
    assert "first: phase probes, probes/status, content: before: figures.json is not what" in last(capsys)[-1]


@pytest.mark.parametrize("old", ["window: 48", "bootstrap: 200"])
def test_a_changed_parameter_is_named(checkout, ran, capsys, old, monkeypatch):
    """The artifacts at hand were made with another: a run again has the committed one."""
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace(old, old[:-1] + "9"))
    git("commit", "--quiet", "--all", "--message", "another")
    changed = config.load_params("params.yaml")
    monkeypatch.setattr(
        verify, "_snakemake", lambda place, *_: make(changed, Paths("tiny", place / "build"))
    )  # fmt: skip
    assert cli.main(["verify"]) == 2
    key = f"{'activations' if 'window' in old else 'probes'}.{old.split(':')[0]}: {old.split(' ')[1]} before, "
    line = last(capsys)[-1]
    assert f", params: {key}" in line and "its files are equal" in line


def test_a_row_that_was_dropped_from_the_params_file_is_not_compared(ran):
    """Its artifacts lie there still."""
    shutil.copytree("build/tiny/redundancy/tiny", "build/tiny/redundancy/dropped")
    assert cli.main(["verify"]) == 0


def test_a_run_that_fails_is_no_verdict_and_keeps_its_logs(ran, capsys):
    def fail(place):
        raise tree.VerifyError("the run failed")

    ran.act = fail
    assert cli.main(["verify"]) == 3
    assert f"kept: {ran.place}" in capsys.readouterr().err and len(left()) == 1
    ran.act = None
    assert cli.main(["verify", "--keep"]) == 0 and len(left()) == 2


@pytest.mark.parametrize("words", [["--nope"], ["a", "b"], ["--report"], ["--params", "none.yaml"]])
def test_no_error_looks_like_a_verdict(ran, words):
    try:
        status = cli.main(["verify", *words])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 3


def test_a_bug_is_no_verdict_either(ran, monkeypatch, capsys):
    monkeypatch.setattr(verify, "compare_builds", lambda *_: 1 / 0)
    assert cli.main(["verify"]) == 3 and "ZeroDivisionError" in capsys.readouterr().err


def test_without_git_the_files_are_copied(ran):
    shutil.rmtree(".git")
    assert cli.main(["verify"]) == 0 and (ran.place / "x").parent.parent.name.startswith(".verify") and left() == []


def test_places_above_the_checkout_are_found_from_the_tree(ran, checkout, tmp_path):
    """`../` in a params file would lead out of another folder than the checkout."""
    (tmp_path / "models" / "up").mkdir(parents=True)
    (tmp_path / "models" / "up" / "config.json").write_text("up")
    entry = {**checkout.models, "up": checkout.models["tiny"].model_copy(update={"path": "../models/up"})}
    params = checkout.model_copy(update={"models": entry})
    place = tree.new_place(Path.cwd(), params)
    tree.fill(Path.cwd(), place, Path("params.yaml"), params, dirty=False)
    assert (place / "../models/up/config.json").read_text() == "up"
    assert place.is_relative_to(Path.cwd() / "build")
    tree.remove(Path.cwd(), place)
    assert (tmp_path / "models/up/config.json").exists() and left() == []


def test_a_folder_of_elsewhere_is_compared_without_a_run(ran, checkout, capsys, tmp_path):
    shutil.copytree("build/tiny", tmp_path / "cluster" / "tiny")
    for folder in ("cluster", "cluster/tiny"):
        assert cli.main(["verify", "--against", str(tmp_path / folder)]) == 0
    for folder in ("leaderboard", "site"):  # of a leaderboard alone, the site has the sum
        shutil.rmtree(tmp_path / "cluster" / "tiny" / folder)
    assert cli.main(["verify", "--against", str(tmp_path / "cluster")]) == 2
    assert any("leaderboard, content: not made before" in line for line in last(capsys))
    assert cli.main(["verify", "probes", "--against", str(tmp_path / "cluster")]) == 0
    assert ran.place is None
    for wrong in ("nowhere", "elsewhere"):
        assert cli.main(["verify", "--against", str(tmp_path / wrong)]) == 3


def test_published_results_are_compared_with_the_leaderboard(ran, checkout, tmp_path, capsys):
    with flow.writer(checkout, Paths("tiny"), "build_leaderboard") as out:
        out.text("leaderboard.csv", "model,task,oracle\nm,t,0.7\n")
    shutil.copytree("build/tiny/leaderboard", tmp_path / "results" / "tiny")
    assert cli.main(["verify", "--against", str(tmp_path / "results")]) == 0
    with flow.writer(checkout, Paths("tiny"), "build_leaderboard") as out:
        out.text("leaderboard.csv", "model,task,oracle\nm,t,0.9\n")
    assert cli.main(["verify", "--against", str(tmp_path / "results" / "tiny")]) == 2
    assert "leaderboard.csv: m/t, oracle: 0.7 before, 0.9 now" in last(capsys)[-1]


def test_without_artifacts_the_committed_results_are_compared(ran, capsys):
    shutil.copytree("build/tiny/leaderboard", "results/tiny")
    git("add", "--all")
    git("commit", "--quiet", "--message", "results")
    shutil.rmtree("build/tiny")
    assert cli.main(["verify"]) == 0
    assert "the committed results and dvc.lock: identical" in last(capsys)[-1]
    assert cli.main(["verify", "probes"]) == 3
    ran.score = 0.504
    assert cli.main(["verify"]) == 2  # its inputs are not at hand, so that nothing says that they are close
    assert "leaderboard, input: input prepare/" in last(capsys)[-1]
    shutil.rmtree("results")
    assert cli.main(["verify"]) == 3 and "nothing to compare with" in capsys.readouterr().err


def lock(phases, **changes):
    """dvc.lock with the hashes of the phases' folders as they are."""
    stages = {
        phase: {
            "deps": [{"path": "requirements.lock", "md5": committed.md5_of(Path("requirements.lock"))}],
            "params": {"params.yaml": {"seed": 5}},
            "outs": [{"path": f"build/tiny/{phase}", "md5": committed.folder_md5(Path("build/tiny") / phase)}],
        }
        | changes
        for phase in phases
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def test_dvc_lock_says_whether_a_phase_is_the_same_and_what_it_lacks(ran, capsys, monkeypatch):
    monkeypatch.setattr(committed, "cache_folder", lambda root: None)
    lock(chain.PHASE_OF[rule] for rule in chain.PHASE_OF)
    shutil.copytree("build/tiny/leaderboard", "results/tiny")
    git("add", "--all")
    git("commit", "--quiet", "--message", "locked")
    shutil.rmtree("build/tiny")
    assert cli.main(["verify"]) == 0
    lock_text = yaml.safe_load(Path("dvc.lock").read_text())
    lock_text["stages"]["activations"]["outs"][0]["md5"] = "other.dir"
    Path("dvc.lock").write_text(yaml.safe_dump(lock_text))
    git("commit", "--quiet", "--all", "--message", "another")
    capsys.readouterr()
    assert cli.main(["verify"]) == 2
    line = last(capsys)[-1]
    assert line.startswith("first: phase activations, activations, numerics: the hash of its folder is not that of")
    for kind, why, change in (
        ("params", "`seed:`", {"params": {"params.yaml": {"seed": 6}}}),
        ("lock", "requirements.lock is not", {"deps": [{"path": "requirements.lock", "md5": "of before"}]}),
        ("code", "numerics.py is not", {"deps": [{"path": "src/neurosieve/numerics.py", "md5": "of before"}]}),
        ("source", "models is not", {"deps": [{"path": "models", "md5": "of before"}]}),
    ):
        found = committed._cause(lock_text["stages"]["activations"] | change, Path.cwd())
        assert found[0] == kind and why in found[1]


def test_committed_results_that_are_not_those_of_dvc_lock_are_told(ran, capsys, monkeypatch):
    monkeypatch.setattr(committed, "cache_folder", lambda root: None)
    lock(chain.PHASE_OF[rule] for rule in chain.PHASE_OF)
    shutil.copytree("build/tiny/leaderboard", "results/tiny")
    Path("results/tiny/figures.json").write_text('{"score": 0.9}')
    git("add", "--all")
    git("commit", "--quiet", "--message", "doctored")
    shutil.rmtree("build/tiny")
    assert cli.main(["verify"]) == 2
    line = last(capsys)[-1]
    assert line.startswith("first: phase leaderboard") and "results/tiny is not the leaderboard of dvc.lock" in line


def test_a_report_that_cannot_be_written_does_not_take_the_verdict_along(ran, capsys):
    Path("a-file").write_text("")
    assert cli.main(["verify", "--dirty", "--report", "a-file/report.json"]) == 3
    told = capsys.readouterr()
    assert "identical" in told.out and "error" in told.err and "Traceback" not in told.err


def test_what_dvcs_cache_has_is_compared_in_full(ran, capsys, monkeypatch, tmp_path):
    lock(chain.PHASE_OF[rule] for rule in chain.PHASE_OF)
    cache = tmp_path / "cache"
    folder = Path("build/tiny/probes")
    entries = []
    for path in (p for p in folder.rglob("*") if p.is_file()):
        md5 = committed.md5_of(path)
        target = cache / "files" / "md5" / md5[:2] / md5[2:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        entries.append({"md5": md5, "relpath": path.relative_to(folder).as_posix()})
    md5 = committed.folder_md5(folder)
    (cache / "files/md5" / md5[:2]).mkdir(parents=True, exist_ok=True)
    (cache / "files/md5" / md5[:2] / md5[2:]).write_text(json.dumps(entries))
    monkeypatch.setattr(committed, "cache_folder", lambda root: cache)
    git("add", "--all")
    git("commit", "--quiet", "--message", "locked")
    shutil.rmtree("build/tiny")
    make_all = make

    def run(place, *_):
        paths, params = Paths("tiny", place / "build"), config.load_params("params.yaml")
        make_all(params, paths, only=lambda a: a.phase in ("prepare", "activations", "redundancy"))
        make_all(params, paths, 0.502, only=lambda a: a.rule == "fit_probes")
        make_all(params, paths)

    monkeypatch.setattr(verify, "_snakemake", run)
    assert cli.main(["verify"]) == 2  # later phases are not in the cache
    out = capsys.readouterr().out
    assert "probes/models/tiny/doc-match: equal within tolerance, numerics: figures.json: score: 0.5 before" in out
    assert "probes/status: equal within tolerance, input" in out


def test_pull_outside_of_a_checkout_and_under_a_lock_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pull"]) == 1 and "in the root of a checkout" in capsys.readouterr().err
    assert issubclass(pull.PullError, RuntimeError)


def test_pull_names_files_that_it_would_replace_and_no_option_that_it_lacks(tmp_path, monkeypatch):
    said = "ERROR: failed to pull data from the cloud - Can't remove the following unsaved files without confirmation."
    said += f" Use `--force` to force.\n{tmp_path}/build/tiny/probes/status/status.json\n"
    done = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(pull.subprocess, "run", lambda *words, **options: done)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pull.PullError, match=r": build/tiny/probes/status/status\.json; keep them") as caught:
        pull._dvc(["pull"], "the pull failed")
    assert "--force" not in str(caught.value)


def test_dumps_that_were_deleted_to_make_room_are_judged_by_what_was_made_from_them(ran, capsys):
    shutil.rmtree("build/tiny/activations")
    assert cli.main(["verify"]) == 0
    ran.score = 0.501
    assert cli.main(["verify"]) == 2
    assert "activations/tiny/doc-match/train: different, content: gone before" in capsys.readouterr().out


def test_a_run_on_other_hardware_is_compared_with_what_is_committed(ran, checkout, capsys, monkeypatch, tmp_path):
    """By the leaderboard; of what dvc.lock has the sums alone it is said that it was not compared."""
    monkeypatch.setattr(committed, "cache_folder", lambda root: None)
    lock(chain.PHASE_OF[rule] for rule in chain.PHASE_OF)
    shutil.copytree("build/tiny/leaderboard", "results/tiny")
    git("add", "--all")
    git("commit", "--quiet", "--message", "locked")
    shutil.rmtree("build/tiny")
    monkeypatch.setattr("neurosieve.numerics.shortfall", lambda: "aarch64")
    # what is prepared has no bits that may differ
    ran.act = lambda place: make(checkout, Paths("tiny", place / "build"), only=lambda a: a.phase == "prepare")
    ran.score = 0.501
    assert cli.main(["verify", "--report", str(tmp_path / "r.json")]) == 1
    lines = last(capsys)
    assert lines[0].split()[-2:] == ["not", "compared"] and lines[2].split() == ["activations", "0", "0", "0", "1"]
    assert "activations: not compared, numerics: other hardware (native: aarch64), other bytes; " in "\n".join(lines)
    assert lines[-2].endswith("12 artifacts compared with the committed results and dvc.lock: equal within tolerance")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["status"] == 1 and report["phases"]["probes"] == {"not compared": 1}
    ran.score = 0.6
    assert cli.main(["verify"]) == 2
    assert (
        "numerics: other hardware (portable before, native: aarch64 now); figures.json: score: 0.5" in last(capsys)[-1]
    )
    # changed code is no hardware
    text = yaml.safe_load(Path("dvc.lock").read_text())
    text["stages"]["probes"]["deps"] = [{"path": "requirements.lock", "md5": "of before"}]
    Path("dvc.lock").write_text(yaml.safe_dump(text))
    git("commit", "--quiet", "--all", "--message", "another")
    assert cli.main(["verify"]) == 2
    assert last(capsys)[-1].startswith("first: phase probes, probes, lock: requirements.lock is not what dvc.lock says")
