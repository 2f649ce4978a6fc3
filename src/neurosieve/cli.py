"""The command line: one command per rule of the workflow, and the commands of a user; the only parser of arguments.

Numeric pins are applied before anything that loads numpy is imported, so imports stand inside the functions; so does
that of the params file's model, which would be most of the time of `--help` and of a job that is forked.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from neurosieve import forks, numerics

if TYPE_CHECKING:
    from neurosieve.config import Params
    from neurosieve.config.source_tree import SourceTree

# command -> (module, function, wildcards it takes, help); the functions share the signature
# run(params, paths, **wildcards) and write their artifact folders whole or not at all.
COMMANDS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "extract-corpus": ("prepare", "extract_corpus", ("corpus",), "functions of a corpus of source code"),
    "prepare-task": ("prepare", "prepare_task", ("task",), "rows and splits of a task, and its card"),
    "finetune-model": ("activations", "finetune_model", ("model", "task"), "a model trained on a task first"),
    "dump-activations": ("activations", "dump_activations", ("model", "task"), "hidden states of every layer"),
    "measure-redundancy": ("redundancy", "measure_redundancy", ("model", "task"), "CKA, correlation clusters"),
    "fit-baselines": ("probes", "fit_baselines", ("task",), "majority and surface baselines"),
    "fit-probes": ("probes", "fit_probes", ("model", "task"), "probes on all neurons, layers and prefixes; rankings"),
    "fit-controls": ("probes", "fit_controls", ("model", "task"), "control tasks, online description length"),
    "decide-status": ("probes", "decide_status", (), "does a row beat chance, surface and its untrained twin?"),
    "search-subsets": ("subsets", "search_subsets", ("model", "task"), "the smallest neuron subset, on dev"),
    "check-robustness": ("subsets", "check_robustness", ("model", "task"), "is every member needed, is it this set?"),
    "transfer-subsets": ("subsets", "transfer_subsets", ("model",), "the subset of each task on the other tasks"),
    "score-test": ("subsets", "score_test", ("model", "task"), "everything frozen, on test"),
    "reproduce-published": ("subsets", "reproduce_published", ("model", "task"), "the published protocol, on test"),
    "describe-neurons": ("concepts", "describe_neurons", ("model", "task"), "what the chosen neurons encode"),
    "ablate-neurons": ("concepts", "ablate_neurons", ("model", "task"), "does the model itself use them?"),
    "attribute-neurons": ("concepts", "attribute_neurons", ("model", "task"), "which neurons its predictions go by"),
    "measure-faithfulness": ("concepts", "measure_faithfulness", ("model", "task"), "necessary? sufficient? curves"),
    "measure-effects": ("concepts", "measure_effects", ("model",), "dose, side effects, one task's neurons on others"),
    "apply-lens": ("concepts", "apply_lens", ("lens", "model", "task"), "the chosen neurons through a lens"),
    "find-language-neurons": ("concepts", "find_language_neurons", ("model",), "neurons of single languages of code"),
    "build-leaderboard": ("leaderboard", "build_leaderboard", (), "the table and its rows"),
    "build-site": ("site", "build_site", (), "pages and charts of the results"),
}

LANGUAGES = ("c", "java", "python")  # of config.LANGUAGES, which takes longer to import than this takes to parse

YAML_WORDS = ("true", "false", "yes", "no", "on", "off", "y", "n", "null")  # names that YAML takes for something else


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status. Errors a user can mend are one message, without a traceback."""
    if argv is None:
        if (why := _use_code_of_this_checkout()) is not None:
            print(f"error: {why}", file=sys.stderr)
            return 1
        if sys.argv[1:] and sys.argv[1] in COMMANDS and (status := forks.hand_over(sys.argv[1:])) is not None:
            return status
    parser = _parser()
    args, more = parser.parse_known_args(argv)
    failed = getattr(args, "failed", None)  # the exit status of a command whose 1 and 2 are answers
    if args.command == "run":
        args.options = more
    elif more:
        said = f"unrecognized arguments: {' '.join(more)}"
        if failed is None:
            parser.error(said)
        parser.exit(failed, f"error: {said}\n")
    try:
        return int(args.run(args) or 0)
    except Exception as error:
        import tempfile
        import traceback

        from neurosieve import config, disk

        if isinstance(error, config.ConfigError):
            print(f"error in the params file\n{_printable(error)}", file=sys.stderr)
            return failed or 2
        written = [getattr(args, name, None) for name in ("output", "build")]
        told = error if _is_ours(error) else disk.explain(error, [*filter(None, written), ".", tempfile.gettempdir()])
        if os.environ.get("NEUROSIEVE_TRACEBACK") or told is None:
            if failed is None:
                raise
            traceback.print_exc()
            return failed
        print(f"error: {_printable(told)}", file=sys.stderr)
        return failed or 1


