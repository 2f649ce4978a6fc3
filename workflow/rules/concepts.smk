rule concepts:
    input:
        rows(PATHS.concepts),
        rows(PATHS.ablation),


rule describe_neurons:
    input:
        code=code("concepts"),
        judge=lambda w: task_splits(w.task, ["judge"]),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, ["train", "judge"]),
        search=lambda w: made(PATHS.search(w.model, w.task)),
    output:
        concepts=made(PATHS.concepts("{model}", "{task}")),
    log:
        f"{LOGS}/describe_neurons/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/describe_neurons/{{model}}/{{task}}.tsv"
    group:
        bundle("describe_neurons")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("describe_neurons", "mem_mb"),
        disk_mb=need("describe_neurons", "disk_mb"),
        runtime=need("describe_neurons", "runtime"),
        minutes=need("describe_neurons", "minutes"),
    params:
        settings=P.settings("describe_neurons"),
    message:
        "describing the chosen neurons of {wildcards.model}, {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli describe-neurons --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule ablate_neurons:
    input:
        code=code("concepts"),
        judge=lambda w: task_splits(w.task, ["judge"]),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, ["train"]),
        search=lambda w: made(PATHS.search(w.model, w.task)),
        weights=lambda w: plain(P.model_files(w.model, w.task)),
        finetuned=lambda w: finetuned(w.model, w.task),
    output:
        ablation=made(PATHS.ablation("{model}", "{task}")),
    log:
        f"{LOGS}/ablate_neurons/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/ablate_neurons/{{model}}/{{task}}.tsv"
    priority: 10
    group:
        bundle("ablate_neurons")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("ablate_neurons", "mem_mb"),
        disk_mb=need("ablate_neurons", "disk_mb"),
        runtime=need("ablate_neurons", "runtime"),
        minutes=need("ablate_neurons", "minutes"),
    params:
        others=lambda w: others(P.model_files(w.model, w.task)),
        settings=lambda w: P.settings("ablate_neurons", model=w.model, task=w.task),
    message:
        "changing the chosen neurons inside {wildcards.model}, {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli ablate-neurons --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"
