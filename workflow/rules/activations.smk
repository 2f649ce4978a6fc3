rule activations:
    input:
        [
            path
            for m in P.probed
            for t in P.run.tasks
            for path in activation_splits(m, t, SPLITS)
        ],


# A killed training goes on from its last checkpoint: run the same command again.
rule finetune_model:
    input:
        code=code("activations"),
        train=lambda w: task_splits(w.task, ["train"]),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        weights=lambda w: plain(P.model_files(w.model)),
    output:
        model=made(PATHS.finetuned("{model}", "{task}")),
    log:
        f"{LOGS}/finetune_model/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/finetune_model/{{model}}/{{task}}.tsv"
    priority: 20
    group:
        bundle("finetune_model")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("finetune_model", "mem_mb"),
        disk_mb=need("finetune_model", "disk_mb"),
        runtime=need("finetune_model", "runtime"),
        minutes=need("finetune_model", "minutes"),
    params:
        others=lambda w: others(P.model_files(w.model)),
        settings=lambda w: P.settings("finetune_model", model=w.model, task=w.task),
    message:
        "training {wildcards.model} on {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli finetune-model --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule dump_activations:
    input:
        code=code("activations"),
        splits=lambda w: task_splits(w.task, SPLITS),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        weights=lambda w: plain(P.model_files(w.model, w.task)),
        finetuned=lambda w: finetuned(w.model, w.task),
    output:
        splits=activation_splits("{model}", "{task}", DEV),
        # an output of its own: score_test alone takes it for an input
        test=made(PATHS.activations("{model}", "{task}", "test")),
    log:
        f"{LOGS}/dump_activations/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/dump_activations/{{model}}/{{task}}.tsv"
    priority: 30
    group:
        bundle("dump_activations")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("dump_activations", "mem_mb"),
        disk_mb=need("dump_activations", "disk_mb"),
        runtime=need("dump_activations", "runtime"),
        minutes=need("dump_activations", "minutes"),
    params:
        others=lambda w: others(P.model_files(w.model, w.task)),
        settings=lambda w: P.settings("dump_activations", model=w.model, task=w.task),
    message:
        "dumping activations of {wildcards.model} on {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli dump-activations --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"
