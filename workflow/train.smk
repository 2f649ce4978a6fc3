# Trains the bundled models from scratch; a workflow of its own, whose result `neurosieve promote` copies to models/.
#   snakemake -s workflow/train.smk --cores 2
# A stopped training goes on from its last state: run the same command again.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


configfile: "workflow/train.yaml"


BUILD = "build/train"
# Always in the order of time: what a rule needs of the file stands in its `params:`, so that a new number of
# steps does not prepare the corpus again.
PARAMS = ancient("workflow/train.yaml")
CODE = "src/neurosieve"


def environment(wildcards):
    """The file for `--sdm conda`: its braces doubled, for Snakemake takes the whole path for a pattern."""
    path = Path("workflow/envs/neurosieve.yaml").absolute().as_posix()
    return path.replace("{", "{{").replace("}", "}}")


wildcard_constraints:
    model="|".join(config["models"]),


localrules:
    all,


rule all:
    input:
        expand(f"{BUILD}/{{model}}/evaluation.json", model=config["models"]),


rule prepare_corpus:
    input:
        params=PARAMS,
        code=[
            f"{CODE}/sources/wheels.py",
            f"{CODE}/prepare/python_source.py",
            f"{CODE}/train/data.py",
        ],
    output:
        train=f"{BUILD}/corpus/train.jsonl",
        heldout=f"{BUILD}/corpus/heldout.jsonl",
        summary=f"{BUILD}/corpus/corpus.json",
    log:
        f"{BUILD}/logs/prepare_corpus.log",
    benchmark:
        f"{BUILD}/benchmarks/prepare_corpus.tsv"
    conda:
        environment
    threads: 2
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        folder=subpath(output.summary, parent=True),
        corpus=config["corpus"],
        seed=config["seed"],
    message:
        "selecting the functions of the pinned wheels"
    shell:
        "python -m neurosieve.train prepare --params {input.params} --output {params.folder}"
        " --workers {threads} > {log} 2>&1"


rule learn_tokenizer:
    input:
        params=PARAMS,
        train=rules.prepare_corpus.output.train,
        heldout=rules.prepare_corpus.output.heldout,
        code=[f"{CODE}/train/tokenizer.py"],
    output:
        tokenizer=f"{BUILD}/tokenizer/tokenizer.json",
        config=f"{BUILD}/tokenizer/tokenizer_config.json",
        tokens=f"{BUILD}/tokenizer/tokens.safetensors",
    log:
        f"{BUILD}/logs/learn_tokenizer.log",
    benchmark:
        f"{BUILD}/benchmarks/learn_tokenizer.tsv"
    conda:
        environment
    threads: 2
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        corpus=subpath(input.train, parent=True),
        folder=subpath(output.tokens, parent=True),
        tokenizer=config["tokenizer"],
    message:
        "learning the tokenizer and encoding the corpus"
    shell:
        "python -m neurosieve.train tokenizer --params {input.params} --corpus {params.corpus}"
        " --output {params.folder} > {log} 2>&1"


rule fit_model:
    input:
        params=PARAMS,
        tokens=rules.learn_tokenizer.output.tokens,
        code=[f"{CODE}/train/loop.py"],
    output:
        weights=f"{BUILD}/{{model}}/model/model.safetensors",
        config=f"{BUILD}/{{model}}/model/config.json",
        losses=f"{BUILD}/{{model}}/losses.csv",
        run=f"{BUILD}/{{model}}/run.json",
    log:
        f"{BUILD}/logs/fit_model/{{model}}.log",
    benchmark:
        f"{BUILD}/benchmarks/fit_model/{{model}}.tsv"
    conda:
        environment
    threads: 2
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        tokens=subpath(input.tokens, parent=True),
        folder=subpath(output.run, parent=True),
        model=lambda wildcards: config["models"][wildcards.model],
        seed=config["seed"],
        # Large blocks of memory are kept and on huge pages: a third more tokens a second; the numbers are the same
        memory="MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
    message:
        "training {wildcards.model}: {params.model[steps]} steps; progress in {log}"
    shell:
        "{params.memory} OMP_WAIT_POLICY=passive python -m neurosieve.train fit --params {input.params}"
        " --model {wildcards.model} --tokens {params.tokens} --output {params.folder}"
        " --threads {threads} >> {log} 2>&1"


rule evaluate_model:
    input:
        params=PARAMS,
        weights=rules.fit_model.output.weights,
        run=rules.fit_model.output.run,
        tokens=rules.learn_tokenizer.output.tokens,
        code=[f"{CODE}/train/evaluate.py"],
    output:
        evaluation=f"{BUILD}/{{model}}/evaluation.json",
    log:
        f"{BUILD}/logs/evaluate_model/{{model}}.log",
    benchmark:
        f"{BUILD}/benchmarks/evaluate_model/{{model}}.tsv"
    conda:
        environment
    threads: 2
    resources:
        mem_mb=6000,
        runtime=20,
    params:
        tokens=subpath(input.tokens, parent=True),
        folder=subpath(output.evaluation, parent=True),
    message:
        "measuring the held-out loss of {wildcards.model}"
    shell:
        "python -m neurosieve.train evaluate --params {input.params} --model {wildcards.model}"
        " --tokens {params.tokens} --output {params.folder} --threads {threads} > {log} 2>&1"
