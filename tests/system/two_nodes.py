"""A SLURM cluster of two nodes on this machine, as root, in a folder of its own; for the tests of this folder.

    python tests/system/two_nodes.py FOLDER COMMAND ...     runs the command with the cluster up, then stops it

Needs the Debian packages slurm-wlm and munge. The nodes n1 and n2 are two slurmd on this host, each with the cores of
the machine and half of its memory; there is no cgroup, so memory is asked for but not held to. Whoever uses the cluster
needs `SLURM_CONF` in the environment: `Cluster.env`.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TOOLS = ("slurmctld", "slurmd", "sbatch", "munged")
NODES = ("n1", "n2")
FILES = ("/dev/zero", "/dev/full")  # what stands for a GPU: SLURM wants a file of its own for each
SETTINGS = """\
ClusterName=two-nodes
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
KillWait=2
SlurmdTimeout=20
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
{gres}
{nodes}
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=2-00:00:00 State=UP
"""


def missing() -> list[str]:
    """The programs that a cluster needs and that are not here."""
    return [tool for tool in TOOLS if shutil.which(tool, path=_path()) is None]


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin"


class Cluster:
    """``folder`` is made, and holds all that the daemons write; ``gpus`` is how many each node says it has."""

    def __init__(self, folder: Path, gpus: int = 0) -> None:
        self.folder, self.gpus = folder, gpus
        self.env = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (self.folder / name).mkdir()
        host = socket.gethostname().partition(".")[0]
        ports = _free_ports(1 + len(NODES))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 // len(NODES)
        gres = f"Gres=gpu:{self.gpus}" if self.gpus else ""
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={os.cpu_count()} "
            f"RealMemory={memory} {gres}"
            for node, port in zip(NODES, ports[1:], strict=True)
        ]
        (self.folder / "slurm.conf").write_text(
            SETTINGS.format(
                host=host, port=ports[0], folder=self.folder, nodes="\n".join(nodes),
                gres="GresTypes=gpu" if self.gpus else "",
            )
        )  # fmt: skip
        if self.gpus:
            lines = [f"NodeName={node} Name=gpu File={file}" for node in NODES for file in FILES[: self.gpus]]
            (self.folder / "gres.conf").write_text("\n".join(lines) + "\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        try:
            self._munge()
            self.start("slurmctld")
            for node in NODES:
                self.start(node)
            self.wait_until(lambda: self.states() == dict.fromkeys(NODES, "idle"), "the nodes to be idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if "slurmctld" in self.daemons:
            self.call("scancel", "--user=root")
            with contextlib.suppress(TimeoutError):
                self.wait_until(lambda: not self.call("squeue", "--noheader"), "the queue to empty", 15)
        for name in list(self.daemons):
            self.stop(name)
        for pid in self.processes():
            kill(pid)

    def _munge(self) -> None:
        at = {option: self.folder / f"munge.{option}" for option in ("socket", "pid", "log", "seed")}
        self._spawn(
            "munged", "--foreground", "--force", "--num-threads=2", f"--key-file={self.folder / 'munge.key'}",
            f"--socket={at['socket']}", f"--pid-file={at['pid']}", f"--log-file={at['log']}",
            f"--seed-file={at['seed']}",
            name="munged",
        )  # fmt: skip
        self.wait_until(at["socket"].exists, "munged")

    def start(self, name: str) -> None:
        """Start slurmctld, or the slurmd of a node: n1, n2."""
        if name == "slurmctld":
            self._spawn("slurmctld", "-D", name=name)
            self.wait_until(lambda: "UP" in self.call("scontrol", "ping"), name)
        else:
            self._spawn("slurmd", "-D", "-N", name, name=name)

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        """End one of our daemons by its number; SIGKILL where it does not end."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(how)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def kill_node(self, name: str) -> None:
        """SIGKILL a node's slurmd, its jobs and their daemons, as when it loses power."""
        jobs = self.call("squeue", "--noheader", f"--nodelist={name}", "--format=%i").split()
        marks = [f"slurmstepd: [{job}." for job in jobs]
        self.stop(name, signal.SIGKILL)
        for pid in self.processes():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if words.startswith(tuple(marks)) or f"SLURMD_NODENAME={name}".encode() in environment:
                    kill(pid)

    def call(self, *command: str) -> str:
        """What a SLURM command prints; nothing where it fails."""
        done = subprocess.run(command, env=self.env, text=True, capture_output=True, timeout=120)
        return done.stdout.strip() if done.returncode == 0 else ""

    def states(self) -> dict[str, str]:
        """State of each node, as sinfo says it."""
        lines = self.call("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def waiting(self) -> float:
        """Seconds between the first job that was sent and the last that ended in which no job ran, of the log."""
        running: set[str] = set()
        last, seconds = None, 0.0
        for line in (self.folder / "slurmctld.log").read_text().splitlines():
            found = re.match(r"\[(\S+)\] .*(submit_batch_job|Allocate|_job_complete).*JobId=(\d+)(?!.*WEXIT)", line)
            if found is None:
                continue
            now = datetime.datetime.fromisoformat(found[1])
            if last is not None and not running:
                seconds += (now - last).total_seconds()
            last = now
            if found[2] == "Allocate":
                running.add(found[3])
            elif found[2] == "_job_complete":
                running.discard(found[3])
        return seconds

    def processes(self) -> list[int]:
        """Numbers of all processes that have this cluster in their environment: jobs, and the daemons of jobs."""
        mark = f"SLURM_CONF={self.env['SLURM_CONF']}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if int(entry.name) != os.getpid() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def wait_until(self, done, what: str, seconds: float = 60) -> None:  # type: ignore[no-untyped-def]
        """Wait for ``done()``; TimeoutError with ``what`` and the ends of the logs."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                logs = [f"{log.name}: {log.read_text(errors='replace')[-600:]}" for log in self.folder.glob("*.log")]
                raise TimeoutError(f"waited {seconds:.0f} s for {what}\n" + "\n".join(logs))
            time.sleep(0.2)

    def _spawn(self, *command: str, name: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def kill(pid: int) -> None:
    """SIGKILL, where the process is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> int:
    folder, *command = sys.argv[1:]
    if missing():
        sys.exit(f"not here: {', '.join(missing())}; apt-get install slurm-wlm munge")
    with Cluster(Path(folder).absolute()) as cluster:
        return subprocess.run(command, env=cluster.env).returncode


if __name__ == "__main__":
    sys.exit(main())
