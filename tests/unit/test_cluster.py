"""The profile for a cluster from what its commands print; which failures are tried again; which jobs share one."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from dags import with_every_question
from snakemake.resources import Resource

from neurosieve import cluster, cluster_run, estimates, run
from neurosieve.config import load_params

# as printed by SLURM 22.05.8
PLAIN = "main*|up|2-00:00:00|2|2|12052|(null)\n"
GPUS = (
    "cpu*|up|1-00:00:00|10|64|257000+|(null)\n"
    "gpu|up|8:00:00|4|32+|515000|gpu:a100:4(S:0-1)\n"
    "gpu|up|8:00:00|2|48|1031000|gpu:h100:8(S:0-1)\n"
    "old|down|infinite|1|8|31000|gpu:1\n"
)
SETTINGS = (
    "AccountingStorageType   = accounting_storage/none\nMinJobAge               = {age} sec\nSLURM_VERSION = 22.05.8\n"
)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Function that puts commands of SLURM into the PATH that print what they are given; None fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def say(**said: str | None) -> None:
        for name, text in said.items():
            script = folder / name
            (folder / f"{name}.txt").write_text(text or "")
            script.write_text(f"#!/bin/sh\n/bin/cat {folder}/{name}.txt\nexit {int(text is None)}\n")
            script.chmod(script.stat().st_mode | stat.S_IXUSR)

    return say


def profile(device: str = "cpu", **names: str) -> dict:
    return yaml.safe_load(cluster.choose(cluster.look(), device, **names).text)


def test_without_accounting_squeue_is_asked_and_no_account_is_given(slurm):
    slurm(sinfo=PLAIN, sbatch="", scontrol=SETTINGS.format(age=300), sacct=None, sacctmgr=None)
    found = profile()
    assert found["slurm-status-command"] == "squeue" and found["slurm-no-account"] is True
    assert found["default-resources"] == {"slurm_partition": "'main'"}
    assert "set-resources" not in found
    assert not [line for line in cluster.choose(cluster.look(), "cpu").reasons if "warning" in line]


def test_jobs_that_squeue_forgets_between_two_looks_are_warned_of(slurm):
    slurm(sinfo=PLAIN, sbatch="", scontrol=SETTINGS.format(age=50), sacct=None, sacctmgr=None)
    assert "# warning: squeue forgets a job 50 s after its end" in cluster.choose(cluster.look(), "cpu").text


def test_with_accounting_sacct_is_asked_and_the_default_account_is_charged(slurm):
    slurm(sinfo=PLAIN, sbatch="", scontrol=SETTINGS.format(age=300), sacct="", sacctmgr="nlp\nbio\n")
    found = profile()
    assert found["slurm-status-command"] == "sacct" and "slurm-no-account" not in found
    assert found["default-resources"]["slurm_account"] == "'nlp'"
    assert profile(account="bio")["default-resources"]["slurm_account"] == "'bio'"
    with pytest.raises(cluster.ClusterError, match="no account x of yours; sacctmgr names nlp, bio"):
        profile(account="x")


def test_gpus_are_asked_for_where_models_run_on_them_and_only_by_the_rules_that_run_one(slurm):
    slurm(sinfo=GPUS, sbatch="", scontrol=SETTINGS.format(age=300), sacct="", sacctmgr="")
    found = profile("cuda")
    assert found["default-resources"]["slurm_partition"] == "'cpu'"
    assert tuple(found["set-resources"]) == estimates.ON_DEVICE
    asked = {json.dumps(resources) for resources in found["set-resources"].values()}
    assert asked == {'{"gres": "gpu:1", "slurm_partition": "\'gpu\'"}'}  # of two kinds, either
    assert profile("cuda", gpu_partition="old")["set-resources"]["dump_activations"]["gres"] == "gpu:1"
    assert "set-resources" not in profile("cpu")
    with pytest.raises(cluster.ClusterError, match="no GPU in partition cpu"):
        profile("cuda", gpu_partition="cpu")
    slurm(sinfo=GPUS.replace("h100", "a100"))
    assert profile("cuda")["set-resources"]["dump_activations"]["gres"] == "gpu:a100:1"
    slurm(sinfo=PLAIN)
    with pytest.raises(cluster.ClusterError, match="unset it to run models on CPUs"):
        profile("cuda")


@pytest.mark.parametrize("name", ["all", "max", "gpu-long", "2080ti"])
def test_names_of_partitions_are_no_python_for_snakemake(slurm, name):
    """It evaluates what it can: `all` alone would be a function."""
    lines = f"{name}*|up|infinite|2|2|12052|gpu:1\n"
    slurm(sinfo=lines, sbatch="", scontrol=SETTINGS.format(age=300), sacct=None)
    found = profile("cuda")
    for value in (found["default-resources"], found["set-resources"]["dump_activations"]):
        given = {"wildcards": None, "input": None, "attempt": 1, "async_run": None}
        assert Resource.cli_evaluator("slurm_partition", value["slurm_partition"], **given) == name


def test_partitions_are_those_of_sinfo(slurm):
    cpu, gpu, old = cluster.partitions(GPUS)
    assert (cpu.name, cpu.default, cpu.nodes, cpu.cores, cpu.memory, cpu.gpus) == ("cpu", True, 10, 64, 257000, ())
    assert (gpu.nodes, gpu.cores, gpu.memory, gpu.gpus) == (6, 32, 515000, ("gpu:a100", "gpu:h100"))
    assert (old.up, old.gpus) == (False, ("gpu",))
    slurm(sinfo=PLAIN.replace("*", ""), sbatch="", scontrol=SETTINGS.format(age=300), sacct="", sacctmgr="")
    with pytest.raises(cluster.ClusterError, match="no default partition: name one with --partition, of main"):
        profile()
    with pytest.raises(cluster.ClusterError, match="no partition x here; sinfo names main"):
        profile(partition="x")


def test_no_cluster_and_a_scheduler_that_does_not_answer_are_told(slurm):
    with pytest.raises(cluster.ClusterError, match="no SLURM here"):
        cluster.look()
    slurm(sinfo=None, sbatch="", scontrol=None)
    with pytest.raises(cluster.ClusterError, match="does not answer"):
        cluster.look()


def test_a_profile_that_somebody_wrote_is_not_overwritten(tmp_path):
    folder = tmp_path / "profile"
    assert cluster.write("jobs: 1\n", folder) is True
    assert cluster.write("jobs: 1\n", folder) is False
    (folder / "config.yaml").write_text("jobs: 2\n")
    with pytest.raises(cluster.ClusterError, match="stays as it is"):
        cluster.write("jobs: 1\n", folder)
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert (folder / "config.yaml").read_text() == "jobs: 2\n"


def test_jobs_of_this_folder_in_the_queue_stop_a_second_run(slurm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.check_queue()  # no SLURM
    name = "d0a1c7ce-52a5-4b0b-9e0f-4a5a0bb8a001"
    mine = f"7|7|RUNNING|{name}|{tmp_path}\n10|8_2|PENDING|mine_{name}|{tmp_path}\n"
    slurm(squeue=f"{mine}9|9|RUNNING|{name}|{tmp_path}/other\n")
    with pytest.raises(run.RunError, match=r"\(7 running, 8_2 pending\).*`scancel 7 8_2`"):
        run.check_queue()
    monkeypatch.setenv("SLURM_JOB_ID", "7")  # the job in which this run itself is
    with pytest.raises(run.RunError, match=r"\(8_2 pending\)"):
        run.check_queue()
    monkeypatch.setenv("SLURM_JOB_ID", "10")  # of an array its own number
    with pytest.raises(run.RunError, match=r"\(7 running\)"):
        run.check_queue()


def test_what_else_was_sent_from_this_folder_stops_no_run_unless_it_may_be_the_one_that_holds_the_lock(
    slurm, tmp_path, monkeypatch
):
    """Jobs that run one benchmark after another, a notebook."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    mine = f"7|7|RUNNING|first|{tmp_path}\n8|8|PENDING|a|b|{tmp_path}\n9|9|RUNNING|notebook|{tmp_path}\n"
    slurm(squeue=f"{mine}10|10|PENDING|second|{tmp_path}\n")
    run.check_queue()
    with pytest.raises(run.RunError, match=r"\(9 running\)"):
        run.check_queue(locked=True)


