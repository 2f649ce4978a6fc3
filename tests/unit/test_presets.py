"""The presets: they load, plan without network and data, invent nothing; the SLURM profile; `checksum`, `plan`."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from neurosieve import cli, config, estimates
from neurosieve.prepare.corpus import folder_sha256

PUBLISHED = Path("presets/published.yaml")
MODELS = {
    "bert": "bert-base-uncased",
    "roberta": "roberta-base",
    "codebert": "microsoft/codebert-base",
    "graphcodebert": "microsoft/graphcodebert-base",
    "unixcoder": "microsoft/unixcoder-base",
    "codegpt-java": "microsoft/CodeGPT-small-java",
    "codegpt-py": "microsoft/CodeGPT-small-py",
}
ALSO = {
    "huggingface/CodeBERTa-small-v1",
    "CAUKiel/JavaBERT",
    "gpt2",
    "microsoft/CodeGPT-small-java-adaptedGPT2",
    "microsoft/CodeGPT-small-py-adaptedGPT2",
}
MANIFEST = Path("../shared/data/MANIFEST.json")
SENTENCES = ["defect", "clones", "code-search"]


@pytest.fixture(scope="module")
def published() -> config.Params:
    return config.load_params(PUBLISHED)


@pytest.mark.parametrize("path", sorted(Path("presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_loads_has_a_name_of_its_own_and_can_be_estimated(path):
    params = config.load_params(path)
    assert params.benchmark == path.stem
    assert all(estimates.need(params, job).seconds > 0 for job in estimates.jobs(params))


def test_the_preset_of_twins_keeps_step_with_the_default():
    """Its figures speak of the default benchmark: only what makes it quick is left out, and further twins are added."""
    default, twins = config.load_params("params.yaml"), config.load_params("presets/twins.yaml")
    whole = {"seed", "numerics", "activations", "redundancy", "probes", "published", "concepts", "subsets"}
    less = {"probes": {"rankings"}, "concepts": {"ablation", "faithfulness"}}
    less["subsets"] = {"rankings", "pipeline", "transfer", "robustness", "margins"}
    assert twins.model_dump(include=whole, exclude=less) == default.model_dump(include=whole, exclude=less)
    assert twins.prepare.corpora == default.prepare.corpora and set(twins.run.tasks) < set(default.run.tasks)
    for task in twins.run.tasks:
        assert twins.prepare.tasks[task] == default.prepare.tasks[task]
        assert twins.margin(task) == default.margin(task)
    model, twin = twins.run.models
    assert [twins.models[name] for name in (model, twin)] == [default.models[name] for name in (model, twin)]
    assert twins.twins_of(model) == [twin, *twins.run.twins]
    kinds = [(entry.seed, entry.embeddings) for entry in map(twins.models.get, twins.twins_of(model))]
    assert kinds == [*((seed, "fresh") for seed in range(1, 6)), (1, "kept")]


def test_the_preset_of_concepts_keeps_step_with_the_default_but_for_sizes():
    default, more = config.load_params("params.yaml"), config.load_params("presets/concepts.yaml")
    whole = {"seed", "numerics", "activations", "redundancy", "probes", "subsets", "concepts"}
    asked = {"attribution", "faithfulness", "effects", "lenses", "languages", "ablation", "heat_maps"}
    sizes = {"rows", "max_characters"}
    less = {"probes": {"gap", "rankings"}, "subsets": {"margins", "robustness"}, "concepts": asked}
    assert more.probes.gap <= default.probes.gap and set(more.probes.rankings) > set(default.probes.rankings)
    assert more.subsets.robustness.resamples > default.subsets.robustness.resamples
    assert more.model_dump(include=whole, exclude=less) == default.model_dump(include=whole, exclude=less)
    assert more.prepare.corpora == default.prepare.corpora and set(more.run.tasks) < set(default.run.tasks)
    for task in more.run.tasks:
        here, there = (params.prepare.tasks[task].model_dump(exclude=sizes) for params in (more, default))
        assert here == there and more.margin(task) == default.margin(task)
        assert more.prepare.tasks[task].rows.train >= default.prepare.tasks[task].rows.train
    assert all(more.models[name] == default.models[name] for name in more.run.models)
    assert more.lenses and all(getattr(more.concepts, name) is not None for name in asked - {"languages"})


def test_the_published_models_run_with_their_twins_and_the_others_are_off(published):
    assert published.run.models == [name for model in MODELS for name in (model, f"{model}-untrained")]
    assert {name: published.models[name].hub for name in MODELS} == MODELS
    for name in MODELS:
        entry = published.models[name]
        assert (entry.layers, entry.width) == (13, 768) and published.twins_of(name) == [f"{name}-untrained"]
        assert entry.finetune is not None and entry.finetune.tasks == SENTENCES
        assert not any(published.finetunes(f"{name}-untrained", task) for task in published.run.tasks)
    assert {entry.hub for name, entry in published.models.items() if name not in published.run.models} == ALSO


def test_tasks_protocols_and_sizes_are_those_of_the_publication(published):
    assert published.run.tasks == ["java-tags", "python-tags", *SENTENCES]
    assert published.run.protocols == ["strict", "published"] and published.numerics == "fast"
    tasks = published.prepare.tasks
    assert {name: task.rows.train for name, task in tasks.items() if name != "code-search"} == {
        "java-tags": 12000,
        "python-tags": 20000,
        "defect": 19668,
        "clones": 81029,
    }
    assert (tasks["defect"].rows.test, tasks["clones"].rows.test) == (2732, 10766)
    assert tasks["java-tags"].classes == ["MODIFIER", "IDENT", "KEYWORD", "TYPE", "NUMBER", "STRING"]
    assert tasks["python-tags"].classes == ["NAME", "STRING", "NUMBER", "KEYWORD"]
    for name in ("java-tags", "python-tags", "clones"):  # METHOD: ten thousand judge rows
        assert tasks[name].rows.judge == 10000 and tasks[name].balanced
    parts = {}
    for name, task in tasks.items():
        dev = task.rows.tune + task.rows.judge
        parts[name] = task.rows.tune / dev
        assert parts[name] == pytest.approx(task.tune_share, abs=0.04)


def test_no_revision_and_no_sum_is_invented(published):
    """Sums are those of the manifest of the data at hand; revisions either pinned in public, or left open and told."""
    unpinned = estimates.unpinned(published)
    for name, hub in MODELS.items():
        entry = published.models[name]
        line = f"models.{name}: no `revision:`; `neurosieve fetch --model {hub}` prints the commit"
        assert (line in unpinned) == (entry.revision is None)
    assert {name for name in MODELS if published.models[name].revision is None} == {"codegpt-java", "codegpt-py"}
    for name, task in published.prepare.tasks.items():
        for role, file in (task.files or {}).items():
            assert file.source, f"{name}, {role}: a user must learn where to get it"
            assert (file.sha256 is None) == any(f"{name}: files.{role} has no sha256" in line for line in unpinned)
    if not MANIFEST.is_file():
        pytest.skip("the manifest of the public data is not here")
    known = {
        (e["raw_sha256"], e["source_path"].rsplit("/", 1)[-1]): e["source"] for e in json.loads(MANIFEST.read_text())
    }
    files = [f for task in published.prepare.tasks.values() for f in (task.files or {}).values() if f.sha256]
    assert len(files) == 12
    for file in files:
        assert file.source.startswith(known[file.sha256, file.name] + ", ")


def test_it_plans_without_network_and_data_and_every_job_has_its_needs(tmp_path, published):
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", PUBLISHED, "-n", "--quiet", "reason", "--nolock"],
        text=True,
        capture_output=True,
        env={**os.environ, **nowhere, config.DATA_VARIABLE: str(tmp_path)},
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-2000:]
    jobs = re.findall(r"^ *Job \d+: (.*)$", text, re.MULTILINE)
    assert len(jobs) == len(list(estimates.jobs(published)))
    assert all(re.search(r"\(disk \d+ MB, about \d+ min\)$", job) for job in jobs)
    dump = estimates.need(published, estimates.Job("dump_activations", "codebert", "java-tags"), estimates.device())
    wanted = f"dumping activations of codebert on java-tags (disk {dump.disk_mb} MB, about {dump.minutes} min)"
    assert dump.disk_mb == 1239 and wanted in jobs  # 31,000 tokens x 13 x 768 x 4 bytes


def test_every_rule_that_computes_states_its_needs():
    for path in Path("workflow/rules").glob("*.smk"):
        rules = re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]
        for rule in rules:
            name = rule.partition(":")[0]
            if "shell:" in rule:
                for what in ("mem_mb", "disk_mb", "runtime", "minutes"):
                    assert f'{what}=need("{name}", "{what}")' in rule, f"{path}: {name} has no {what}"


def test_the_plugin_for_clusters_is_in_no_lock():
    assert "snakemake-executor-plugin-slurm" not in Path("requirements.lock").read_text()
    assert "snakemake-executor-plugin-slurm" in Path("docs/run-on-a-cluster.md").read_text()


def test_a_hub_model_parses_without_a_revision_and_a_revision_not_without_a_hub_model():
    assert config.Model.model_validate({"hub": "some/model"}).revision is None
    with pytest.raises(ValueError, match="give `hub:` with it"):
        config.Model.model_validate({"path": "somewhere", "revision": "0" * 40})


def test_the_number_of_inputs_is_an_estimate_and_makes_nothing_anew(published):
    tasks = published.prepare.tasks
    other = tasks["clones"].model_copy(update={"inputs": 5})
    prepare = published.prepare.model_copy(update={"tasks": {**tasks, "clones": other}})
    changed = published.model_copy(update={"prepare": prepare})
    assert changed.settings("prepare_task", task="clones") == published.settings("prepare_task", task="clones")


# checksum and plan on the command line


def test_checksum_prints_lines_for_params(tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a b.jsonl.gz").write_bytes(b"one")
    (tmp_path / "sub" / "train.txt").write_bytes(b"two")
    assert cli.main(["checksum", str(tmp_path)]) == 0
    files = {role: config.DataFile(**entry) for role, entry in yaml.safe_load(capsys.readouterr().out).items()}
    assert {role: (f.name, f.sha256) for role, f in files.items()} == {
        "a b": ("a b.jsonl.gz", hashlib.sha256(b"one").hexdigest()),
        "train": ("sub/train.txt", hashlib.sha256(b"two").hexdigest()),
    }
    assert cli.main(["checksum", str(tmp_path / "sub" / "train.txt")]) == 0
    (entry,) = yaml.safe_load(capsys.readouterr().out).values()
    assert entry["name"] == "train.txt"


@pytest.mark.parametrize("name", ["yes", "1.jsonl", "on.txt", "a: b", "- x", "ü.txt"])
def test_checksum_quotes_what_yaml_would_misread(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"x")
    assert cli.main(["checksum", str(tmp_path / name)]) == 0
    (entry,) = yaml.safe_load(capsys.readouterr().out).values()
    assert entry == {"name": name, "sha256": hashlib.sha256(b"x").hexdigest()}


def test_checksum_of_a_corpus_is_the_one_that_prepare_checks(tmp_path, capsys):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "A.java").write_text("class A {}")
    (tmp_path / "package" / "notes.md").write_text("no source")
    assert cli.main(["checksum", str(tmp_path), "--language", "java"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found == {"sha256": folder_sha256(tmp_path, "java")}
    # independently: path below the folder, blank, sum, line feed
    line = f"package/A.java {hashlib.sha256(b'class A {}').hexdigest()}\n"
    assert found["sha256"] == hashlib.sha256(line.encode()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["nothing.txt"], "no such file"), ([".", "--language", "c"], "no .c or .h file in a sub-folder")],
)
def test_checksum_says_what_to_name_instead(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["checksum", *arguments]) == 1
    assert says in capsys.readouterr().err


def test_plan_and_check_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(config.DATA_VARIABLE, str(tmp_path))
    assert cli.main(["plan", "--params", str(PUBLISHED)]) == 0
    text = capsys.readouterr().out
    assert "reproduce_published" in text and "cosqa-train.json; get it from github:Jun-jie-Huang/CoCLR" in text
    missing = int(re.search(r"^missing, (\d+):$", text, re.MULTILINE)[1])
    assert missing == text.count("\n  ")
    assert cli.main(["check", "--params", str(PUBLISHED)]) == 1
    assert f"faults: {missing}\n" in capsys.readouterr().out
    assert cli.main(["check"]) == 0
    assert "nothing is missing, and nothing wrong was found\n" in capsys.readouterr().out
