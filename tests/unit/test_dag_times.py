"""Where a run spent its time: chains, idle cores and other orders of a DAG that can be worked out by hand."""

import os
import sys
from pathlib import Path

import pytest
import stub_chain

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "speed"))
import dag  # noqa: E402

from neurosieve import chain  # noqa: E402
from neurosieve.config.names import PHASE_RULES  # noqa: E402


def jobs(**given):
    """Name: (seconds, end, names of what it waits for)."""
    return {
        (name,): dag.Job((name,), seconds, None, end, frozenset((n,) for n in needs))
        for name, (seconds, end, *needs) in given.items()
    }


#  a 2 - b 3 - d 4,  a - c 1,  e 5: two cores; a and e start, b and c wait for a, d for b
DAG = jobs(d=(4, 109, "b"), a=(2, 102), b=(3, 105, "a"), c=(1, 106, "a"), e=(5, 105))


def test_the_critical_path_is_the_longest_chain():
    assert [job.rule for job in dag.critical_path(DAG)] == ["a", "b", "d"]
    assert dag.tails(DAG) == {("a",): 9, ("b",): 7, ("c",): 1, ("d",): 4, ("e",): 5}
    assert dag.span(DAG) == 9
    assert [job.rule for job in dag.in_order(DAG)] == ["a", "b", "d", "c", "e"]


def test_an_order_is_simulated():
    tail = dag.tails(DAG)
    assert dag.makespan(DAG, 1, lambda job: 0) == 15
    assert dag.makespan(DAG, 2, lambda job: tail[job.name]) == 9  # a b d | e c
    assert dag.makespan(DAG, 2, lambda job: -tail[job.name]) == 10  # e | a c b, d: 2 + 1 + 3 + 4
    assert dag.makespan(DAG, 9, lambda job: 0) == 9


def test_the_report_says_idle_time_and_what_no_order_is_below():
    said = dag.report(DAG, 2, {})
    assert "the run: 9.0 s, 16.7% of 2 cores idle" in said  # 15 of 18 core-seconds
    assert "no order is below 9.0 s; critical path 9.0 s: a > b > d" in said


def test_a_run_is_read_from_its_timings_and_logs(tmp_path):
    params = stub_chain.load(tmp_path)
    for artifact in chain.artifacts(params, stub_chain.Paths(params.benchmark)):
        parts = [artifact.rule, *(word for key, word in artifact.wildcards.items() if key != "split")]
        for folder, end, text in (
            ("timings", ".tsv", "s\tcpu_time\n2.5\t0.01\n"),
            ("logs", ".log", "x\nspent 1.25 s of CPU\n"),
        ):
            file = tmp_path.joinpath(folder, params.benchmark, *parts[:-1], parts[-1] + end)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            os.utime(file, (1000, 1000))
    found = dag.read(tmp_path / "params.yaml", tmp_path)
    assert {(job.seconds, job.cpu, job.end) for job in found.values()} == {(2.5, 1.25, 1000.0)}
    assert dag.critical_path(found)[-1].rule == "build_site"
    file = tmp_path.joinpath("timings", params.benchmark, "build_leaderboard.tsv")
    file.unlink()
    with pytest.raises(FileNotFoundError, match="finish the run first"):
        dag.read(tmp_path / "params.yaml", tmp_path)


def test_priorities_are_those_of_the_rule_files():
    found = dag.priorities(ROOT / "workflow" / "rules")
    rules = {rule for rules in PHASE_RULES.values() for rule in rules}
    assert found and set(found) < rules
    # what others wait for, the last of a chain first; what nothing waits for last
    assert found["extract_corpus"] > found["search_subsets"] > found["fit_probes"] > found["dump_activations"]
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert len(found) == text.count("    priority: ")
