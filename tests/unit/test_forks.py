"""Jobs that are forked: they do and say what they would as processes of their own, and end with who asked for them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurosieve import cli, config, forks

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks are Linux's")
SOURCE = str(Path(forks.__file__).parents[1])
COMMAND = ("extract-corpus", "--corpus", "none", "--params")
ASK = "import sys\nfrom neurosieve import forks\nprint(forks.hand_over(sys.argv[1:]), flush=True)"


@pytest.fixture
def server(monkeypatch):
    """The processes, and the environment of jobs that may be forked from them."""
    monkeypatch.delenv(forks.VARIABLE, raising=False)
    monkeypatch.setenv("PYTHONPATH", SOURCE)
    for name in forks.THREADS:
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # another in each phase of a test
    # a shell's background jobs ignore Ctrl-C, and what they start does; the tests ask what else happens
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = forks.start(SOURCE)
    yield process
    process.stdin.close()
    process.wait(timeout=60)
    signal.signal(signal.SIGINT, before)


def environment(**changes):
    return {key: value for key, value in {**os.environ, **changes}.items() if key != "PYTEST_CURRENT_TEST"}


def job(*words, **env):
    """A command as the workflow starts it."""
    command = [sys.executable, "-m", "neurosieve.cli", *COMMAND, *words]
    return subprocess.Popen(command, env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ask(*words, cwd=None, **env):
    """What :func:`forks.hand_over` gives for a command, and what was said on standard error."""
    command = [sys.executable, "-c", ASK, *COMMAND, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment(**env))
    return done.stdout.strip(), done.stderr


def forked_from(process):
    """Process ids of what was forked for jobs: children of the processes of the server, whose words are theirs."""
    parents, found = {process.pid}, []
    for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent in parents:
            number = int(stat.parent.name)
            found.append(number)
            parents.add(number)
    return [number for number in found if os.getsid(number) == number]  # a session of its own, unlike the server's


def wait_for(condition):
    until = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


@pytest.fixture
def waiting(server, tmp_path):
    """A job that waits for its params file, which is a pipe, and its fork."""
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    asked = job(str(pipe))

    def opened():
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it yet
            return None

    end = wait_for(opened)
    (fork,) = forked_from(server)
    yield asked, fork
    asked.kill()
    asked.wait()
    os.close(end)


def test_a_fork_says_and_returns_what_a_process_of_its_own_does(server, tmp_path):
    missing = str(tmp_path / "none.yaml")
    alone = job(missing, NEUROSIEVE_FORKS="off")
    said = alone.communicate()[0].decode()
    assert ask(missing) == ("2", said) and alone.returncode == 2
    assert "none.yaml: no such file" in said


@pytest.mark.parametrize("changed", ["MKL_CBWR", "OMP_NUM_THREADS", "PYTHONHASHSEED", "SOME_OTHER"])
def test_a_job_with_another_environment_runs_by_itself(server, tmp_path, changed):
    assert ask(str(tmp_path / "none.yaml"), **{changed: "7"}) == ("None", "")


def test_a_job_in_another_folder_runs_by_itself(server, tmp_path):
    assert ask("none.yaml", cwd=tmp_path) == ("None", "")


def test_nothing_is_forked_once_a_file_of_the_package_is_another_or_a_thread_runs(monkeypatch):
    server = forks.Server(None)
    request = {"argv": list(COMMAND), "env": dict(os.environ), "cwd": str(Path.cwd())}
    monkeypatch.setattr(os, "listdir", lambda folder: ["1"])  # pytest itself may have threads
    assert server._fits(request)
    monkeypatch.setattr(os, "listdir", lambda folder: ["1", "2"])
    assert not server._fits(request)
    monkeypatch.setattr(os, "listdir", lambda folder: ["1"])
    name = str(Path(cli.__file__))
    server.files = {**server.files, name: (0, 0)}
    assert not server._fits(request)


def test_lines_that_come_together_are_read_one_by_one():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"4711\n0\n")
        assert (forks._line(ours), forks._line(ours)) == (b"4711\n", b"0\n")
        theirs.sendall(b"half")
        theirs.close()
        assert forks._line(ours) == b""


def test_who_is_killed_takes_the_fork_along(waiting):
    asked, fork = waiting
    asked.kill()
    wait_for(lambda: not Path(f"/proc/{fork}").exists())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, forks.KILLED), (signal.SIGINT, 130)])
def test_signals_reach_the_fork(waiting, number, status):
    asked, fork = waiting
    asked.send_signal(number)
    said = asked.communicate(timeout=60)[0]
    assert asked.returncode == status
    wait_for(lambda: not Path(f"/proc/{fork}").exists())
    assert said.rstrip().endswith(b"KeyboardInterrupt") == (number == signal.SIGINT)


def test_a_fork_that_is_killed_is_a_job_that_was_killed(waiting):
    asked, fork = waiting
    os.kill(fork, signal.SIGKILL)
    assert asked.wait(timeout=60) == forks.KILLED


def test_forks_go_on_and_no_new_ones_start_when_the_run_is_over(waiting, server):
    asked, fork = waiting
    server.stdin.close()
    server.wait(timeout=60)
    assert Path(f"/proc/{fork}").exists() and asked.poll() is None


@pytest.mark.parametrize(("name", "value"), [("NEUROSIEVE_FORKS", "off"), ("NEUROSIEVE_DEVICE", "cuda")])
def test_nothing_is_started_where_it_is_not_wanted_or_a_gpu_is_used(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert forks.start(SOURCE) is None


@pytest.mark.parametrize("models", [False, True])
def test_what_is_imported_for_forks_starts_no_thread(models):
    code = (
        "import json, os, sys\nfrom neurosieve import forks\nfor name in sys.argv[1:]: forks.load(name)\n"
        "print(json.dumps([len(os.listdir('/proc/self/task')), sorted({'pyarrow', 'torch'} & set(sys.modules))]))"
    )
    commands = [name for name in cli.COMMANDS if (name in forks.MODELS) == models]
    env = environment(**dict.fromkeys(forks.THREADS, "1"), PYTHONPATH=SOURCE)
    done = subprocess.run([sys.executable, "-c", code, *commands], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, ["torch"] if models else []]


def test_what_can_be_forked_are_commands_of_rules():
    assert {*forks.MODELS, *forks.OTHERS} <= set(cli.COMMANDS)
    assert tuple(sorted(config.LANGUAGES)) == cli.LANGUAGES