class Job:
    """As much of a job of Snakemake as a failure needs."""

    restart_times, attempt = 2, 1

    def __init__(self, folder: Path, name: str, log: str | None = None, done: bool = False) -> None:
        self.rule, self.wildcards = SimpleNamespace(name=name), ["tiny"]
        self.output, self.log = [folder / f"{name}.json"], [folder / f"{name}.log"]
        if log is not None:
            self.log[0].write_text(log)
        if done:
            self.output[0].touch()

    def is_group(self) -> bool:
        return False


class Group(Job):
    """Jobs that share one of the cluster."""

    name = "a_b_c"

    def __init__(self, *jobs: Job) -> None:
        self.jobs, self.log = jobs, [log for job in jobs for log in job.log]

    def is_group(self) -> bool:
        return True

    def __iter__(self):
        return iter(self.jobs)


STATE = "SLURM-job '12' failed, SLURM status is: '{}'. Reason: Unknown.For further error details see the log."
REFUSED = "SLURM sbatch failed. The error message was 'sbatch: error: Invalid\n resource'.\n    sbatch call:\n  x"


@pytest.mark.parametrize(
    ("message", "log", "of_slurm", "tries"),
    [
        (STATE.format("OUT_OF_MEMORY"), "", "", True),
        (STATE.format("TIMEOUT"), "", "", True),
        (STATE.format("FAILED"), "error: search_subsets ran out of memory: it asked for 9.1 GB", "", True),
        (STATE.format("FAILED"), "", "slurmstepd: error: Detected 1 oom_kill event in StepId=12.batch", True),
        (STATE.format("CANCELLED"), "", "slurmstepd: error: *** JOB 12 CANCELLED DUE TO TIME LIMIT ***", True),
        (STATE.format("FAILED"), "error: a.jsonl: found sha256 1", "", False),
        (STATE.format("FAILED"), "", "Killed", False),
        (STATE.format("CANCELLED"), "", "", False),
        (REFUSED, None, "", False),
        ("SLURM-job '12' failed due to a node failure, SLURM status is: 'NODE_FAIL'. ", None, "", False),
    ],
)
def test_only_a_job_that_was_short_of_memory_or_time_is_tried_again(tmp_path, message, log, of_slurm, tries):
    failures = cluster_run.Failures()
    failures.start = 0
    job = Job(tmp_path, "search_subsets", log)
    (tmp_path / "12.log").write_text(of_slurm)
    failures.add(job, message, [tmp_path / "12.log"])
    assert (job.restart_times > job.attempt - 1) is tries
    assert failures.lines[id(job)][0].startswith("  search_subsets tiny: ")


