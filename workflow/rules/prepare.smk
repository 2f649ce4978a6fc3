rule prepare:
    input:
        [made(PATHS.corpus(corpus)) for corpus in P.corpora],
        [path for task in P.run.tasks for path in task_splits(task, [*SPLITS, "card"])],


rule extract_corpus:
    input:
        code=code("prepare"),
        data=lambda w: plain(P.corpus_files(w.corpus)),
    output:
        corpus=made(PATHS.corpus("{corpus}")),
    log:
        f"{LOGS}/extract_corpus/{{corpus}}.log",
    benchmark:
        f"{TIMINGS}/extract_corpus/{{corpus}}.tsv"
    priority: 90
    group:
        bundle("extract_corpus")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("extract_corpus", "mem_mb"),
        disk_mb=need("extract_corpus", "disk_mb"),
        runtime=need("extract_corpus", "runtime"),
        minutes=need("extract_corpus", "minutes"),
    params:
        others=lambda w: others(P.corpus_files(w.corpus)),
        settings=lambda w: P.settings("extract_corpus", corpus=w.corpus),
    message:
        "extracting the functions of corpus {wildcards.corpus} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli extract-corpus --params "$NEUROSIEVE_PARAMS" --corpus {wildcards.corpus} &> {log:q}'


rule prepare_task:
    input:
        code=code("prepare"),
        corpus=lambda w: [made(PATHS.corpus(c)) for c in P.task_corpora(w.task)],
        data=lambda w: plain(P.task_files(w.task)),
    output:
        splits=task_splits("{task}", SPLITS),
        card=made(PATHS.task("{task}") / "card"),
    log:
        f"{LOGS}/prepare_task/{{task}}.log",
    benchmark:
        f"{TIMINGS}/prepare_task/{{task}}.tsv"
    priority: 80
    group:
        bundle("prepare_task")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("prepare_task", "mem_mb"),
        disk_mb=need("prepare_task", "disk_mb"),
        runtime=need("prepare_task", "runtime"),
        minutes=need("prepare_task", "minutes"),
    params:
        others=lambda w: others(P.task_files(w.task)),
        settings=lambda w: P.settings("prepare_task", task=w.task),
    message:
        "preparing task {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli prepare-task --params "$NEUROSIEVE_PARAMS" --task {wildcards.task} &> {log:q}'
