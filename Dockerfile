# The environment of requirements.lock; code, models and data come from a checkout, mounted at /benchmark:
#   docker build --tag neurosieve .
#   docker run --rm --volume "$PWD:/benchmark" neurosieve neurosieve run
# `make env` makes it, as everywhere else, so nothing is said twice. PIP_OPTIONS passes an index on, such as PyTorch's CPU
# index, without which torch brings CUDA: --build-arg PIP_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu"
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/neurosieve
COPY Makefile pyproject.toml requirements.lock ./
COPY src src
ARG PIP_OPTIONS=
RUN make env PYTHON=python PIP_OPTIONS="$PIP_OPTIONS"
ENV PATH=/opt/neurosieve/.venv/bin:$PATH \
    PYTHONPATH=/benchmark/src
WORKDIR /benchmark
CMD ["neurosieve", "--help"]
