"""Estimates of a plan: exact disk by hand and of a real dump, time beside measured times, jobs beside Snakemake's."""

import json
import math
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from dags import with_every_question
from safetensors.numpy import load_file

from neurosieve import config, estimates
from neurosieve.artifacts import Paths
from neurosieve.estimates import Job, need
from neurosieve.prepare.tasks import load_kind
from neurosieve.probes import solver
from neurosieve.subsets import robustness
from neurosieve.subsets.contenders import elimination

PARAMS = config.load_params("params.yaml")
BASE = "neurosieve-base"
BUILD = Path("build/default/activations")
# Seconds of one core of an AMD EPYC under the pins (user and system time of the job), default benchmark, version 2.
MEASURED = {
    ("dump_activations", "token-roles"): 32.1,
    ("dump_activations", "name-scope"): 54.0,
    ("dump_activations", "token-classes"): 22.5,
    ("dump_activations", "doc-match"): 36.4,
    ("measure_redundancy", "doc-match"): 1.2,  # version 6: both halves and all rows by one product
    ("measure_redundancy", "token-classes"): 1.2,
    ("fit_probes", "doc-match"): 6.9,
    ("fit_probes", "token-classes"): 15.2,
    ("fit_controls", "doc-match"): 2.0,
    ("fit_controls", "token-classes"): 6.1,
    ("search_subsets", "token-roles"): 36.0,  # version 4: three rankings, elimination and the bound
    ("check_robustness", "token-roles"): 49.1,  # version 5: a subset of 186 neurons
    ("check_robustness", "name-scope"): 28.4,  # of 242
    ("describe_neurons", "doc-match"): 2.2,
    ("describe_neurons", "token-classes"): 2.7,
    ("ablate_neurons", "token-classes"): 10.4,
    ("fit_baselines", "doc-match"): 7.4,
    ("fit_baselines", "token-classes"): 13.3,
}
# The same of the turns of the search `relaxation` and of the bound: units of each of seven layers, and l1.
MEASURED_TURNS = {
    ("relaxation", "token-roles", 256, 0.0): 23.9,
    ("relaxation", "token-roles", 256, 0.001): 28.0,
    ("relaxation", "name-scope", 256, 0.0): 13.1,
    ("relaxation", "name-scope", 256, 0.001): 24.6,
    ("relaxation", "name-scope", 512, 0.0): 64.5,
    ("bound", "token-roles", 256, 0.0): 7.7,
    ("bound", "token-roles", 256, 0.001): 10.6,
    ("bound", "name-scope", 256, 0.0): 3.9,
    ("bound", "name-scope", 256, 0.001): 8.7,
    ("bound", "name-scope", 768, 0.0): 19.8,
}


def running(params: config.Params, task: str) -> config.Params:
    """The same with one task alone in its run."""
    return params.model_copy(update={"run": params.run.model_copy(update={"tasks": [task]})})


def with_task(name: str, **changes) -> config.Params:
    """The default benchmark with another entry of a task."""
    tasks = {**PARAMS.prepare.tasks, name: PARAMS.prepare.tasks[name].model_copy(update=changes)}
    return PARAMS.model_copy(update={"prepare": PARAMS.prepare.model_copy(update={"tasks": tasks})})


def with_model(**entry) -> config.Params:
    """The default benchmark with the model `m` alone."""
    models = {**PARAMS.models, "m": config.Model.model_validate(entry)}
    return PARAMS.model_copy(update={"models": models, "run": PARAMS.run.model_copy(update={"models": ["m"]})})


def disk(params: config.Params, task: str) -> int:
    return need(params, Job("dump_activations", BASE, task)).disk_mb


def test_disk_of_activations_is_vectors_times_layers_times_width_times_four_bytes():
    rows = PARAMS.prepare.tasks["token-classes"].rows
    assert (rows.train, rows.tune, rows.judge, rows.test) == (8000, 3000, 10000, 8000)
    assert disk(PARAMS, "token-classes") == 208  # 29,000 tokens x 7 layers x 256 units x 4 bytes: 207.9 MB
    assert disk(PARAMS, "doc-match") == 64  # 4,400 pairs of two inputs: 63.1 MB
    # 3,000 inputs that pairs share: 3,000 + 800 + 2,400 + 2,400 vectors, 61.6 MB
    assert disk(with_task("doc-match", inputs=3000), "doc-match") == 62
    assert disk(with_task("token-classes", inputs=10), "token-classes") == 208  # a token has its own vector


