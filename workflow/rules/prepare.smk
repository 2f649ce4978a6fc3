rule prepare:
    input:
        [
            made(PATHS.corpus(corpus))
            for corpus in sorted({c for t in P.run.tasks for c in P.task_corpora(t)})
        ],
        [path for task in P.run.tasks for path in task_splits(task, [*SPLITS, "card"])],


rule extract_corpus:
    input:
        code=code("prepare"),
        data=lambda w: P.corpus_files(w.corpus),
    output:
        corpus=made(PATHS.corpus("{corpus}")),
    log:
        f"{LOGS}/extract_corpus/{{corpus}}.log",
    benchmark:
        f"{TIMINGS}/extract_corpus/{{corpus}}.tsv"
    conda:
        "../envs/neurosieve.yaml"
    threads: 1
    resources:
        mem_mb=need("extract_corpus", "mem_mb"),
        disk_mb=need("extract_corpus", "disk_mb"),
        runtime=need("extract_corpus", "runtime"),
        minutes=need("extract_corpus", "minutes"),
    params:
        file=PARAMS_FILE,
        settings=lambda w: P.settings("extract_corpus", corpus=w.corpus),
    message:
        "extracting the functions of corpus {wildcards.corpus} ({resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        "python -m neurosieve.cli extract-corpus --params {params.file} --corpus {wildcards.corpus} &> {log}"


rule prepare_task:
    input:
        code=code("prepare"),
        corpus=lambda w: [made(PATHS.corpus(c)) for c in P.task_corpora(w.task)],
        data=lambda w: P.task_files(w.task),
    output:
        splits=task_splits("{task}", SPLITS),
        card=made(PATHS.task("{task}") / "card"),
    log:
        f"{LOGS}/prepare_task/{{task}}.log",
    benchmark:
        f"{TIMINGS}/prepare_task/{{task}}.tsv"
    conda:
        "../envs/neurosieve.yaml"
    threads: 1
    resources:
        mem_mb=need("prepare_task", "mem_mb"),
        disk_mb=need("prepare_task", "disk_mb"),
        runtime=need("prepare_task", "runtime"),
        minutes=need("prepare_task", "minutes"),
    params:
        file=PARAMS_FILE,
        settings=lambda w: P.settings("prepare_task", task=w.task),
    message:
        "preparing task {wildcards.task} ({resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        "python -m neurosieve.cli prepare-task --params {params.file} --task {wildcards.task} &> {log}"