def test_where_no_reason_is_told_a_job_keeps_its_tries(tmp_path):
    """Another cluster's executor: a job that was killed for its memory looks like any other."""
    job = Job(tmp_path, "search_subsets", "")
    cluster_run.Failures(told=False).add(job, "", [])
    assert job.restart_times > job.attempt - 1


def test_of_jobs_that_share_one_those_that_failed_are_named(tmp_path, capsys):
    failures = cluster_run.Failures()
    failures.start = 0
    done, failed, after = Job(tmp_path, "a", "fine", done=True), Job(tmp_path, "b", "error: broken"), Job(tmp_path, "c")
    group = Group(done, failed, after)
    failures.add(group, STATE.format("FAILED"), [])
    assert failures.lines[id(group)] == [f"  b tiny: error: broken (log: {tmp_path}/b.log); FAILED (SLURM's job 12)"]
    assert capsys.readouterr().err == f"FAILED{failures.lines[id(group)][0]}\n"
    assert run.last_words([group], failures.lines).splitlines()[1] == failures.lines[id(group)][0]


def test_a_refusal_of_sbatch_is_said_in_its_words():
    assert cluster.why(REFUSED) == "sbatch refused it: sbatch: error: Invalid resource"


def test_short_jobs_share_one_and_long_ones_do_not():
    tiny = load_params("tests/data/tiny.yaml")
    assert estimates.bundle(tiny, "fit_probes", "tiny", "token-roles") == "probes"
    assert estimates.bundle(tiny, "decide_status") is None
    published = load_params("presets/published.yaml")
    model, task = published.run.models[0], published.run.tasks[0]
    assert estimates.bundle(published, "search_subsets", model, task) is None


