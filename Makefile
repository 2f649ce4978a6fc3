# The two commands: `make benchmark` and `make test`. Everything else here serves them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# no colours or bars in logs of others' tools; DVC asks nothing over the network
export DVC_NO_ANALYTICS := 1
PARAMS ?= params.yaml

.PHONY: benchmark test test-system lint env train format clean

benchmark: env  ## run the benchmark of $(PARAMS), print the leaderboard and where the page lies
	NEUROSIEVE_PUBLISH=later snakemake --configfile $(PARAMS)
	neurosieve publish --params $(PARAMS)

test: env lint  ## everything that needs no root: at most 15 minutes on 2 cores
	pytest -m "not system" -n 2 --dist loadfile tests/workflow tests/contract tests/unit  # the longest first

test-system: env  ## what needs Debian packages or a browser: at most 45 minutes
	pytest -m system tests

lint: env
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check workflow
	snakemake --lint --configfile params.yaml

train: env  ## train the bundled models again (hours): writes to build/train, promote copies to models/
	snakemake --snakefile workflow/train.smk --cores all

format: env
	ruff check --fix .
	ruff format .
	snakefmt workflow

env: $(VENV)/.installed

# torch has a line of its own, without a hash: machines that serve a CPU build of their own have another hash than the
# registry. PIP_OPTIONS passes an index on, for example the CPU index of PyTorch, whose wheels are ten times smaller.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile $(PIP_OPTIONS) torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# the environment of `snakemake --sdm conda`
workflow/envs/neurosieve.yaml: requirements.lock
	@printf '%s\n' '# Made from requirements.lock by `make $@`; a test compares the two. For `--sdm conda`.' \
	  'channels:' '  - conda-forge' 'dependencies:' '  - python=3.11' '  - pip' '  - pip:' '      - torch==2.13.0' > $@
	@sed -nE 's/^([A-Za-z0-9_.-]+==[^ ;\]+).*/      - \1/p' $< >> $@

clean:  ## remove what was computed; results/ and models/ stay
	rm -rf build logs timings .snakemake
