"""`snakemake --sdm conda`, with a stand-in for conda that speaks what Snakemake asks of it, and a real activation."""

import sys
from pathlib import Path

import yaml

# `env create` makes an environment whose Python is this one, and notes what it runs; there is nothing to install from.
CONDA = """#!/bin/sh
root=$(dirname "$(dirname "$0")")
case "$*" in
  "info --json") echo "{\\"conda_prefix\\": \\"$root\\", \\"platform\\": \\"linux-64\\"}";;
  "--version") echo "conda 25.9.1";;
  "config --get channel_priority --json") echo '{"get": {"channel_priority": "strict"}}';;
  "env create "*)
    for word; do
      case "$before" in --file) file=$word;; --prefix) prefix=$word;; esac
      before=$word
    done
    mkdir -p "$prefix/bin"
    cp "$file" "$prefix/environment.yaml"
    printf '#!/bin/sh\\necho "$CONDA_PREFIX $*" >> "%s/ran"\\nexec "@PYTHON@" "$@"\\n' "$prefix" > "$prefix/bin/python"
    chmod +x "$prefix/bin/python";;
  "clean "*) ;;
  *) echo "the stand-in knows no conda $*" >&2; exit 1;;
esac
"""
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'


def test_X8_the_python_of_the_environment_runs_the_jobs(make_checkout, tmp_path):
    checkout = make_checkout()
    tools = tmp_path / "conda" / "bin"
    tools.mkdir(parents=True)
    (tools / "conda").write_text(CONDA.replace("@PYTHON@", sys.executable))
    (tools / "conda").chmod(0o755)
    (tools / "activate").write_text(ACTIVATE)
    checkout.env["PATH"] += f":{tools}"  # behind the environment that plans, as an activated one is
    checkout.snakemake("--sdm", "conda", "--until", "extract_corpus")
    (made,) = (p for p in (checkout.root / ".snakemake" / "conda").iterdir() if p.is_dir())
    ran = (made / "ran").read_text().splitlines()
    assert len(ran) == 1 and ran[0].startswith(f"{made} -m neurosieve.cli extract-corpus")
    wanted = yaml.safe_load(Path("workflow/envs/neurosieve.yaml").read_text())
    assert yaml.safe_load((made / "environment.yaml").read_text()) == wanted
    manifest = checkout.root / "build" / "tiny" / "prepare" / "corpora" / "tiny" / "manifest.json"
    assert manifest.is_file()

    # without --sdm the Python that plans runs them
    manifest.unlink()
    checkout.snakemake("--until", "extract_corpus")
    assert manifest.is_file() and (made / "ran").read_text().splitlines() == ran