def test_disk_of_a_real_dump_is_what_its_manifest_says():
    """Exact, once the rows are those that were made."""
    if not BUILD.is_dir():
        pytest.skip("no build of the default benchmark here")
    found = 0
    for folder in sorted(BUILD.glob(f"{BASE}/*")):
        splits = [folder / split for split in config.SPLITS]
        if folder.name not in PARAMS.prepare.tasks or not all((s / "manifest.json").is_file() for s in splits):
            continue
        facts = [json.loads((s / "manifest.json").read_text())["facts"] for s in splits]
        made = config.SplitRows(**{s: f["vectors"] for s, f in zip(config.SPLITS, facts, strict=True)})
        kind = "token-classes"  # a vector per row
        params = with_task(folder.name, rows=made, kind=kind)
        written = sum(p.stat().st_size - 128 for s in splits for p in s.glob("layer_*.npy"))  # 128: header of .npy
        assert disk(params, folder.name) == math.ceil(written / 1e6)
        found += 1
    if not found:
        pytest.skip("the build of the default benchmark has no activations")


def test_time_is_within_a_factor_of_five_of_what_was_measured(record_property):
    ratios = {key: need(PARAMS, Job(key[0], BASE, key[1])).seconds / seconds for key, seconds in MEASURED.items()}
    for key, ratio in ratios.items():
        record_property("/".join(key), f"{ratio:.2f}")
        assert 1 / 5 < ratio < 5, f"{key}: estimate {ratio:.2f} times what was measured"
    middle = statistics.geometric_mean(ratios.values())
    print(f"estimate / measured: mean {middle:.2f}, from {min(ratios.values()):.2f} to {max(ratios.values()):.2f}")
    assert 0.6 < middle < 1.7


def with_subsets(**changes) -> config.Params:
    return PARAMS.model_copy(update={"subsets": PARAMS.subsets.model_copy(update=changes)})


def test_searches_and_the_bound_are_planned_at_what_they_cost_beside_a_ranking():
    job = Job("search_subsets", BASE, "token-roles")
    ranking = need(PARAMS, job).seconds - need(with_subsets(rankings=["lca", "greedy"]), job).seconds
    none = need(with_subsets(searches=[], headline="lca"), job)
    costs = {}
    for name in (*estimates.SEARCHES, "of-tomorrow"):
        found = need(with_subsets(searches=[name], headline="lca"), job)
        costs[name] = (found.seconds - none.seconds) / ranking
        assert found.mem_mb > none.mem_mb and found.disk_mb > none.disk_mb
    assert set(estimates.SEARCHES) <= set(config.search_names())
    assert 1.2 < costs["elimination"] < 1.9 < 2.5 < costs["exchange"] < 3.5  # fewer rows: more of it are inverses
    assert 5 < costs["relaxation"] < 16 and costs["of-tomorrow"] >= max(costs.values())
    bound = need(PARAMS, job).seconds - need(with_subsets(headline="lca"), job).seconds
    assert 1 < bound / ranking < 4
    twin = Job("search_subsets", f"{BASE}-untrained", "token-roles")  # the headline alone
    assert need(with_subsets(searches=["elimination", "relaxation"]), twin) == need(PARAMS, twin)


def test_two_threads_are_planned_where_products_are_made_in_halves():
    """Of RoBERTa-base's 9,984 neurons from 3,361 rows on; the bundled models have too few."""
    assert estimates.HALVED == solver.HALVED
    jobs = {rule: Job(rule, BASE, "token-roles") for rule in ("fit_probes", "fit_controls", "search_subsets")}
    assert [estimates.threads(PARAMS, job) for job in jobs.values()] == [1, 1, 1]
    tree = PARAMS.model_dump(mode="json")
    tree["models"][BASE] |= {"layers": 13, "width": 768}
    for rows, wanted in ((3360, 1), (3361, 2)):
        tree["prepare"]["tasks"]["token-roles"]["rows"]["train"] = rows
        large = config.Params.model_validate(tree)
        assert [estimates.threads(large, job) for job in jobs.values()] == [wanted] * 3
        assert solver.halved(rows, 9984) == (wanted == 2)
    assert estimates.threads(large, Job("score_test", BASE, "token-roles")) == 1