def _use_code_of_this_checkout() -> str | None:
    """In the root of another checkout replace this process by one that runs the code there; why not, where that fails.

    An environment has its package from the checkout that made it, and other checkouts, git worktrees and the folders of
    `dvc exp run --temp` use the environment too.
    """
    here, package = Path("src/neurosieve"), Path(__file__).parent
    if not (here / "cli.py").is_file() or here.samefile(package):
        return None
    first = os.environ.get("PYTHONPATH", "").split(os.pathsep)[0]
    if first == "src":  # asked for before, in vain: a Python that does not heed the variable, say
        return (
            f"the package of {package} would run in the checkout {Path.cwd()}, which has one of its own: run "
            "`python -m neurosieve.cli` there with PYTHONPATH=src, or `pip install --no-deps -e .`"
        )
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, ["src", os.environ.get("PYTHONPATH")]))
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  (the same command)


def _printable(error: Exception) -> str:
    """Its text without characters of data or names that would steer the terminal."""
    from neurosieve.artifacts import printable

    return printable(str(error))


def _is_ours(error: Exception) -> bool:
    """Errors of this package carry their own explanation; others are bugs, or the machine, and show their traceback."""
    return type(error).__module__.startswith("neurosieve.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="neurosieve",
        description="How many neurons of a code language model a task needs, which ones, and what they encode.",
        epilog="One command more per rule of the workflow, which calls them, each with a --help of its own: "
        + ", ".join(COMMANDS),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, action, text in (
        ("check", _check, "check a params file, and the data and models it names as far as they lie here"),
        ("plan", _plan, "what a run needs, estimated: jobs, disk, time; and what is missing, with where to get it"),
        ("show", _show, "print the leaderboard, where the site lies, and whether results equal the committed ones"),
    ):
        command = commands.add_parser(name, help=text)
        _common(command)
        command.set_defaults(run=action)
        if name == "plan":
            _run_parser(commands)
    _same(commands)
    cluster = commands.add_parser(
        "cluster", help="look at this SLURM cluster: the profile for a run on it, and why it is that one"
    )
    cluster.add_argument("--output", type=Path, metavar="FOLDER", help="write FOLDER/config.yaml (default: print it)")
    cluster.add_argument("--partition", help="for all jobs that need no GPU (default: the cluster's)")
    cluster.add_argument("--gpu-partition", help="for jobs that run a model, where NEUROSIEVE_DEVICE=cuda is exported")
    cluster.add_argument("--account", help="to charge (default: your default one, where SLURM says so)")
    cluster.set_defaults(run=_cluster)
    publish = commands.add_parser("publish", help="copy the leaderboard to results/<benchmark>/, and show it")
    _common(publish)
    publish.set_defaults(run=_publish)
    crate = commands.add_parser("crate", help="the results as an RO-Crate: a folder to deposit, with its provenance")
    crate.add_argument("--output", type=Path, help="folder to write (default: crates/<benchmark>)")
    _common(crate)
    crate.set_defaults(run=_crate)
    _share(commands)
    _use(commands)
    checksum = commands.add_parser("checksum", help="sha256 of data files, or of a folder of source code, for params")
    checksum.add_argument("path", type=Path, nargs="+", help="files, or a folder: a line for each of its files")
    checksum.add_argument("--language", choices=LANGUAGES, help="the folder is a corpus of this language: its one sum")
    checksum.set_defaults(run=_checksum)
    fetch = commands.add_parser("fetch", help="fetch what a run needs from the network; or print a model's commit")
    fetch.add_argument("--params", help="params file: fetch its wheels, hub models and hub datasets into the caches")
    fetch.add_argument("--model", metavar="ID[@REVISION]", help="print the lines for a model of the hub, fetch nothing")
    fetch.add_argument("--dataset", metavar="ID[@REVISION]", help="the same for a dataset of the hub")
    fetch.set_defaults(run=_fetch)
    commands.add_parser("schema", help="print the JSON schema of a params file").set_defaults(run=_schema)
    promote = commands.add_parser("promote", help="copy a finished training from build/ to models/")
    promote.add_argument("name", help="name of the model in the training file")
    promote.add_argument("--params", default="workflow/train.yaml", help="training file (default: %(default)s)")
    promote.set_defaults(run=_promote)
    for name, (module, function, wildcards, text) in COMMANDS.items():
        command = commands.add_parser(name, description=text)  # without `help`, which would list it
        for wildcard in wildcards:
            command.add_argument(f"--{wildcard}", required=True)
        _common(command)
        command.set_defaults(run=_phase(module, function, wildcards))
    return parser


def _run_parser(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="run a benchmark; options and targets of Snakemake are passed on to it",
        usage="neurosieve run [--params PARAMS] [options and targets of Snakemake]",
        description="Run a benchmark through Snakemake in the root of the checkout. Other options and targets go "
        "to it: -n (a plan), --cores 4, prepare (this phase alone), --until fit_probes, --unlock (after a kill).",
        allow_abbrev=False,
    )
    run.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    run.set_defaults(run=_run)


class _Parser(argparse.ArgumentParser):
    """argparse ends with 2 where an argument is wrong; a command whose 1 and 2 are answers ends with another status."""

    failed: int | None = None

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(self.failed or 2, f"{self.prog}: error: {message}\n")


def _same(commands: Any) -> None:
    """Commands that say or see to it that two runs are the same."""
    text = "run a benchmark or a part of it again in a clean tree, and compare"
    verify = commands.add_parser(
        "verify",
        help=text,
        description=f"{text[0].upper()}{text[1:]} each artifact with the one at hand in build/, else with the "
        "committed results and dvc.lock: identical, equal within tolerance, or different (of which kind, where first). "
        "Exit status: 0 identical, 1 equal within tolerance, 2 different, 3 not compared (an error says why).",
    )
    verify.failed = 3
    verify.add_argument(
        "part", nargs="?", metavar="PART", help="a phase, a row model:task or an artifact's folder (default: all)"
    )
    verify.add_argument("--report", type=Path, metavar="FILE.json", help="write what was found as json")
    verify.add_argument(
        "--against", type=Path, metavar="FOLDER", help="compare with this build or these results; no run"
    )
    verify.add_argument("--keep", action="store_true", help="keep the tree in which it was run again")
    verify.add_argument("--dirty", action="store_true", help="take uncommitted changes along")
    verify.add_argument("--cores", default="all", help="cores of the run (default: %(default)s)")
    _common(verify)
    verify.set_defaults(run=_verify, failed=verify.failed)
    certify = commands.add_parser(
        "certify", help="check every artifact with its content, then write the dvc.lock that `dvc repro` would write"
    )
    _common(certify)
    certify.set_defaults(run=_certify)
    pull = commands.add_parser(
        "pull", help="fetch the artifacts of dvc.lock from a DVC remote, so that a run has nothing to do"
    )
    pull.add_argument("-r", "--remote", help="name of the remote (default: DVC's own)")
    pull.set_defaults(run=_pull)


def _share(commands: Any) -> None:
    """Commands that put results beside others."""
    site = commands.add_parser(
        "site",
        help="pages and charts of results, of one or several benchmarks and of collected packs",
        description="Pages and charts of results, which open from disk and from any static server. A run makes those "
        "of its own benchmark: build/<benchmark>/site.",
    )
    site.add_argument(
        "results",
        nargs="*",
        metavar="FOLDER",
        help="results to show, as they are or in a git revision: HEAD~3:results/default (default: all below results/)",
    )
    site.add_argument("--output", type=Path, default=Path("site"), help="folder to write (default: %(default)s)")
    site.add_argument(
        "--submissions",
        type=Path,
        default=Path("submissions"),
        help="what `collect` put there: shown beside results of their benchmark and version (default: %(default)s)",
    )
    site.add_argument("--no-submissions", action="store_true", help="show the given results alone")
    site.set_defaults(run=_site)
    compare = commands.add_parser(
        "compare",
        help="what differs between two rows, models, results or revisions: settings, code and data, then figures",
        description="What differs between A and B: settings, code, lock file and data first, then scores and numbers "
        "of neurons, with paired intervals where they are known. Each is a row (model__task) or a model of --results, "
        "a row's file, a results folder, a git revision (of --results), or any of these in a revision, such as "
        "HEAD~3:results/default.",
    )
    compare.add_argument("a", metavar="A")
    compare.add_argument("b", metavar="B")
    compare.add_argument("--results", type=Path, metavar="FOLDER", help="of names (default: results/<benchmark>)")
    compare.add_argument("--json", action="store_true", help="print json")
    compare.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    compare.set_defaults(run=_compare)
    submit = commands.add_parser("submit", help="pack the results of a run into one file, to send them in")
    submit.add_argument("--by", required=True, metavar="NAME", help="who submits: the name the site shows")
    submit.add_argument("--results", type=Path, metavar="FOLDER", help="results (default: results/<benchmark>)")
    submit.add_argument("--out", type=Path, metavar="FILE.zip", help="to write (default: <benchmark>-<NAME>.zip)")
    submit.add_argument("--params", default="params.yaml", help="params file of the run (default: %(default)s)")
    submit.set_defaults(run=_submit)
    collect = commands.add_parser(
        "collect", help="check packs that `neurosieve submit` wrote, and put them beside ours"
    )
    collect.add_argument("pack", type=Path, nargs="+", metavar="PACK")
    collect.add_argument("--into", type=Path, default=Path("submissions"), help="folder (default: %(default)s)")
    collect.add_argument(
        "--results", type=Path, default=Path("results"), help="what they must fit, by benchmark (default: %(default)s)"
    )
    collect.add_argument(
        "--reproduced-here",
        type=Path,
        metavar="LEADERBOARD",
        help="a leaderboard folder made here from the params.yaml of the pack: record that it is the pack's",
    )
    collect.set_defaults(run=_collect)


def _use(commands: Any) -> None:
    """Commands for users of neurons that a benchmark found."""
    export = commands.add_parser("export", help="the chosen neurons of a row and their classifier, as json")
    export.add_argument("model")
    export.add_argument("task")
    export.add_argument("--ranking", help="ranking or search that chose them (default: the headline)")
    export.add_argument("--output", type=Path, help="file to write (default: print)")
    _common(export)
    export.set_defaults(run=_export)
    features = commands.add_parser("features", help="values of exported neurons for new code")
    features.add_argument("--neurons", required=True, help="file that `neurosieve export` wrote")
    features.add_argument(
        "--input",
        required=True,
        type=Path,
        help="rows of .jsonl, .csv, .json or .parquet: text, or text, start and end of a token, or text and text2; "
        "any other file is one text",
    )
    features.add_argument(
        "--column",
        action="append",
        default=[],
        type=_pair,
        metavar="KEY=NAME",
        help="name of the column of text, start, end or text2 where it is another (may be repeated)",
    )
    features.add_argument("--output", type=Path, help=".npy or .csv (default: print as csv)")
    features.add_argument("--predict", action="store_true", help="the class of each row instead, one a line")
    features.add_argument(
        "--model-path", help="folder of the model, or a name in the params file (default: the name in the file)"
    )
    _common(features)
    features.set_defaults(run=_features)
    cost = commands.add_parser("cost", help="measure time and memory of the chosen neurons beside what is certified")
    cost.add_argument("--model", action="append", help="only this model (may be repeated)")
    cost.add_argument("--task", action="append", help="only this task (may be repeated)")
    cost.add_argument("--inputs", type=int, default=32, help="texts of the task to run (default: %(default)s)")
    cost.add_argument("--repeats", type=int, default=5, help="pairs of runs (default: %(default)s)")
    _common(cost)
    cost.set_defaults(run=_cost)


def _common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--params", default="params.yaml", help="params file (default: %(default)s)")
    command.add_argument("--build", default="build", help="folder of the artifacts (default: %(default)s)")


def _params(args: argparse.Namespace) -> Params:
    from neurosieve.config import load_params

    return load_params(args.params)


def _load(args: argparse.Namespace) -> tuple[Params, Any]:
    params = _params(args)
    numerics.apply(params.numerics)  # replaces this process where the pins are missing
    from neurosieve.artifacts import Paths

    return params, Paths(params.benchmark, args.build)


def _phase(module: str, function: str, wildcards: tuple[str, ...]) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        params, paths = _load(args)
        given = {w: getattr(args, w) for w in wildcards}
        from neurosieve.chain import ChainError, check_job

        sources = check_job(params, paths, function, given)
        if function != "dump_activations":
            return job(params, paths, given, sources)
        from neurosieve import company

        with company.of(params, paths, **given) as others:
            if others.take():
                print(f"taken from another dump of {given['model']}, which made it too", file=sys.stderr)
                print(_spent())
                return 0
            try:
                return job(params, paths, given, sources, others=others.others(), ready=others.ready)
            except ChainError:
                others.drop()
                raise

    def job(params: Params, paths: Any, given: dict[str, str], sources: dict[Path, str], **more: Any) -> int:
        import importlib

        from neurosieve.chain import check_unchanged

        step = getattr(importlib.import_module(f"neurosieve.{module}"), function)
        numerics.check(params.numerics)
        try:
            step(params, paths, **given, **more)
        except Exception as error:
            from neurosieve.memory import JobMemoryError, out_of_memory

            if _is_ours(error) or not out_of_memory(error):
                raise
            from neurosieve import advice, estimates

            raise JobMemoryError(advice.out_of_memory(params, estimates.Job(function, **given), error)) from error
        check_unchanged(params, paths, function, given, sources)
        print(_spent())
        return 0

    return run


def _spent() -> str:
    """CPU seconds and the peak of memory of this process and those it waited for; the last line of a job's log."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(used.ru_utime + used.ru_stime for used in both)
    unit = 1 if sys.platform == "darwin" else 1024
    return f"spent {seconds:.2f} s of CPU, at most {max(used.ru_maxrss for used in both) * unit / 1e6:.0f} MB"


def _check(args: argparse.Namespace) -> int:
    params = _params(args)
    print(f"{args.params}: benchmark {params.benchmark}, version {params.version}")
    print(f"protocols: {', '.join(params.run.protocols)}")
    print(f"models: {', '.join(params.run.models)}")
    if params.run.twins:
        print(f"twins:  {', '.join(params.run.twins)}")
    print(f"tasks:  {', '.join(params.run.tasks)}")
    from neurosieve import check, estimates

    for line in check.notices(params):
        print(f"note: {line}")
    if hub := estimates.of_hub(params):
        print(f"note: not looked into, for it lies on the hub: {', '.join(hub)}")
    faults = list(dict.fromkeys([*check.start_faults(params), *check.data_faults(params)]))
    print(f"faults: {len(faults)}" if faults else "nothing is missing, and nothing wrong was found")
    for line in faults:
        print(f"  {line}")
    return 1 if faults else 0


def _yaml(text: str) -> str:
    """A name as YAML takes it inside braces: quoted unless it is plain."""
    import json
    import re

    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", text) is not None and text.lower() not in YAML_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def _plan(args: argparse.Namespace) -> int:
    from neurosieve import advice, check, estimates

    params = _params(args)
    print(estimates.plan(params, estimates.device()), end="")
    for line in [*advice.notes(params, estimates.device()), *check.machine_faults(params), *check.notices(params)]:
        print(line)
    print(f"`neurosieve check --params {args.params}` opens the data and the models that lie here")
    return 0


def _checksum(args: argparse.Namespace) -> int:
    from neurosieve.artifacts import ArtifactError, sha256_file
    from neurosieve.config.source_tree import SourceTree, data_files, source_tree

    for path in args.path:
        if not path.exists():
            what = f"a link to {path.readlink()}, which is not there" if path.is_symlink() else "no such file or folder"
            raise ArtifactError(f"{path}: {what}; name the data's files, or their folder")
    if args.language is not None:
        from neurosieve.prepare.corpus import folder_sha256

        for path in args.path:
            if not path.is_dir():
                raise ArtifactError(
                    f"{path}: not a folder; name the folder that has a sub-folder per package, or leave --language out "
                    "for the sums of single files"
                )
            found = folder_sha256(path, args.language)
            print(f"# {path}, beside the corpus's `folder:`\nsha256: {found}")
            _print_left_out(source_tree(path, args.language))
        return 0
    print("# under `files:`; write the file's role for the word before the colon (docs/add-a-task.md)")
    for path in args.path:
        tree = data_files(path) if path.is_dir() else SourceTree({path.name: path})
        empty = [name for name, file in tree.files.items() if not file.stat().st_size]
        for name in empty:
            tree.files.pop(name)
            tree.leave_out("empty", name)
        if not tree.files:
            told = ", ".join(f"{reason}: {number}" for reason, number in tree.left_out.items())
            raise ArtifactError(f"{path}: no data to take a sum of ({told or 'no file'}); name the data's files")
        for name, file in tree.files.items():
            role = file.name.removesuffix(".gz").partition(".")[0]
            print(f"{_yaml(role)}: {{name: {_yaml(name)}, sha256: {sha256_file(file)}}}")
        _print_left_out(tree)
    return 0


def _print_left_out(tree: SourceTree) -> None:
    for reason, number in sorted(tree.left_out.items()):
        print(f"# left out, {reason}: {number}, the first {tree.first[reason]}")


def _schema(args: argparse.Namespace) -> int:
    import json

    from neurosieve.config import Params

    print(json.dumps(Params.model_json_schema(), indent=1, sort_keys=True))
    return 0


def _certify(args: argparse.Namespace) -> int:
    params, paths = _load(args)
    from neurosieve.certify import certify

    print(certify(params, paths, args.params))
    return 0


def _publish(args: argparse.Namespace) -> int:
    params, paths = _load(args)
    from neurosieve.chain import check_made
    from neurosieve.leaderboard.publish import publish, show
    from neurosieve.verify.differences import compare_results

    check_made(params, paths)
    show(params, paths, report=publish(params, paths, judge=compare_results))
    return 0


def _crate(args: argparse.Namespace) -> int:
    params, paths = _load(args)
    from neurosieve.crate import write_crate

    output = args.output or Path("crates") / params.benchmark
    told = write_crate(params, paths, args.params, output)
    print(f"{output}: {told['files']} files, of {told['artifacts']} artifacts and {told['jobs']} jobs what they read")
    return 0


def _show(args: argparse.Namespace) -> int:
    params, paths = _load(args)
    from neurosieve.leaderboard.publish import compare, show
    from neurosieve.verify.differences import compare_results

    show(params, paths, report=compare(params, paths, judge=compare_results))
    return 0


def _site(args: argparse.Namespace) -> int:
    import tempfile

    from neurosieve.site import make_site
    from neurosieve.site.collect import read_submissions
    from neurosieve.site.read import benchmark_of
    from neurosieve.site.revisions import results_folder

    submitted = [] if args.no_submissions else read_submissions(args.submissions)
    with tempfile.TemporaryDirectory() as place:
        folders = [results_folder(given, Path(place)) for given in args.results]
        folders = folders or sorted(path.parent for path in Path("results").glob("*/leaderboard.csv"))
        shown = {benchmark_of(folder) for folder in folders}
        fitting = [one for one in submitted if (one[1]["benchmark"], one[1]["version"]) in shown]
        made = make_site(folders, args.output, fitting)
    print(f"{args.output / 'index.html'}: {len(folders)} results, {len(fitting)} submissions, {len(made)} files")
    if left := len(submitted) - len(fitting):
        print(f"{left} submissions of other benchmarks or versions are not shown")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from neurosieve.artifacts import dump_json
    from neurosieve.site.compare import as_text, differences, read_side

    def results() -> Path:
        found: Path = args.results or Path("results") / _params(args).benchmark
        return found

    found = differences(read_side(args.a, results), read_side(args.b, results))
    print(dump_json(found) if args.json else as_text(found), end="")
    return 0


def _submit(args: argparse.Namespace) -> int:
    params = _params(args)
    from neurosieve.site.submit import submit

    results = args.results or Path("results") / params.benchmark
    path, rows = submit(params, Path(args.params), results, args.by, args.out)
    print(f"{path}: {rows} rows of {params.benchmark} {params.version} by {args.by}")
    return 0


def _collect(args: argparse.Namespace) -> int:
    from neurosieve.site.collect import collect
    from neurosieve.verify.differences import compare_artifact

    def judge(before: Path, now: Path) -> Any:
        return compare_artifact("leaderboard", before, now, {})

    for one in collect(args.pack, args.into, args.results, ours=args.reproduced_here, judge=judge):
        print(f"{one.folder}: {one.told}, {one.status}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    params = _params(args)
    from neurosieve import verify

    options = verify.Options(args.params, args.build, args.part, args.report, args.keep, args.dirty, args.cores)
    if args.against is not None:
        return verify.with_folder(params, options, args.against)
    return verify.run_again(params, options)


def _pull(args: argparse.Namespace) -> int:
    from neurosieve.pull import pull

    pull(args.remote)
    return 0


def _export(args: argparse.Namespace) -> int:
    params, paths = _load(args)
    from neurosieve.use.export import export_neurons, warnings
    from neurosieve.use.features import write_file
    from neurosieve.use.neurons import to_text

    data = export_neurons(params, paths, model=args.model, task=args.task, ranking=args.ranking)
    for line in warnings(data):
        print(f"warning: {line}", file=sys.stderr)
    if args.output is None:
        print(to_text(data), end="")
    else:
        write_file(args.output, to_text(data))
    return 0


def _features(args: argparse.Namespace) -> int:
    import json

    try:  # the file says which pins it needs; whether it is sound is checked when it is read in full
        pinned = json.loads(Path(args.neurons).read_text(encoding="utf-8"))["numerics"]
    except (OSError, ValueError, KeyError, TypeError):
        pinned = "portable"
    numerics.apply(pinned)
    numerics.check(pinned)
    from neurosieve.use.features import write_values

    write_values(
        args.neurons,
        args.input,
        args.output,
        model=args.model_path,
        predict=args.predict,
        columns=dict(args.column),
        params=args.params,
        build=args.build,
    )
    return 0


def _pair(text: str) -> tuple[str, str]:
    """KEY=NAME of an option."""
    key, _, name = text.partition("=")
    if not (key and name):
        raise argparse.ArgumentTypeError(f"found {text!r}; write KEY=NAME, such as text=function")
    return key, name


def _cost(args: argparse.Namespace) -> int:
    params, paths = _load(args)
    numerics.check(params.numerics)
    from neurosieve.use.cost import measure_all

    measure_all(params, paths, args.model, args.task, inputs=args.inputs, repeats=args.repeats)
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from neurosieve.sources.fetch import dataset_lines, fetch_all, model_lines

    if args.model is not None:
        print("\n".join(model_lines(args.model)))
    if args.dataset is not None:
        print("\n".join(dataset_lines(args.dataset)))
    if args.params is not None or (args.model is None and args.dataset is None):
        from neurosieve.config import load_params

        for line in fetch_all(load_params(args.params or "params.yaml")):
            print(line, flush=True)
    return 0


def _cluster(args: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from neurosieve import cluster, estimates

    found = cluster.look()
    choice = cluster.choose(found, estimates.device(), args.partition, args.gpu_partition, args.account)
    if args.output is None:
        print(choice.text, end="")
        return 0
    written = cluster.write(choice.text, args.output)
    print("\n".join(choice.reasons))
    if find_spec(cluster.PLUGIN) is None:
        print(f"warning: {cluster.PLUGIN} is not in this environment: docs/run-on-a-cluster.md says how to install it")
    print(f"{'wrote' if written else 'unchanged:'} {args.output / cluster.FILE}")
    print(f"next: neurosieve run --params FILE --workflow-profile {args.output}")
    return 0


def _promote(args: argparse.Namespace) -> int:
    from neurosieve.train.promote import promote

    for line in promote(args.name, Path(args.params)):
        print(line)
    return 0


def _run(args: argparse.Namespace) -> None:
    _params(args)  # a wrong file is refused before Snakemake starts
    from neurosieve.run import run

    run(args.params, args.options)


if __name__ == "__main__":
    sys.exit(main())
