"""Jobs forked from processes that have imported what jobs need: a job of a run on one machine then pays no imports.

The Snakefile starts the processes (:func:`start`) and names them in NEUROSIEVE_FORKS; a command that finds the name
asks for a fork of itself, hands it its files, passes signals on and ends as it ends (:func:`hand_over`). A fork does
what a process of its own would do: it is refused, and the command runs by itself, where its folder or environment is
not the one that the libraries were loaded in, where a file of the package is not what it was then, and where a thread
runs, which a fork would lose. Linux alone; NEUROSIEVE_FORKS=off does without. Writes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

VARIABLE = "NEUROSIEVE_FORKS"
# Commands that run a model, with what loading one imports: a process of their own, so that others carry no torch.
MODELS = {
    "finetune-model": ("transformers.modeling_utils",),
    "dump-activations": ("transformers.modeling_utils",),
    **{
        command: ("neurosieve.activations", "transformers.modeling_utils")
        for command in (
            "ablate-neurons",
            "attribute-neurons",
            "measure-faithfulness",
            "measure-effects",
            "apply-lens",
            "find-language-neurons",
        )
    },
}
# What other commands import when they are at work. Not sklearn: it brings pandas and pyarrow, which starts a thread.
OTHERS = {
    "extract-corpus": ("neurosieve.prepare.corpus",),
    "prepare-task": ("neurosieve.prepare.task",),
    "build-leaderboard": ("neurosieve.leaderboard.collect",),
}
KINDS = ("models", "others")
# What may differ: no library reads it as it loads.
FREE = ("NEUROSIEVE_THREADS", "NEUROSIEVE_DUMP_SHARDS", "TMPDIR", "TMP", "TEMP", "TEMPDIR", "_", "SHLVL", "OLDPWD",
        "NEUROSIEVE_TRACEBACK", VARIABLE)  # fmt: skip
# What Snakemake sets to a job's threads.
THREADS = ("OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
           "NUMEXPR_NUM_THREADS")  # fmt: skip
KILLED = 137  # the exit status of a fork that said none: as of a process that was killed


def start(source: str) -> Any:
    """Start the processes for the jobs of this run, as a Popen to keep: they end when its standard input is closed.

    ``source``: PYTHONPATH of the jobs. None where nothing can be forked, or nobody wants it. With a GPU each process
    has to open it by itself, and an import may look for it.
    """
    on_gpu = (os.environ.get("NEUROSIEVE_DEVICE") or "cpu") != "cpu"
    if on_gpu or not sys.platform.startswith("linux") or os.environ.get(VARIABLE) == "off":
        return None
    import secrets
    import subprocess

    name = f"neurosieve-{secrets.token_hex(8)}"
    listeners = {}
    for kind in KINDS:  # bound here, so that a job waits for a process that is not ready yet
        listeners[kind] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listeners[kind].bind(_address(name, kind))
        listeners[kind].listen(64)
    numbers = [listener.fileno() for listener in listeners.values()]
    env = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": source}
    command = [sys.executable, "-m", "neurosieve.forks", *map(str, numbers)]
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=numbers, start_new_session=True,
    )  # fmt: skip
    for listener in listeners.values():
        listener.close()
    os.environ[VARIABLE] = name
    return process


def hand_over(argv: Sequence[str]) -> int | None:
    """Run a command in a fork, if there is one for it, and give its exit status; None: run it here."""
    name = os.environ.get(VARIABLE, "off")
    if name == "off" or not sys.platform.startswith("linux"):
        return None
    request = {"argv": list(argv), "orig_argv": sys.orig_argv, "env": dict(os.environ), "cwd": os.getcwd()}  # noqa: PTH109
    body = json.dumps(request).encode("ascii")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(_address(name, "models" if argv[0] in MODELS else "others"))
            if _peer(connection) != os.getuid():
                return None
            socket.send_fds(connection, [len(body).to_bytes(8, "big")], [0, 1, 2])
            connection.sendall(body)
            pid = int(_line(connection) or 0)
        except OSError:
            return None
        if not pid:
            return None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: _pass_on(pid, number))
        said = _line(connection)
    return int(said) if said else KILLED


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended just now
        os.kill(pid, number)


def _address(name: str, kind: str) -> str:
    return f"\0{name}-{kind}"  # of Linux, in no folder: nothing to take away


def _peer(connection: socket.socket) -> int:
    """User of the process at the other end."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(told[4:8], sys.byteorder)