def test_robustness_is_planned_for_trained_models_at_what_is_asked():
    job = Job("check_robustness", BASE, "token-roles")
    assert [j for j in estimates.jobs(PARAMS) if j.rule == job.rule] == [
        Job(job.rule, model, task) for model in PARAMS.run.models if not model.endswith("-untrained")
        for task in PARAMS.run.tasks
    ]  # fmt: skip
    asked = PARAMS.subsets.robustness
    more = with_subsets(robustness=asked.model_copy(update={"resamples": 2 * asked.resamples}))
    fewer = with_subsets(robustness=asked.model_copy(update={"disjoint": 1}))
    ranked = with_subsets(headline="lca")  # of a ranking members are left out, no more
    times = [need(params, job).seconds for params in (ranked, fewer, PARAMS, more)]
    assert times == sorted(set(times)) and need(ranked, job).mem_mb < need(PARAMS, job).mem_mb


def test_time_of_turns_is_within_a_factor_of_three_of_what_was_measured():
    ratios = {}
    for (what, task, units, l1), seconds in MEASURED_TURNS.items():
        wide = with_model(path="models/none", layers=7, width=units, parameters=10**6)
        wide = wide.model_copy(update={"probes": wide.probes.model_copy(
            update={"penalties": [config.Penalty(l1=l1, l2=0.003)]})})  # fmt: skip

        def taken(wide=wide, task=task, **changes) -> float:
            subsets = wide.subsets.model_copy(update=changes)
            return need(wide.model_copy(update={"subsets": subsets}), Job("search_subsets", "m", task)).seconds

        if what == "bound":
            more = taken(headline="elimination") - taken(headline="lca")
        else:  # beside its curve, which a ranking has too
            more = taken(searches=["relaxation"], headline="lca", rankings=["lca"])
            more -= taken(searches=[], headline="lca", rankings=["lca", "greedy"])
        ratios[what, task, units, l1] = more / seconds
    assert all(1 / 3 < ratio < 3 for ratio in ratios.values()), ratios


def test_a_device_and_fast_numerics_shorten_what_they_touch_and_nothing_else():
    fast = PARAMS.model_copy(update={"numerics": "fast"})
    for job in estimates.jobs(PARAMS):
        slow, quick = need(PARAMS, job), need(fast, job)
        assert quick.seconds <= slow.seconds and (quick.disk_mb, quick.mem_mb) == (slow.disk_mb, slow.mem_mb)
        on_gpu = need(fast, job, "cuda").seconds
        assert on_gpu < quick.seconds if job.rule == "dump_activations" else on_gpu <= quick.seconds
        if job.rule not in estimates.ON_DEVICE:
            assert on_gpu == quick.seconds
    job = Job("dump_activations", "m", "token-roles")
    times = [
        need(with_model(path="models/none", layers=13, width=768, parameters=n), job).seconds
        for n in (10**6, 10**7, 2 * 10**7, 10**8, 10**9)
    ]
    # time goes with the parameters, up to those of twelve plain blocks of 768 units: the others are embeddings
    assert times[2] - times[1] == pytest.approx((times[1] - times[0]) * 10 / 9)
    assert times[2] < times[3] == times[4]
    of_blocks = times[0] - (times[1] - times[0]) / 9 - estimates.START_TORCH  # with no parameters at all
    written = need(with_model(path="models/none", layers=13, width=768), job).disk_mb * 1e6 / 200e6
    read = sum(estimates.subwords(PARAMS.prepare.tasks["token-roles"]).values())
    assert of_blocks == pytest.approx(written + 12 * estimates.PER_BLOCK * read, rel=0.01)


