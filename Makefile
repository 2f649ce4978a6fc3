# The two commands: `make benchmark` and `make test`. Everything else here serves them.
# the first of these that runs; others are named: make env PYTHON=/path/to/python3.13
PYTHON ?= $(or $(shell for v in 11 12 13 14; do python3.$$v -c "" 2>/dev/null && echo python3.$$v && break; done),python3.11)
VENV := .venv
BIN := $(VENV)/bin
# the scripts of an environment name its folder, which some names of folders break: python -m needs none of them
RUN := $(BIN)/python -m
PIP := $(BIN)/python -I -m pip install --quiet --disable-pip-version-check --no-deps
export PATH := $(CURDIR)/$(BIN):$(PATH)
# no colours or bars in logs of others' tools; DVC asks nothing over the network
export DVC_NO_ANALYTICS := 1
PARAMS ?= params.yaml
BENCHMARK ?= default
# as it was typed, and never a part of a command: a name may hold spaces, quotes and $
export NEUROSIEVE_PARAMS := $(value PARAMS)
# containers often set it: every job would then compile again whatever it imports, seconds each
unexport PYTHONDONTWRITEBYTECODE
# this tree's own package, also where .venv is a link to an environment of another checkout
export PYTHONPATH := $(CURDIR)/src

.PHONY: benchmark bench test test-system verify-all lint env train format lock clean

benchmark: env  ## run the benchmark of $(PARAMS), print the leaderboard and where the site lies
	@NEUROSIEVE_PUBLISH=later $(RUN) neurosieve.cli run --params "$$NEUROSIEVE_PARAMS"
	@$(RUN) neurosieve.cli publish --params "$$NEUROSIEVE_PARAMS"
	@test -n "$$VIRTUAL_ENV" || echo "for the commands of the README in this shell: source $(BIN)/activate"

test: env lint  ## everything that needs no root: at most 15 minutes on 2 cores
	$(RUN) pytest -m "not system" -n 2 --dist loadfile --no-loadscope-reorder \
	  tests/workflow tests/contract tests/unit tests/cases  # the longest first, not the files with most tests

test-system: env  ## what needs Debian packages or a browser, or takes long: at most 45 minutes
	$(RUN) pytest -m system -rs tests  # a test that is skipped is told with its reason

bench: env  ## how fast each kind of work is, beside its floor and NeuroX (about two hours on an idle machine)
	$(BIN)/python benchmarks/bench.py $(BENCH_OPTIONS)

verify-all: env  ## one dvc.lock from each of many ways to run $(BENCHMARK), default or tiny (hours; docs/reproduce.md)
	$(BIN)/python benchmarks/verify_all.py --benchmark $(BENCHMARK); status=$$?; \
	  $(BIN)/python benchmarks/verify_all.py --benchmark $(BENCHMARK) --table && exit $$status

lint: env
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) snakefmt --check workflow
	$(RUN) snakemake --lint --configfile params.yaml

train: env  ## train the bundled models again (hours): writes to build/train, promote copies to models/
	$(RUN) snakemake --snakefile workflow/train.smk --cores all

format: env
	$(RUN) ruff check --fix .
	$(RUN) ruff format .
	$(RUN) snakefmt workflow

# where a Python was named and the environment is another's, nothing would be made and nothing said
env: $(VENV)/.installed
	@test "$(origin PYTHON)" = file || $(PYTHON) src/neurosieve/preflight.py $(VENV)

# torch has a line of its own beside the others, without a hash: machines that serve a CPU build of their own have
# another hash than the registry. PIP_OPTIONS passes an index on, for example the CPU index of PyTorch, whose wheels are
# ten times smaller.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c "" || { echo "no $(PYTHON) here: install Python 3.11 to 3.14, or name it: make env PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) src/neurosieve/preflight.py $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile $(PIP_OPTIONS) torch==2.13.0 & torch=$$!; \
	  $(PIP) --no-compile --require-hashes -r requirements.lock; locked=$$?; wait $$torch && exit $$locked
	$(PIP) --no-build-isolation --editable .
	touch $@

# One lock for Python 3.11 to 3.14, Linux and macOS: markers say what a platform needs. Versions stay as they are;
# UV_OPTIONS="--upgrade-package NAME" takes a newer one. uv is in no lock: `pip install uv`.
lock:  ## make requirements.lock from pyproject.toml, and the conda environment from it (needs uv, and network)
	@uv --version >/dev/null || { echo "no uv here: pip install uv"; exit 1; }
	uv pip compile --quiet --universal --generate-hashes --extra dev --no-emit-package torch --no-annotate --no-header \
	  $(UV_OPTIONS) pyproject.toml --output-file requirements.lock >/dev/null
	@$(MAKE) --no-print-directory workflow/envs/neurosieve.yaml

# the environment of `snakemake --sdm conda`
workflow/envs/neurosieve.yaml: requirements.lock
	@printf '%s\n' '# Made from requirements.lock by `make $@`; a test compares the two. For `--sdm conda`.' \
	  'channels:' '  - conda-forge' 'dependencies:' '  - python=3.11' '  - pip' '  - pip:' '      - torch==2.13.0' > $@
	@sed -nE 's/^([A-Za-z0-9_.-]+==[^ ;\]+).*/      - \1/p' $< >> $@

clean:  ## remove what was computed; results/ and models/ stay
	rm -rf build logs timings .snakemake
