"""What reads what: the jobs of a params file, without running any (the two engines: test_dags_cannot_drift.py)."""

import ast
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from dags import allowed, inside, with_every_question

from neurosieve import artifacts, chain, config

STAGES = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
PARAMS = config.load_params("params.yaml")


def plain(text: str) -> str:
    return text.replace("${benchmark}", PARAMS.benchmark)


def list_jobs(params: Path | str) -> dict[str, tuple[str, list[str]]]:
    """output file -> (rule, input files) of every job of a params file."""
    done = subprocess.run([sys.executable, "tests/list_jobs.py", str(params)], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: (job["rule"], job["input"]) for job in json.loads(done.stdout) for path in job["output"]}


@pytest.fixture(scope="module")
def jobs() -> dict[str, tuple[str, list[str]]]:
    """The jobs of the default benchmark."""
    return list_jobs("params.yaml")


@pytest.fixture(scope="module")
def jobs_of_both(tmp_path_factory) -> dict[str, tuple[str, list[str]]]:
    """The same with the protocol `published` beside `strict`."""
    text = Path("params.yaml").read_text()
    assert PARAMS.run.protocols == ["strict"] and text.count("protocols: [strict]") == 1
    both = tmp_path_factory.mktemp("both") / "params.yaml"
    both.write_text(text.replace("protocols: [strict]", "protocols: [strict, published]"))
    return list_jobs(both)


def test_only_score_test_reads_test_activations(jobs):
    tests = {path for path in jobs if "/activations/" in path and path.endswith("/test/manifest.json")}
    assert len(tests) == len(PARAMS.run.models) * len(PARAMS.run.tasks)
    readers = {rule for rule, inputs in jobs.values() if tests & set(inputs)}
    assert readers == {"score_test"}


def test_the_published_protocol_reads_test_and_feeds_no_strict_rule(jobs, jobs_of_both):
    """It adds its own jobs and a reader; every strict job is as it was."""
    rule = "reproduce_published"
    assert rule not in {name for name, _ in jobs.values()}
    found = {path for path, (name, _) in jobs_of_both.items() if name == rule}
    assert len(found) == len(PARAMS.run.models) * len(PARAMS.run.tasks)
    assert {name for name, inputs in jobs_of_both.values() if found & set(inputs)} == {"build_leaderboard"}
    assert {path for path in jobs_of_both} - found == set(jobs)
    for path, (name, inputs) in jobs.items():
        assert name == jobs_of_both[path][0] and set(inputs) == set(jobs_of_both[path][1]) - found
    tests = {path for path in jobs if "/activations/" in path and path.endswith("/test/manifest.json")}
    assert {name for name, inputs in jobs_of_both.values() if tests & set(inputs)} == {"score_test", rule}
    (outs,) = STAGES["subsets"]["outs"]
    assert all(inside(path, [plain(outs)]) for path in found) and rule in allowed(STAGES["subsets"])


def test_robustness_is_asked_of_trained_models_where_the_params_say_so(jobs, tmp_path):
    """It reads the search and what that read; the leaderboard alone reads it; without it all else is as it was."""
    rule = "check_robustness"
    found = {path: inputs for path, (name, inputs) in jobs.items() if name == rule}
    trained = [m for m in PARAMS.run.models if PARAMS.models[m].untrained is None]
    build = f"build/{PARAMS.benchmark}/subsets"
    names = [f"{m}/{t}/manifest.json" for m in trained for t in PARAMS.run.tasks]
    assert sorted(found) == sorted(f"{build}/robustness/{name}" for name in names)
    for name in names:
        search = f"{build}/search/{name}"
        assert set(found[f"{build}/robustness/{name}"]) == {search, *jobs[search][1]}
    assert {name for name, inputs in jobs.values() if set(found) & set(inputs)} == {"build_leaderboard"}
    text = Path("params.yaml").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("  robustness:")]
    without = tmp_path / "params.yaml"
    without.write_text(text.replace(line, "  robustness: null"))
    left = list_jobs(without)
    assert set(left) == set(jobs) - set(found)
    assert all(set(inputs) == set(jobs[path][1]) - set(found) for path, (_, inputs) in left.items())


@pytest.fixture(scope="module")
def asked_everything(tmp_path_factory) -> tuple[config.Params, dict[str, tuple[str, list[str]]]]:
    """params.yaml with every question of the block `concepts`, and its jobs."""
    path = tmp_path_factory.mktemp("everything") / "params.yaml"
    path.write_text(with_every_question())
    return config.load_params(path), list_jobs(path)


