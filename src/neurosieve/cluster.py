"""A SLURM cluster: what it has, the profile that fits it, and the jobs of this folder that lie in its queue.

Asks `sinfo`, `scontrol`, `sacct`, `sacctmgr` and `squeue`; writes the profile where it is told to, and nothing else.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from neurosieve.estimates import ON_DEVICE, STAGES

PLUGIN = "snakemake_executor_plugin_slurm"  # of Snakemake, in no lock file
FILE = "config.yaml"  # in the folder of a profile
# Short jobs of a stage in one job of the cluster, one after another: fewer where each loads a model.
TOGETHER = {"models": 2, "ablation": 2, "faithfulness": 2}
ELSE = 4  # the same of other stages
LOOK, LOOK_LATER = 5, 30  # seconds between two looks at the states of jobs: at first, and when none has ended for long
NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")  # of the plugin's jobs, after the user's prefix
ANSWER = 30  # seconds that we wait for an answer of SLURM


class ClusterError(RuntimeError):
    """No cluster, or none that fits; the message says what to write instead."""


@dataclass(frozen=True)
class Partition:
    """Nodes that are asked for together: ``memory`` in megabytes and ``cores`` of the smallest node."""

    name: str
    default: bool
    up: bool
    limit: str
    nodes: int
    cores: int
    memory: int
    gpus: tuple[str, ...]  # gpu, or gpu:TYPE

    def __str__(self) -> str:
        gpus = f"; {', '.join(self.gpus)}" if self.gpus else ""
        default = ", the default" if self.default else ""
        return (
            f"{self.name}{default}: {self.nodes} nodes, the smallest of {self.cores} cores and {self.memory} MB; "
            f"at most {self.limit}{gpus}"
        )


@dataclass(frozen=True)
class Found:
    """What the cluster says of itself."""

    version: str
    partitions: tuple[Partition, ...]
    accounting: bool  # whether sacct knows the states of jobs
    accounts: tuple[str, ...]  # of this user; the default one first
    kept: int  # seconds for which squeue knows a job that has ended
    notes: tuple[str, ...] = field(default=())


def ask(*command: str) -> str | None:
    """What a command of SLURM prints; None where it is not there, fails or does not answer in time."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def look() -> Found:
    """Ask the cluster. ClusterError where there is none, or its scheduler does not answer."""
    if shutil.which("sinfo") is None or shutil.which("sbatch") is None:
        raise ClusterError(
            "no SLURM here (no sinfo and sbatch in the PATH): run this on a login node; on one machine no profile is "
            "needed: `neurosieve run`"
        )
    said = ask("sinfo", "--noheader", "--format=%P|%a|%l|%D|%c|%m|%G")
    settings = ask("scontrol", "show", "config")
    if said is None or settings is None:
        raise ClusterError(f"SLURM's scheduler does not answer within {ANSWER} s: try `sinfo`, and again later")
    config = dict(re.findall(r"^(\w+)\s*= (.*?)\s*$", settings, re.M))
    found = partitions(said)
    if not found:
        raise ClusterError("sinfo names no partition that you may use")
    # not what the settings promise: what the command does for this user
    accounting = ask("sacct", "--allocations", "--noheader", "--format=JobIDRaw,State") is not None
    return Found(
        config.get("SLURM_VERSION", "unknown"),
        found,
        accounting,
        _accounts() if accounting else (),
        int((re.match(r"\d+", config.get("MinJobAge", "")) or ["0"])[0]),
    )


def partitions(sinfo: str) -> tuple[Partition, ...]:
    """Partitions of the lines that sinfo prints, ``name|state|limit|nodes|cores|MB|gres`` each; a kind of node each."""
    kinds: dict[str, list[list[str]]] = {}
    for line in sinfo.splitlines():
        name, *more = line.strip().split("|")
        kinds.setdefault(name, []).append(more)
    found = []
    for name, lines in kinds.items():
        gpus = {kind for line in lines for kind in re.findall(r"\bgpu(?::[A-Za-z][\w.-]*)?(?=:\d)", line[5])}
        found.append(
            Partition(
                name.rstrip("*"),
                name.endswith("*"),
                any(line[0] == "up" for line in lines),
                lines[0][1],
                sum(int(line[2]) for line in lines),
                min(int(line[3].rstrip("+")) for line in lines),
                min(int(line[4].rstrip("+")) for line in lines),
                tuple(sorted(gpus)),
            )
        )
    return tuple(found)


def _accounts() -> tuple[str, ...]:
    """Accounts of this user, the default one first; none where SLURM knows none, as without slurmdbd."""
    user = getpass.getuser()
    show = ("sacctmgr", "--noheader", "--parsable2", "show")
    default = ask(*show, "user", user, "format=DefaultAccount") or ""
    others = ask(*show, "associations", f"user={user}", "format=Account") or ""
    return tuple(name for name in dict.fromkeys([*default.split(), *others.split()]) if name)


@dataclass(frozen=True)
class Choice:
    """The profile's text, and why it is that one: a line a reason."""

    text: str
    reasons: tuple[str, ...]