def test_no_job_of_a_stage_waits_for_one_outside_that_waits_for_the_stage(tmp_path):
    """Whichever jobs are short. Otherwise the jobs that share one of the cluster could never start."""
    file = tmp_path / "params.yaml"
    file.write_text(with_every_question())
    done = subprocess.run([sys.executable, "tests/list_jobs.py", str(file)], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    jobs = [job for job in json.loads(done.stdout) if job["output"]]
    maker = {path: job["rule"] for job in jobs for path in job["output"]}
    before: dict[str, set[str]] = {rule: set() for rule in maker.values()}
    for job in jobs:
        before[job["rule"]] |= {maker[path] for path in job["input"] if path in maker}
    assert {"finetune_model", "reproduce_published"}.isdisjoint(before) and len(before) > 12
    before["finetune_model"] = {"prepare_task"}  # of other benchmarks
    before["dump_activations"].add("finetune_model")
    for rule in ("ablate_neurons", "attribute_neurons", "measure_faithfulness", "apply_lens"):
        before[rule].add("finetune_model")
    before["reproduce_published"] = {"dump_activations"}
    before["build_leaderboard"].add("reproduce_published")

    def earlier(rule: str) -> set[str]:
        return before[rule].union(*map(earlier, before[rule]))

    stage = {rule: name for name, rules in estimates.STAGES.items() for rule in rules}
    assert set(before) - set(stage) == {"decide_status", "build_leaderboard", "build_site"} and set(stage) <= set(
        before
    )
    for last in before:
        for between in earlier(last):
            assert not [r for r in earlier(between) if r in stage and stage[r] == stage.get(last)], (last, between)
    assert all(not set(rules) & set(estimates.ON_DEVICE) or set(rules) <= set(estimates.ON_DEVICE)
               for rules in estimates.STAGES.values())  # fmt: skip


def test_a_look_while_the_scheduler_is_lost_or_forgets_loses_no_job(slurm, capsys):
    """The plugin forgets the jobs it asked for where the answer fails: the run would wait for ever."""
    forgets = False
    jobs = [SimpleNamespace(name=name) for name in "abc"]

    async def plugins(active):
        if not forgets:
            watch.over[id(jobs[0])] = jobs[0]  # reported as done
            for job in active[1:]:
                yield job

    async def left(active):
        return [job.name async for job in watch.look(active)]

    watch = cluster_run._Watch(plugins)
    slurm(scontrol="Slurmctld(primary) at host is DOWN\n")
    assert asyncio.run(left(jobs)) == ["a", "b", "c"] == asyncio.run(left(jobs))
    assert capsys.readouterr().err == f"{cluster_run.LOST}\n"
    slurm(scontrol="Slurmctld(primary) at host is UP\n")
    assert asyncio.run(left(jobs)) == ["b", "c"]
    assert capsys.readouterr().err == f"{cluster_run.BACK}\n"
    forgets = True
    assert asyncio.run(left(jobs[1:])) == ["b", "c"]
    assert asyncio.run(left([])) == []


def test_without_scontrol_nobody_is_waited_for(slurm, capsys):
    """A scheduler that cannot be asked is not one that is lost: the run would wait for ever."""

    async def plugins(active):
        watch.over[id(active[0])] = active[0]
        for job in active[1:]:
            yield job

    async def left(active):
        return [job.name async for job in watch.look(active)]

    watch = cluster_run._Watch(plugins)
    assert shutil.which("scontrol") is None  # the fixture's PATH is empty
    assert asyncio.run(left([SimpleNamespace(name=name) for name in "ab"])) == ["b"]
    assert capsys.readouterr().err == ""