def test_what_is_asked_of_neurons_is_asked_of_trained_models_and_read_by_the_leaderboard(jobs, asked_everything):
    """Faithfulness alone reads an answer of the others; no rule of the phase reads test; all else is as it was."""
    params, found = asked_everything
    jobs = {path: job for path, job in jobs.items() if job[0] != "measure_faithfulness"}
    added = set(found) - set(jobs)
    by_rule = defaultdict(set)
    for path in added:
        by_rule[found[path][0]].add(path)
    trained, tasks = params.trained_models, params.run.tasks
    sizes = {rule: len(paths) for rule, paths in by_rule.items()}
    rows = len(trained) * len(tasks)
    assert sizes.pop("ablate_neurons") == len(params.run.models) * len(tasks)  # of a twin it says why not
    assert sizes == {
        "attribute_neurons": rows, "measure_faithfulness": rows, "measure_effects": len(trained),
        "apply_lens": rows * len(params.lenses), "find_language_neurons": len(trained),
    }  # fmt: skip
    assert not [path for path in added - by_rule["ablate_neurons"] if "-untrained/" in path]
    readers = {found[path][0] for path in found if added & set(found[path][1])}
    assert readers == {"build_leaderboard", "measure_faithfulness"}
    assert {r for r, i in found.values() if by_rule["attribute_neurons"] & set(i)} == readers
    tests = {path for path in found if path.endswith("/test/manifest.json")}
    assert not any(tests & set(found[path][1]) for path in added)
    for path, (rule, inputs) in jobs.items():
        assert found[path][0] == rule and set(found[path][1]) - added == set(inputs) - added


def test_the_chain_of_manifests_is_the_flow_of_the_rules(jobs, jobs_of_both, asked_everything, tmp_path):
    """flow.py and chain.py know the same artifacts, rules and inputs as the rule files, which name their own."""
    both = tmp_path / "params.yaml"
    both.write_text(Path("params.yaml").read_text().replace("protocols: [strict]", "protocols: [strict, published]"))
    for params, found in ((PARAMS, jobs), (config.load_params(both), jobs_of_both), asked_everything):
        known = chain.artifacts(params, artifacts.Paths(params.benchmark))
        assert {str(a.manifest): a.rule for a in known} == {
            path: rule for path, (rule, _) in found.items() if path.endswith("/manifest.json")
        }
        made, read = defaultdict(set), defaultdict(set)
        for a in known:
            job = a.rule, *(a.wildcards.get(name) for name in ("corpus", "model", "task", "lens"))
            made[job].add(str(a.manifest))
            read[job] |= {f"{folder}/manifest.json" for folder in a.inputs}
        for job, outputs in made.items():
            planned = {path for output in outputs for path in found[output][1] if path.endswith("/manifest.json")}
            if job[0] == "dump_activations":  # its rule asks that the whole task is there
                planned -= {f"build/{params.benchmark}/prepare/tasks/{job[3]}/card/manifest.json"}
            assert planned == read[job] - outputs, job


def test_nothing_is_chosen_after_test_was_scored(jobs):
    """What reads a test score is the leaderboard alone."""
    scores = {path for path, (rule, _) in jobs.items() if rule == "score_test"}
    assert {rule for rule, inputs in jobs.values() if scores & set(inputs)} == {"build_leaderboard"}


def test_prepared_test_rows_are_read_by_the_dump_score_test_and_the_leaderboard_alone(jobs):
    """The leaderboard compares models on the rows of test, after all is scored."""
    tests = {path for path in jobs if "/prepare/tasks/" in path and path.endswith("/test/manifest.json")}
    readers = {rule for rule, inputs in jobs.values() if tests & set(inputs)}
    assert readers == {"dump_activations", "score_test", "build_leaderboard"}


@pytest.mark.parametrize("file", ["params.yaml", "tests/data/tiny.yaml"])
def test_the_params_of_every_stage_are_written_out(file):
    """DVC reads the file and knows no defaults: a key that is left out stops `dvc repro`."""
    written = yaml.safe_load(Path(file).read_text())
    for key in {key for keys in config.PHASE_KEYS.values() for key in keys}:
        here = written
        for part in key.split("."):
            assert part in here, f"{file}: {key}"
            here = here[part]


def test_nothing_in_git_is_a_target(jobs):
    tracked = subprocess.run(["git", "ls-files"], text=True, capture_output=True).stdout.splitlines()
    if not tracked:
        pytest.skip("no git repository here, as in a source archive")
    assert not set(tracked) & set(jobs)
    assert not [path for path in jobs if path.startswith(("models/", "results/"))]


