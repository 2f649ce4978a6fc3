"""What `make env` looks at before it downloads anything: the version of Python, and whether the pins hold here.

Run as a script by the Python that is to make the environment, before any package is there: it imports the standard
library and its neighbour numerics.py alone. Its argument is the environment's folder. Reads the params file, and what
the environment says of its Python; writes nothing.
"""

import os
import re
import sys

# numerics.py and this file alone are on the path of a script in this folder; older Pythons must get as far as this
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit(
        "error: found Python {}.{}, NeuroSieve needs 3.11 to 3.14: install one, or name it: "
        "make env PYTHON=/path/to/python3.11; nothing was installed".format(*sys.version_info[:2])
    )

import numerics


def main() -> None:
    """Say in one line where the params file asks for portable numerics that this machine has not.

    Exits with a sentence in a folder that no tool of the environment takes, and where the environment is of another
    Python: `python -m venv` would leave the packages of the one beside those of the other.
    """
    venv = sys.argv[1] if sys.argv[1:] else ".venv"
    here = "{}.{}".format(*sys.version_info[:2])
    if (found := python_of(venv)) not in (None, here):
        sys.exit(
            f"error: the environment {venv} is of Python {found}, and this is {here}: name that one (make env "
            f"PYTHON=python{found}), or remove {venv} and run this again; nothing was changed"
        )
    if "\n" in os.getcwd():  # noqa: PTH109
        sys.exit(
            "error: the folder of this checkout has a line break in its name, and the tools of the environment do not "
            f"take it: rename {os.getcwd()!r}; nothing was installed"  # noqa: PTH109
        )
    name = os.environ.get("NEUROSIEVE_PARAMS", "params.yaml")
    try:
        with open(name, encoding="utf-8") as file:  # noqa: PTH123
            portable = re.search(r"^numerics: *[\"']?portable", file.read(), re.M) is not None
    except OSError:
        portable = False  # said by the run, with what to name
    if portable and (line := numerics.notice("portable")):
        print(f"note: {line}", file=sys.stderr)


def python_of(venv: str) -> str | None:
    """Version of the Python of an environment, such as 3.11; None where there is none, or it does not say."""
    try:
        with open(os.path.join(venv, "pyvenv.cfg"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
            said = re.search(r"^version(?:_info)? *= *(\d+\.\d+)", file.read(), re.M)
    except OSError:
        return None
    return said[1] if said else None


if __name__ == "__main__":
    main()
