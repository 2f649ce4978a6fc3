"""A real SLURM of two nodes (Debian's slurm-wlm and munge, as root): the page's commands, and what goes wrong there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import two_nodes

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "run-on-a-cluster.md"
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(two_nodes.missing()), reason="needs SLURM (apt-get install slurm-wlm munge)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run several slurmd"),
]


def commands(heading: str) -> list[str]:
    """The lines of the first block of a section of the page."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    block = re.search(r"(?:^    .+\n)+", section, re.M)
    assert block is not None
    return [line.strip() for line in block[0].splitlines()]


def prepare_environment(root: Path) -> None:
    """A .venv of the checkout's own that `make env` takes for done: it sees the packages of this one."""
    subprocess.run([sys.executable, "-m", "venv", root / ".venv"], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(root / ".venv")}))
    (packages / "outer.pth").write_text(f"{root / 'src'}\n{sysconfig.get_path('purelib')}\n")
    script = root / ".venv" / "bin" / "neurosieve"
    script.write_text(f"#!{root}/.venv/bin/python\nimport sys\nfrom neurosieve.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    (root / ".venv" / ".installed").touch()


class Site:
    """A checkout on a cluster, and what a user types there."""

    def __init__(self, checkout, cluster: two_nodes.Cluster) -> None:  # type: ignore[no-untyped-def]
        self.checkout, self.cluster, self.root = checkout, cluster, checkout.root
        hidden = ("PYTHONPATH", "VIRTUAL_ENV", "NEUROSIEVE_DEVICE")
        self.env = {name: value for name, value in cluster.env.items() if name not in hidden}

    def start(self, *lines: str) -> subprocess.Popen[str]:
        """Lines of a shell, of which the first that fails is the last. The process becomes the last command."""
        *before, last = lines
        script = "\n".join(["set -e", *before, f"exec {last}" if last.startswith("neurosieve") else last])
        return subprocess.Popen(
            ["bash", "-c", script], cwd=self.root, env=self.env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def type(self, *lines: str) -> tuple[int, str]:
        """Exit status and what was printed."""
        process = self.start(*lines)
        said = process.communicate(timeout=1800)[0]
        return process.returncode, said

    def forget(self) -> None:
        """Remove two artifacts, so that there is something to do: a job of describe_neurons, and the leaderboard."""
        for folder in ("concepts/neurons/tiny/doc-match", "leaderboard"):
            shutil.rmtree(self.root / "build" / "tiny" / folder)

    def wait_for_job(self, run: subprocess.Popen[str], rule: str) -> list[int]:
        """Processes of a job of the rule, as soon as there is one, stopped: so it does not end before the fault."""
        found: list[int] = []

        def there() -> bool:
            assert run.poll() is None, run.communicate()[0]
            for pid in self.cluster.processes():
                try:
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if rule.replace("_", "-").encode() in words and b"neurosieve.cli" in words:
                    os.kill(pid, signal.SIGSTOP)
                    found.append(pid)
            return bool(found)

        self.cluster.wait_until(there, f"a job of {rule}", 300)
        return found

    def sent(self) -> int:
        """How many jobs the cluster has been sent."""
        settings = self.cluster.call("scontrol", "show", "config")
        return int(re.findall(r"NEXT_JOB_ID\s*=\s*(\d+)", settings)[0]) - 1

    def queue(self) -> list[str]:
        return self.cluster.call("squeue", "--noheader", "--format=%i").split()


LINES = commands("From a login node to the table")
AGAIN = ["source .venv/bin/activate", LINES[-1]]
UNLOCK = ["source .venv/bin/activate", "neurosieve run --params mine.yaml --unlock"]


@pytest.fixture(scope="module")
def expected(make_checkout) -> dict[str, bytes]:
    """Files of build/ and results/ of a local run, which knows nothing of a cluster."""
    checkout = make_checkout()
    start = time.monotonic()
    checkout.snakemake()
    print(f"local run: {time.monotonic() - start:.0f} s")
    return {**checkout.files("build"), **checkout.files("results")}


@pytest.fixture(scope="module")
def site(make_checkout, tmp_path_factory) -> Iterator[Site]:
    checkout = make_checkout()
    shutil.copy2(checkout.root / "params.yaml", checkout.root / "mine.yaml")
    prepare_environment(checkout.root)
    with two_nodes.Cluster(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield Site(checkout, cluster)


def same(site: Site, expected: dict[str, bytes]) -> None:
    found = {**site.checkout.files("build"), **site.checkout.files("results")}
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


def goes_on(site: Site, expected: dict[str, bytes]) -> None:
    """The same command, once more, comes to its end with the same bytes."""
    status, said = site.type(*AGAIN)
    assert status == 0, said
    same(site, expected)


def test_the_commands_of_the_page_give_the_bytes_of_a_local_run(site, expected):
    before = LINES.index("source .venv/bin/activate")
    assert LINES[0] == "make env" and before > 0
    start = time.monotonic()
    status, said = site.type(*LINES[:-1])
    assert status == 0, said
    assert "squeue" in said and "GPUs: not asked for" in said
    begun = time.monotonic()
    status, said = site.type(*AGAIN)
    assert status == 0, said
    jobs = site.sent()
    seconds, waiting = time.monotonic() - begun, site.cluster.waiting()
    print(
        f"commands before: {begun - start:.0f} s; run: {seconds:.0f} s, {waiting:.0f} s of them no job ran; {jobs} jobs"
    )
    # work takes its time on a busy machine; what the cluster adds to it does not
    assert jobs <= 16 and waiting < 90
    same(site, expected)
    assert site.type(*AGAIN)[0] == 0
    assert site.sent() == jobs, "nothing was left to do"


def test_a_killed_run_leaves_jobs_that_are_told_and_a_lock_that_is_named(site, expected):
    site.forget()
    run = site.start(*AGAIN)
    stopped = site.wait_for_job(run, "describe_neurons")
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    status, said = site.type(*AGAIN)
    queued = site.queue()
    assert status == 1 and re.search(rf"scancel (\d+ )*{queued[0]}\b", said), said
    subprocess.run(["scancel", *queued], env=site.env, check=True)
    for pid in stopped:
        two_nodes.kill(pid)
    site.cluster.wait_until(lambda: not site.queue(), "the jobs to end")
    # a job that SLURM has forgotten may still be ending on this machine
    site.cluster.wait_until(lambda: "wait until it ends" not in site.type(*AGAIN)[1], "the jobs' processes to end", 300)
    status, said = site.type(*AGAIN)
    assert status == 1 and "neurosieve run --params mine.yaml --unlock" in said, said
    assert site.type(*UNLOCK)[0] == 0
    goes_on(site, expected)


def test_a_killed_job_is_named_and_not_tried_again(site, expected):
    site.forget()
    run = site.start(*AGAIN)
    for pid in site.wait_for_job(run, "describe_neurons"):
        two_nodes.kill(pid)
    said = run.communicate(timeout=600)[0]
    assert run.returncode == 1
    assert re.search(r"1 job failed\. .*\n  describe_neurons tiny doc-match: .*FAILED", said), said
    assert "Trying to restart" not in said
    goes_on(site, expected)


def test_a_node_that_goes_down_gives_its_jobs_to_the_other(site, expected):
    site.forget()
    run = site.start(*AGAIN)
    stopped = site.wait_for_job(run, "describe_neurons")
    number = site.queue()[0]
    node = site.cluster.call("squeue", "--noheader", f"--jobs={number}", "--format=%N")
    site.cluster.kill_node(node)
    for pid in stopped:
        two_nodes.kill(pid)
    site.cluster.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    said = run.communicate(timeout=600)[0]
    assert run.returncode == 0, said
    same(site, expected)
    site.cluster.start(node)
    site.cluster.call("scontrol", "update", f"nodename={node}", "state=resume")
    site.cluster.wait_until(lambda: site.cluster.states()[node] == "idle", f"{node} to be back")


def test_a_lost_scheduler_is_told_and_waited_for(site, expected):
    site.forget()
    run = site.start(*AGAIN)
    stopped = site.wait_for_job(run, "describe_neurons")
    site.cluster.stop("slurmctld")
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    time.sleep(45)
    site.cluster.start("slurmctld")
    said = run.communicate(timeout=600)[0]
    assert "SLURM's scheduler does not answer" in said and "answers again" in said, said
    if run.returncode:
        assert "sbatch refused it" in said, said
        status, said = site.type(*AGAIN)
        assert status == 0, said
    same(site, expected)


def test_a_profile_with_gpus_fails_once_and_clearly_where_there_are_none(site):
    profile = site.root / "workflow" / "profiles" / "wrong" / "config.yaml"
    profile.parent.mkdir()
    text = (site.root / "workflow" / "profiles" / "cluster" / "config.yaml").read_text()
    profile.write_text(f'{text}set-resources:\n  describe_neurons:\n    gres: "gpu:1"\n')
    site.forget()
    run = AGAIN[-1].replace("profiles/cluster", "profiles/wrong")
    status, said = site.type(AGAIN[0], run)
    assert status == 1 and said.count("sbatch refused it") >= 1, said
    assert "Trying to restart" not in said
    status, said = site.type(*AGAIN)
    assert status == 0, said


def test_a_dump_shared_by_tasks_on_two_nodes_has_the_same_bytes(site, expected):
    folder = "build/tiny/activations/tiny/doc-match"
    shutil.rmtree(site.root / folder)
    command = "NEUROSIEVE_DUMP_SHARDS=2 neurosieve dump-activations --params mine.yaml --model tiny --task doc-match"
    send = "sbatch --wait --nodes=2 --ntasks=2 --ntasks-per-node=1 --mem=2000 --output=shards.log"
    status, said = site.type("source .venv/bin/activate", f"{send} --wrap '{command}'")
    assert status == 0, said + (site.root / "shards.log").read_text()
    found = site.checkout.files(folder)
    assert len(found) == 16
    assert [name for name in found if found[name] != expected[f"tiny/activations/tiny/doc-match/{name}"]] == []
    step = f"launch task StepId={site.sent()}.0"
    assert all(step in (site.cluster.folder / f"slurmd.{node}.log").read_text() for node in two_nodes.NODES)


def test_gpus_are_asked_for_where_they_are_and_one_for_a_job(site, tmp_path):
    """Declared GPUs: the model runs on the CPU, under the pins, but its job asks as the profile says."""
    activate = "source .venv/bin/activate"
    profile = "neurosieve cluster --output workflow/profiles/gpu"
    shutil.rmtree(site.root / "build" / "tiny" / "activations" / "tiny" / "doc-match")
    with two_nodes.Cluster(tmp_path / "cluster", gpus=2) as cluster:
        other = Site(site.checkout, cluster)
        status, said = other.type(activate, f"NEUROSIEVE_DEVICE=cuda {profile}")
        assert status == 0 and "GPUs: one of main for each job of finetune_model and dump_activations" in said, said
        status, said = other.type(activate, profile)  # without a GPU it is another one
        assert status == 1 and "stays as it is" in said, said
        run = AGAIN[-1].replace("profiles/cluster", "profiles/gpu")
        running = other.start(activate, f"{run} activations")
        stopped = other.wait_for_job(running, "dump_activations")
        asked = cluster.call("squeue", "--noheader", "--format=%b %k").splitlines()
        of_models = [line for line in asked if "dump_activations" in line]
        assert of_models and all(line.startswith("gres:gpu:1 ") for line in of_models), asked
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        said = running.communicate(timeout=900)[0]
        assert running.returncode == 0, said
