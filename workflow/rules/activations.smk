rule activations:
    input:
        [
            path
            for m in P.run.models
            for t in P.run.tasks
            for path in activation_splits(m, t, SPLITS)
        ],


rule dump_activations:
    input:
        code=code("activations"),
        splits=lambda w: task_splits(w.task, SPLITS),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        weights=lambda w: P.model_files(w.model),
    output:
        splits=activation_splits("{model}", "{task}", DEV),
        # an output of its own: score_test alone takes it for an input
        test=made(PATHS.activations("{model}", "{task}", "test")),
    log:
        f"{LOGS}/dump_activations/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/dump_activations/{{model}}/{{task}}.tsv"
    conda:
        "../envs/neurosieve.yaml"
    threads: 1
    resources:
        mem_mb=2500,
    params:
        file=PARAMS_FILE,
        settings=lambda w: P.settings("dump_activations", model=w.model, task=w.task),
    message:
        "dumping activations of {wildcards.model} on {wildcards.task}"
    shell:
        "NEUROSIEVE_THREADS={threads} python -m neurosieve.cli dump-activations --params {params.file}"
        " --model {wildcards.model} --task {wildcards.task} &> {log}"