def test_the_code_of_a_phase_is_all_it_imports():
    """Follows the imports of neurosieve modules from each phase: what it runs must be among its `code=` inputs."""

    def imported(path: Path) -> set[Path]:
        found: set[Path] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "neurosieve":
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names if a.name.split(".")[0] == "neurosieve"]
            for name in names:
                base = artifacts.PACKAGE.joinpath(*name.split(".")[1:])
                found |= {p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()}
        return found - {artifacts.PACKAGE / "__init__.py"}

    cli = artifacts.PACKAGE / "cli.py"  # imports every phase, one at a time
    for phase in config.PHASES:
        code = {path for path in artifacts.code_files(phase)}
        reached = set(code)
        todo = [p for p in code if p.suffix == ".py" and p != cli]
        while todo:
            for path in imported(todo.pop()) - reached:
                reached.add(path)
                todo.append(path)
        extra = sorted(p.relative_to(artifacts.PACKAGE).as_posix() for p in reached - code)
        assert not extra, f"phase {phase} imports {extra}; add them to artifacts.CODE and to the stage's deps"


def test_deps_name_the_code_of_the_phase():
    for phase, entries in artifacts.CODE.items():
        deps = {dep.removeprefix("src/neurosieve/") for dep in STAGES[phase]["deps"] if dep.startswith("src/")}
        assert deps == set(entries)


def test_two_params_files_are_never_merged(tmp_path):
    """With another file, a key of params.yaml that the other lacks must be missing, not filled in."""
    text = Path("params.yaml").read_text().replace("seed: 7361\n", "")
    other = tmp_path / "other.yaml"
    other.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", str(other), "--dry-run", "--nolock"],
        text=True,
        capture_output=True,
    )
    assert done.returncode != 0
    assert "seed: missing; add `seed:`" in done.stdout + done.stderr


def test_further_twins_get_activations_and_probes_alone(jobs, tmp_path):
    """Their model's status, search and test scores read them; nothing else does, and no other job is changed."""
    text = Path("params.yaml").read_text()
    assert text.count("\nmodels:\n") == 1 and text.count("\n  tasks: [") == 1
    entries = "  second: {untrained: neurosieve-base, seed: 2}\n"
    path = tmp_path / "params.yaml"
    path.write_text(
        text.replace("\nmodels:\n", f"\nmodels:\n{entries}").replace("\n  tasks: [", "\n  twins: [second]\n  tasks: [")
    )
    planned = list_jobs(path)
    build = f"build/{PARAMS.benchmark}"
    tasks = PARAMS.run.tasks
    splits = {f"{build}/activations/second/{t}/{s}/manifest.json" for t in tasks for s in config.SPLITS}
    probes = {f"{build}/probes/models/second/{t}/manifest.json" for t in tasks}
    assert set(planned) - set(jobs) == splits | probes and set(jobs) <= set(planned)
    readers = set()
    for made, (rule, inputs) in planned.items():
        if made in jobs:
            assert set(inputs) - splits - probes == set(jobs[made][1])
            readers |= {(rule, "test" if "/test/" in p else "dev", Path(made).parts[-3]) for p in set(inputs) & splits}
            readers |= {(rule, "probes", Path(made).parts[-3]) for p in set(inputs) & probes}
    model = "neurosieve-base"
    assert readers == {
        ("decide_status", "probes", "probes"), ("search_subsets", "probes", model), ("score_test", "probes", model),
        ("score_test", "test", model), ("check_robustness", "probes", model),
    }  # fmt: skip


def test_a_model_is_trained_before_its_activations_are_taken(jobs, tmp_path):
    """Only the model and the task that are named; the dump, and what runs the model again, take the trained one."""
    text = Path("params.yaml").read_text()
    assert text.count("\n  neurosieve-base:\n") == 1
    block = "finetune: {tasks: [first-mention], epochs: 1, learning_rate: 1e-4, batch: 8}"
    tuned = tmp_path / "params.yaml"
    tuned.write_text(text.replace("\n  neurosieve-base:\n", f"\n  neurosieve-base:\n    {block}\n"))
    planned = list_jobs(tuned)
    (made,) = [path for path, (rule, _) in planned.items() if rule == "finetune_model"]
    assert made == f"build/{PARAMS.benchmark}/activations/neurosieve-base/first-mention/finetuned/manifest.json"
    splits = {path for path in planned[made][1] if "/prepare/tasks/" in path}
    assert {Path(path).parent.name for path in splits} == {"train", "card"}
    readers = {(rule, path.split("/")[-4], path.split("/")[-3]) for path, (rule, inputs) in planned.items()
               if made in inputs and rule == "dump_activations"}  # fmt: skip
    assert readers == {("dump_activations", "neurosieve-base", "first-mention")}
    assert {rule for rule, inputs in planned.values() if made in inputs} == {"dump_activations", "measure_faithfulness"}
    assert set(planned) - {made} == set(jobs)
    assert inside(made, [plain(STAGES["activations"]["outs"][0])]) and "finetune_model" in allowed(
        STAGES["activations"]
    )
