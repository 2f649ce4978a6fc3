"""`python -m neurosieve.train VERB ...`: what the rules of workflow/train.smk call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from neurosieve.sources.wheels import DEFAULT_CACHE, WheelError
from neurosieve.train.params import TrainError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m neurosieve.train", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text)

    prepare = verb("prepare", "fetch the wheels and select the functions")
    prepare.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder of downloaded wheels")
    prepare.add_argument("--workers", type=int, default=1, help="processes")
    tokenizer = verb("tokenizer", "learn the tokenizer and encode the functions")
    tokenizer.add_argument("--corpus", type=Path, required=True, help="folder that `prepare` wrote")
    fit = verb("fit", "train one model, going on from its last state")
    evaluate = verb("evaluate", "held-out loss of a finished model")
    for command in (fit, evaluate):
        command.add_argument("--model", required=True, help="its name in the params file")
        command.add_argument("--tokens", type=Path, required=True, help="folder that `tokenizer` wrote")
        command.add_argument("--threads", type=int, default=1)
    promote = verb("promote", "copy a finished model to models/")
    promote.add_argument("model")
    for command in (prepare, tokenizer, fit, evaluate, promote):
        command.add_argument("--params", type=Path, required=True, help="params file of the training")
        if command is not promote:
            command.add_argument("--output", type=Path, required=True, help="folder to write to")
    promote.add_argument("--build", type=Path, default=Path("build/train"))
    promote.add_argument("--models", type=Path, default=Path("models"))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; errors of the input go to stderr as one message and give exit status 1."""
    args = _parser().parse_args(argv)
    try:
        # Imported late: `promote --help` need not wait for torch
        if args.verb == "prepare":
            from neurosieve.train import data

            data.run(args.params, args.output, args.cache, args.workers)
        elif args.verb == "tokenizer":
            from neurosieve.train import tokenizer

            tokenizer.run(args.params, args.corpus, args.output)
        elif args.verb == "fit":
            from neurosieve.train import loop

            loop.fit(args.params, args.model, args.tokens, args.output, args.threads)
        elif args.verb == "evaluate":
            from neurosieve.train import evaluate

            evaluate.run(args.params, args.model, args.tokens, args.output, args.threads)
        else:
            from neurosieve.train.promote import promote

            print("\n".join(promote(args.model, args.params, args.build, args.models)))
    except (TrainError, WheelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
