"""DVC's stages and Snakemake's rules are compared, without running either; and each kind of drift is named."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import dags
import pytest
import yaml

from neurosieve import config
from neurosieve.config.names import PHASE_RULES

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = config.load_params(ROOT / "params.yaml")
BUILD = f"build/{PARAMS.benchmark}"


def list_jobs(root: Path, params: Path = Path("params.yaml")):
    command = [sys.executable, str(ROOT / "tests" / "list_jobs.py"), str(params), "workflow/Snakefile", "all"]
    command += config.PHASES
    done = subprocess.run(command, cwd=root, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def rule_files(root: Path = ROOT):
    return {phase: (root / "workflow" / "rules" / f"{phase}.smk").read_text() for phase in config.PHASES}


@pytest.fixture(scope="module")
def jobs():
    return list_jobs(ROOT)


def test_the_two_engines_describe_one_flow(jobs):
    assert tuple(STAGES) == config.PHASES
    assert {job["rule"] for job in jobs} > {"all", *config.PHASES, "score_test"} and len(jobs) > 50
    assert dags.faults(STAGES, jobs, rule_files(), PARAMS) == []


def test_they_do_so_with_every_question_that_can_be_asked(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(dags.with_every_question())
    jobs = list_jobs(ROOT, params)
    assert {job["rule"] for job in jobs if job["output"]} >= set(PHASE_RULES["concepts"])
    assert dags.faults(STAGES, jobs, rule_files(), config.load_params(params)) == []


def cut(stages, phase, key, entry):
    stages[phase][key].remove(entry)


def command(stages, phase, old, new):
    assert old in stages[phase]["cmd"]
    stages[phase]["cmd"] = stages[phase]["cmd"].replace(old, new)


OUT = "build/${benchmark}/redundancy"
IN_DVC_YAML = {
    "a target of another phase": (
        lambda s: command(s, "concepts", "snakemake concepts", "snakemake subsets"),
        ["concepts: its command makes subsets, not concepts"],
    ),
    "a rule that is not allowed": (
        lambda s: command(s, "subsets", " reproduce_published", ""),
        ["subsets: --allowed-rules lacks reproduce_published"],
    ),
    "a rule of two stages": (
        lambda s: command(s, "concepts", "describe_neurons", "describe_neurons score_test"),
        [
            "concepts: --allowed-rules has score_test, which is not in its rule file",
            "concepts: its target does not make",
            f"concepts: score_test makes {BUILD}/subsets/scores/",
            "score_test: 2 stages allow it",
        ],
    ),
    "an out elsewhere": (
        lambda s: s["redundancy"].update(outs=["build/${benchmark}/other"]),
        [f"redundancy: measure_redundancy makes {BUILD}/redundancy/"],
    ),
    "an out in another's": (
        lambda s: s["redundancy"]["outs"].append("build/${benchmark}/probes/more"),
        [f"redundancy: its out {BUILD}/probes/more lies in that of probes"],
    ),
    "persist": (
        lambda s: s["redundancy"].update(outs=[{OUT: {"persist": True}}]),
        [f"redundancy: {BUILD}/redundancy persists"],
    ),
    "an out that DVC does not keep": (
        lambda s: s["redundancy"].update(outs=[{OUT: {"cache": False}}]),
        [f"redundancy: {BUILD}/redundancy has options {{'cache': False}}, not {{}}"],
    ),
    "code that is no dep": (
        lambda s: cut(s, "probes", "deps", "src/neurosieve/constant.py"),
        ["probes: reads src/neurosieve/constant.py, which is not among its deps"],
    ),
    "an earlier phase that is no dep": (
        lambda s: cut(s, "probes", "deps", "build/${benchmark}/prepare"),
        [f"probes: reads {BUILD}/prepare/"],
    ),
    "the lock file is no dep": (
        lambda s: cut(s, "prepare", "deps", "requirements.lock"),
        ["prepare: reads requirements.lock, which is not among its deps"],
    ),
    "its rule file is no dep": (
        lambda s: cut(s, "prepare", "deps", "workflow/rules/prepare.smk"),
        ["prepare: lacks the dep workflow/rules/prepare.smk"],
    ),
    "a dep that nothing reads": (
        lambda s: s["redundancy"]["deps"].append("models"),
        ["redundancy: no rule reads its dep models"],
    ),
    "a key that is no param": (
        lambda s: cut(s, "concepts", "params", "subsets"),
        ["concepts: its params lack subsets"],
    ),
    "a param too many": (
        lambda s: s["redundancy"]["params"].append("models"),
        ["redundancy: its params have models, which its phase does not read"],
    ),
}


@pytest.mark.parametrize("name", IN_DVC_YAML)
def test_a_fault_in_dvc_yaml_is_named(jobs, name):
    inject, expected = IN_DVC_YAML[name]
    stages = copy.deepcopy(STAGES)
    inject(stages)
    found = dags.faults(stages, jobs, rule_files(), PARAMS)
    assert found, "nothing was found"
    assert all(any(fault.startswith(start) for start in expected) for fault in found), found
    assert all(any(fault.startswith(start) for fault in found) for start in expected), found


def test_faults_in_rule_files_are_named_each_and_no_other(tmp_path):
    """In a copy: an input that is no dep, an output elsewhere, a rule unknown to DVC, a lesser target."""
    for part in ("src", "models", "requirements.lock", "params.yaml"):
        (tmp_path / part).symlink_to(ROOT / part)
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")

    def change(phase, old, new):
        path = tmp_path / "workflow" / "rules" / f"{phase}.smk"
        assert path.read_text().count(old) == 1, (phase, old)
        path.write_text(path.read_text().replace(old, new))

    (tmp_path / "extra.txt").write_text("read by a rule, unknown to DVC")
    change("redundancy", 'code=code("redundancy"),', 'code=code("redundancy"),\n        extra="extra.txt",')
    change(
        "probes",
        "status=made(PATHS.status()),\n    log:",
        f'status=made(PATHS.status()),\n        more="{BUILD}/more",\n    log:',
    )
    change("subsets", "        rows(PATHS.scores),\n        published(),", "        published(),")
    change(
        "leaderboard",
        "rule build_leaderboard:\n    input:",
        'rule build_leaderboard:\n    input:\n        late=f"{LOGS}/late",',
    )
    path = tmp_path / "workflow" / "rules" / "concepts.smk"
    path.write_text(
        path.read_text()
        + '\n\nrule late:\n    output:\n        f"{LOGS}/late",\n    shell:\n        "touch {output}"\n'
    )
    rows = [f"{m}/{t}" for m in PARAMS.run.models for t in PARAMS.run.tasks]
    assert dags.faults(STAGES, list_jobs(tmp_path), rule_files(tmp_path), PARAMS) == sorted(
        [
            "redundancy: reads extra.txt, which is not among its deps",
            f"probes: decide_status makes {BUILD}/more outside the outs of its stage",
            *(f"subsets: its target does not make {BUILD}/subsets/scores/{row}/manifest.json" for row in rows),
            "concepts: --allowed-rules lacks late",
            "late: no stage allows it",
            f"leaderboard: reads logs/{PARAMS.benchmark}/late, which is not among its deps",
        ]
    )


@pytest.mark.parametrize(
    ("phase", "rule", "read"),
    [
        ("redundancy", "measure_redundancy", lambda p: p.probes.bootstrap),  # a block that is no param
        ("subsets", "search_subsets", lambda p: p.redundancy.cka_rows),  # of a block of which only one key is
    ],
)
def test_a_key_that_a_rule_reads_beside_its_params_is_named(jobs, monkeypatch, phase, rule, read):
    settings = config.Params.settings

    def more(self, name, **wildcards):
        found = settings(self, name, **wildcards)
        return {**found, "more": read(self)} if name == rule else found

    monkeypatch.setattr(config.Params, "settings", more)
    assert dags.faults(STAGES, jobs, rule_files(), PARAMS) == [
        f"{phase}: {rule} depends on a key that is not among its params"
    ]


def test_a_file_of_two_rules_is_named(jobs):
    """Snakemake refuses most of these itself (AmbiguousRuleException), so the fault is put into the jobs."""
    more = [*jobs, {"rule": "fit_probes", "input": [], "output": [f"{BUILD}/probes/status/manifest.json"]}]
    found = dags.owner_faults(STAGES, [job for job in more if job["output"]], PARAMS.benchmark)
    assert found == [f"{BUILD}/probes/status/manifest.json: made by decide_status, fit_probes"]
