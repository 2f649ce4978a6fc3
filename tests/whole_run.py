"""Every job of a benchmark in one process, for a machine on which each start takes minutes: an emulated one.

    python tests/whole_run.py PARAMS BUILD [LAST]

The order is that of the chain; the pins must be set before. ``LAST`` ends it after that rule.
"""

import importlib
import sys

from neurosieve import chain, cli, config, numerics
from neurosieve.artifacts import Paths


def main(params_file: str, build: str, last: str = "") -> None:
    params = config.load_params(params_file)
    numerics.check(params.numerics)
    paths = Paths(params.benchmark, build)
    done = set()
    for artifact in chain.artifacts(params, paths):
        module, function, names, _ = cli.COMMANDS[artifact.rule.replace("_", "-")]
        given = {name: artifact.wildcards[name] for name in names}
        job = (artifact.rule, *given.values())
        if job in done or (last and last in {rule for rule, *_ in done} and artifact.rule != last):
            continue
        done.add(job)
        print(*job, file=sys.stderr, flush=True)
        getattr(importlib.import_module(f"neurosieve.{module}"), function)(params, paths, **given)


if __name__ == "__main__":
    main(*sys.argv[1:])
