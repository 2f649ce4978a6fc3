"""A stand-in for conda that speaks what Snakemake asks of it; the activation is a real one.

`env create` makes an environment whose Python is a given command, and notes what it runs; there is nothing to install.
"""

from pathlib import Path

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
    cp "$root/python" "$prefix/bin/python";;
  "clean "*) ;;
  *) echo "the stand-in knows no conda $*" >&2; exit 1;;
esac
"""
PYTHON = """#!/bin/sh
echo "$CONDA_PREFIX $*" >> "$CONDA_PREFIX/ran"
exec {} "$@"
"""
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'


def make(root: Path, python: str) -> Path:
    """Write the stand-in below ``root``; ``python`` is the shell command that its environments run. Returns its bin."""
    (root / "bin").mkdir(parents=True)
    for name, text in (("bin/conda", CONDA), ("bin/activate", ACTIVATE), ("python", PYTHON.format(python))):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    return root / "bin"


def environment(checkout: Path) -> Path:
    """The one environment that Snakemake had made in a checkout."""
    (made,) = (path for path in (checkout / ".snakemake" / "conda").iterdir() if path.is_dir())
    return made


def ran(checkout: Path) -> list[str]:
    """A line for each run of the environment's Python: the activated prefix, and its arguments."""
    return (environment(checkout) / "ran").read_text().splitlines()