def test_what_is_counted_is_corrected_by_what_was_measured(monkeypatch):
    job = Job("fit_probes", BASE, "token-roles")
    monkeypatch.setattr(estimates, "FITTED", {"fit_probes": (0.5, 2.0)})
    plain, found = estimates.counted(PARAMS, job), need(PARAMS, job)
    assert found.seconds - estimates.START == pytest.approx((plain.seconds - estimates.START) / 2)
    assert found.mem_mb - estimates.BASE == 2 * (plain.mem_mb - estimates.BASE)
    other = Job("search_subsets", BASE, "token-roles")
    assert need(PARAMS, other) == estimates.counted(PARAMS, other)


def test_a_plan_counts_the_layers_that_are_measured():
    wide = {"path": "models/none", "width": 64, "parameters": 10**6}
    some, alone = with_model(layers=33, only_layers=[1, 8, 16, 32], **wide), with_model(layers=4, **wide)
    for job in estimates.jobs(alone):
        if job.rule in ("dump_activations", "ablate_neurons", "measure_faithfulness"):
            continue  # the whole model runs
        assert need(some, job) == need(alone, job), job
    for task in PARAMS.run.tasks:
        dumps = [need(params, Job("dump_activations", "m", task)) for params in (some, alone)]
        assert dumps[0].disk_mb == dumps[1].disk_mb and dumps[0].seconds > dumps[1].seconds


def test_runtime_has_a_reserve_and_minutes_none():
    assert estimates.Need(1, 1, 3600).runtime == 180 and estimates.Need(1, 1, 3600).minutes == 60
    assert estimates.Need(1, 1, 2).runtime == 10 and estimates.Need(1, 1, 2).minutes == 1


def test_shape_and_size_of_a_model_come_from_the_entry_then_its_folder_then_the_published_ones(tmp_path):
    assert estimates.shape(PARAMS, BASE) == estimates.shape(PARAMS, f"{BASE}-untrained") == (7, 256)
    weights = load_file("models/neurosieve-base/model.safetensors")
    assert estimates.parameters(PARAMS, BASE) == sum(tensor.size for tensor in weights.values())
    given = with_model(hub="a/b", layers=3, width=16, parameters=5)
    assert estimates.shape(given, "m") == (3, 16) and estimates.parameters(given, "m") == 5
    (tmp_path / "config.json").write_text('{"n_layer": 4, "n_embd": 32}')
    assert estimates.shape(with_model(path=str(tmp_path)), "m") == (5, 32)
    unknown = with_model(hub="a/b")
    assert estimates.shape(unknown, "m") == (13, 768)
    assert "13 x 768 taken: m" in estimates.plan(unknown)
    assert "taken" not in estimates.plan(PARAMS)
    assert 0.8 < estimates.parameters(unknown, "m") / 110e6 < 1.2  # of the size of BERT


@pytest.mark.parametrize("kind", config.task_kinds())
def test_the_unit_of_a_kind_is_that_of_its_module(kind):
    assert estimates.unit_of(kind) == load_kind(kind).UNIT