def _line(connection: socket.socket) -> bytes:
    """The next line of the other side, and no byte of the one after it; nothing where it is gone."""
    said = b""
    while not said.endswith(b"\n"):
        try:
            part = connection.recv(1)
        except ConnectionError:
            part = b""
        if not part:
            return b""
        said += part
    return said


def load(command: str) -> None:
    """Import what a command needs, as far as it is known before it is at work."""
    import importlib

    from neurosieve.cli import COMMANDS

    module, function, _, _ = COMMANDS[command]
    importlib.import_module("neurosieve.chain")
    getattr(importlib.import_module(f"neurosieve.{module}"), function)
    for name in {**MODELS, **OTHERS}.get(command, ()):
        importlib.import_module(name)


class Server:
    """One of the processes: it imports what a command needs when it is asked for the first time, then forks."""

    def __init__(self, listener: socket.socket) -> None:
        from neurosieve import artifacts

        self.listener = listener
        self.env, self.cwd = _loaded(os.environ), os.getcwd()  # noqa: PTH109
        self.files = self._files()
        # kept for the forks: their manifests name the code that was loaded
        artifacts.lock_sha256()
        for phase in artifacts.CODE:
            artifacts.code_sha256(phase)

    def serve(self) -> None:
        """Fork for each command that asks, until standard input is closed."""
        import select

        while True:
            ready, _, _ = select.select([self.listener.fileno(), 0], [], [])
            if 0 in ready:
                return
            connection, _ = self.listener.accept()
            with connection, contextlib.suppress(Exception):  # the command meets it by itself, and can say it
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        if _peer(connection) != os.getuid():
            return
        head, files, _, _ = socket.recv_fds(connection, 8, 3)
        try:
            body = b""
            while len(body) < int.from_bytes(head, "big"):
                body += (part := connection.recv(1 << 16))
                if not part:
                    return
            request = json.loads(body)
            if len(files) == 3 and self._fits(request):
                connection.settimeout(None)
                if os.fork() == 0:
                    self.listener.close()
                    _run(connection, files, request)
        finally:
            for number in files:
                os.close(number)

    def _fits(self, request: Mapping[str, Any]) -> bool:
        """Whether a fork would be the process that asks; imports what the command needs."""
        if (_loaded(request["env"]), request["cwd"]) != (self.env, self.cwd):
            return False
        load(request["argv"][0])
        # looked at last: what was imported just now is what is there
        return self._files() == self.files and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208

    @staticmethod
    def _files() -> dict[str, tuple[int, int]]:
        """Time and size of each file that a job's code comes from."""
        package = Path(__file__).parent
        files = [*package.rglob("*.py"), *package.glob("leaderboard/page.*"), package.parents[1] / "requirements.lock"]
        return {str(path): ((stat := path.stat()).st_mtime_ns, stat.st_size) for path in files if path.is_file()}


def _loaded(env: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key not in FREE}


def _run(connection: socket.socket, files: Sequence[int], request: Mapping[str, Any]) -> NoReturn:
    """The fork: it becomes the command, and ends."""
    status: Any = 1
    try:
        import atexit
        import tempfile
        import threading
        import traceback

        from neurosieve import cli

        os.setsid()  # Ctrl-C reaches it once, through the command
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.environ.clear()
        os.environ.update(request["env"])
        tempfile.tempdir = None
        sys.argv, sys.orig_argv = [sys.argv[0], *request["argv"]], request["orig_argv"]
        threading.Thread(target=_follow, args=(connection,), daemon=True).start()
        connection.sendall(b"%d\n" % os.getpid())
        try:
            status = cli.main(request["argv"])
        except SystemExit as error:
            status = 0 if error.code is None else error.code
            if not isinstance(status, int):
                print(status, file=sys.stderr)
                status = 1
        except BaseException:
            traceback.print_exc()
            status = 130 if sys.exc_info()[0] is KeyboardInterrupt else 1
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(b"%d\n" % status)
    finally:
        os._exit(status)


def _follow(connection: socket.socket) -> None:
    """End with the command that asked: where it was killed, nobody waits for what is made here."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os._exit(KILLED)


def main(numbers: Sequence[str]) -> None:
    """A process per kind, on the sockets of these numbers."""
    listeners = [socket.socket(fileno=int(number)) for number in numbers]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are reaped by the kernel; the commands are told how they end
    first = os.fork() == 0
    listeners.pop(0 if first else 1).close()
    Server(listeners[0]).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