def choose(
    found: Found,
    device: str,
    partition: str | None = None,
    gpu_partition: str | None = None,
    account: str | None = None,
) -> Choice:
    """The profile for a cluster. ``device`` is where models run (NEUROSIEVE_DEVICE): cpu or cuda.

    Raises ClusterError for a partition or an account that is not there, and for cuda where no partition has a GPU.
    """
    named = {one.name: one for one in found.partitions}
    for name in (partition, gpu_partition):
        if name is not None and name not in named:
            raise ClusterError(f"no partition {name} here; sinfo names {', '.join(named)}")
    if account is not None and found.accounts and account not in found.accounts:
        raise ClusterError(f"no account {account} of yours; sacctmgr names {', '.join(found.accounts)}")
    up = [one for one in found.partitions if one.up]
    plain = named[partition] if partition else next((one for one in [*up, *found.partitions] if one.default), None)
    if plain is None:
        raise ClusterError(f"no default partition: name one with --partition, of {', '.join(named)}")
    with_gpu = [one for one in up if one.gpus]

    why = [f"SLURM {found.version}", *(f"partition {one}" for one in found.partitions)]
    lines = ["executor: slurm", "jobs: 100"]
    if found.accounting:
        why.append("accounting: sacct answers, so it is asked for the states of jobs")
    else:
        why.append("accounting: sacct does not answer, so squeue is asked for the states of jobs")
        if found.kept < 2 * LOOK_LATER:
            why.append(
                f"warning: squeue forgets a job {found.kept} s after its end (MinJobAge), and up to {LOOK_LATER} s "
                "lie between two looks: a run may wait for a job that has ended; stop it then and run it again"
            )
    lines.append(f"slurm-status-command: {'sacct' if found.accounting else 'squeue'}")
    lines += [f"slurm-init-seconds-before-status-checks: {LOOK}"]

    chosen = account or next(iter(found.accounts), None)
    if chosen is None:
        why.append("account: none is needed, or SLURM does not say which are yours")
        lines.append("slurm-no-account: true")
    else:
        others = [name for name in found.accounts if name != chosen]
        why.append(f"account: {chosen}" + (f" (others: {', '.join(others)}; --account names one)" if others else ""))

    lines += [
        "keep-going: true",
        "rerun-incomplete: true",
        "# Files of a job may show up late on a shared file system.",
        "latency-wait: 60",
        "# A job that ran out of memory or time is tried again with twice as much, then three times; no other is.",
        "retries: 2",
        "# The cores of a job: every rule runs on one.",
        "cores: 1",
        "# So many short jobs of a stage are one job of the cluster.",
        "group-components:",
        *(f"  {stage}: {TOGETHER.get(stage, ELSE)}" for stage in STAGES),
    ]
    defaults = [f"  slurm_partition: \"'{plain.name}'\""]
    defaults += [] if chosen is None else [f"  slurm_account: \"'{chosen}'\""]
    lines += ["default-resources:", *defaults]

    if device == "cpu":
        offered = f"; {', '.join(one.name for one in with_gpu)} would have some" if with_gpu else ""
        why.append(
            f"GPUs: not asked for{offered}"
            + ("; `export NEUROSIEVE_DEVICE=cuda` and run this command again to use them" if with_gpu else "")
        )
    else:
        offering = [named[gpu_partition]] if gpu_partition else [plain, *with_gpu]
        gpu = next((one for one in offering if one.gpus), None)
        if gpu is None:
            where = f"partition {gpu_partition}" if gpu_partition else "any partition that is up"
            raise ClusterError(f"no GPU in {where}, and NEUROSIEVE_DEVICE is {device}: unset it to run models on CPUs")
        kind = gpu.gpus[0] if len(gpu.gpus) == 1 else "gpu"
        why.append(f"GPUs: one of {gpu.name} for each job of {' and '.join(ON_DEVICE)}: {kind}:1")
        if len(gpu.gpus) > 1:
            why.append(f"  to ask for one kind, write it into the profile: {', '.join(f'{k}:1' for k in gpu.gpus)}")
        lines.append("set-resources:")
        for rule in ON_DEVICE:
            lines += [f"  {rule}:", f'    gres: "{kind}:1"', f"    slurm_partition: \"'{gpu.name}'\""]
    comments = [f"# {line}" for line in ["Written by `neurosieve cluster` for what it found:", *why]]
    return Choice("\n".join([*comments, *lines]) + "\n", tuple(why))


def write(text: str, folder: Path) -> bool:
    """Write the profile into its folder; False where it lies there already.

    Raises ClusterError where another profile does: it may hold what somebody wrote.
    """
    path = folder / FILE
    if path.is_file():
        if path.read_text(encoding="utf-8") == text:
            return False
        raise ClusterError(
            f"{path} is there and differs; it stays as it is: delete it first, or name another folder with --output"
        )
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{FILE}.part"
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return True


def queued_here(locked: bool = False) -> dict[str, str]:
    """Jobs of this user in SLURM's queue that a run in this folder sent there: number, state.

    The plugin names them by a UUID; what else was sent from here, such as the next benchmark or a notebook, is no
    concern of this run. Only where the folder is ``locked`` all jobs count that run in it, for one may hold the lock;
    never the one this runs in. Empty too where SLURM is not there or does not answer.
    """
    said = ask("squeue", "--me", "--noheader", "--format=%A|%i|%T|%j|%Z")
    here, found = Path.cwd(), {}
    for line in (said or "").splitlines():
        own, number, state, name, folder = line.split("|", 4)
        ours = NAME.search(name) is not None or (locked and state == "RUNNING")
        if ours and Path(folder) == here and own != os.environ.get("SLURM_JOB_ID"):
            found[number] = state.lower()
    return found


def why(message: str) -> str:
    """What the plugin says of a failed job in few words: the state that SLURM gave it, or sbatch's refusal."""
    refused = re.search(r"sbatch failed\. The error message was '(.*?)'\.?\n", message, re.S)
    if refused is not None:
        return f"sbatch refused it: {' '.join(refused[1].split())}"
    state = re.search(r"SLURM-job '(\w+)' failed.*?status is: '(\w+)'", message, re.S) or re.search(
        r"SLURM-job '(\w+)' failed due to a (node failure)", message
    )
    return f"{state[2]} (SLURM's job {state[1]})" if state is not None else " ".join(message.split())