def test_the_jobs_are_those_of_snakemake(tmp_path):
    file = tmp_path / "params.yaml"
    text = Path("params.yaml").read_text().replace("protocols: [strict]", "protocols: [strict, published]")
    text = text.replace("\nmodels:\n", "\nmodels:\n  second: {untrained: neurosieve-base, seed: 2}\n")
    file.write_text(with_every_question(text.replace("\n  protocols:", "\n  twins: [second]\n  protocols:")))
    done = subprocess.run([sys.executable, "tests/list_jobs.py", str(file)], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = Counter(job["rule"] for job in json.loads(done.stdout) if job["output"])
    params = config.load_params(file)
    assert (
        params.run.protocols == ["strict", "published"] and params.subsets.transfer and params.run.twins == ["second"]
    )
    assert "6 models and 1 further untrained twin, 6 tasks" in estimates.plan(params)
    jobs = list(estimates.jobs(params))
    assert Counter(job.rule for job in jobs) == wanted and len(set(jobs)) == len(jobs)
    for job in jobs:
        found = need(params, job)
        assert found.disk_mb >= 1 and found.mem_mb >= estimates.BASE and 0 < found.seconds < 24 * 3600


def test_fine_tuning_is_planned_where_a_model_asks_for_it():
    tuned = {"tasks": ["doc-match"], "epochs": 2, "learning_rate": 1e-5, "batch": 8}
    params = running(with_model(path="models/neurosieve-base", finetune=tuned), "doc-match")
    jobs = [job for job in estimates.jobs(params) if job.rule == "finetune_model"]
    assert jobs == [Job("finetune_model", "m", "doc-match")]
    # 1,600 pairs of two inputs of 200 / 3.3 sub-words, two epochs, six operations a parameter
    work = 2 * 3200 * (200 / estimates.CHARACTERS) * 6 * estimates.parameters(params, "m")
    assert need(params, jobs[0]).seconds == pytest.approx(estimates.START_TORCH + work / estimates.PORTABLE)


def test_what_the_run_leaves_out_is_not_planned():
    less = {"subsets": PARAMS.subsets.model_copy(update={"transfer": False, "robustness": None})}
    rules = {job.rule for job in estimates.jobs(PARAMS.model_copy(update=less))}
    assert rules.isdisjoint({"transfer_subsets", "check_robustness", "reproduce_published", "finetune_model"})
    assert {"transfer_subsets", "check_robustness"} <= {job.rule for job in estimates.jobs(PARAMS)}
    assert "From the hub" not in estimates.plan(PARAMS)
    assert "From the hub, unless they are in its cache: a/b\n" in estimates.plan(with_model(hub="a/b"))


def test_the_plan_adds_up(monkeypatch):
    monkeypatch.delenv(config.DATA_VARIABLE, raising=False)
    text = estimates.plan(PARAMS)
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line}
    needs = [need(PARAMS, job) for job in estimates.jobs(PARAMS)]
    assert lines["total"][1] == str(len(needs))
    assert lines["total"][2] == f"{sum(n.disk_mb for n in needs) / 1e3:.1f}"
    assert lines["dump_activations"][1] == str(len(PARAMS.run.models) * len(PARAMS.run.tasks))
    assert sum(int(words[1]) for rule, words in lines.items() if rule in {j.rule for j in estimates.jobs(PARAMS)}) == (
        len(needs)
    )
    assert text.endswith("nothing is missing\n")


def test_what_is_missing_or_left_open_is_told_with_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv(config.DATA_VARIABLE, str(tmp_path))
    files = {
        "all": config.DataFile(name="there.jsonl", sha256="0" * 64),
        "codes": config.DataFile(name="gone.jsonl", sha256=None, source="a public place"),
    }
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "there.jsonl").write_text("{}")
    params = with_task("doc-match", kind="cosqa", corpus=None, packages=None, folder="folder", files=files)
    models = {**params.models, BASE: config.Model(hub="some/model")}
    params = running(params.model_copy(update={"models": models}), "doc-match")
    text = estimates.plan(params)
    gone = tmp_path / "folder" / "gone.jsonl"
    assert f"prepare.tasks.doc-match: no file {gone}; get it from a public place" in text
    assert f"files.codes has no sha256; `neurosieve checksum {gone}` prints it" in text
    assert f"models.{BASE}: no `revision:`; `neurosieve fetch --model some/model` prints the commit" in text
    assert "there.jsonl" not in text and "missing, 3:" in text


def test_the_device_is_that_of_the_environment(monkeypatch):
    monkeypatch.delenv(estimates.DEVICE_VARIABLE, raising=False)
    slow = estimates.resource(PARAMS, "dump_activations", "runtime", BASE, "token-roles")
    monkeypatch.setenv(estimates.DEVICE_VARIABLE, "cuda")
    assert estimates.resource(PARAMS, "dump_activations", "runtime", BASE, "token-roles") <= slow
    assert estimates.device() == "cuda"
    with pytest.raises(KeyError):
        need(PARAMS, Job("no_such_rule", BASE, "token-roles"))


def test_an_estimate_needs_no_heavy_import():
    code = "import sys; from neurosieve import estimates; print([m for m in ('numpy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "[]"
    assert Paths("b").root == Path("build/b")


def test_steps_are_those_of_the_search():
    """Written again there, so that a plan loads none of the phases."""
    assert (estimates.STEP, estimates.LARGE) == (elimination.STEP, robustness.LARGE)
