rule subsets:
    input:
        rows(PATHS.search),
        rows(PATHS.scores),
        published(),
        robustness(),
        transfers(),


rule search_subsets:
    input:
        code=code("subsets"),
        splits=lambda w: task_splits(w.task, DEV),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, DEV),
        baselines=lambda w: made(PATHS.baselines(w.task)),
        probes=lambda w: [
            made(PATHS.probes(m, w.task)) for m in [w.model, *P.twins_of(w.model)]
        ],
    output:
        search=made(PATHS.search("{model}", "{task}")),
    log:
        f"{LOGS}/search_subsets/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/search_subsets/{{model}}/{{task}}.tsv"
    priority: 50
    group:
        bundle("search_subsets")
    conda:
        environment
    threads: cores("search_subsets")
    resources:
        mem_mb=need("search_subsets", "mem_mb"),
        disk_mb=need("search_subsets", "disk_mb"),
        runtime=need("search_subsets", "runtime"),
        minutes=need("search_subsets", "minutes"),
    params:
        settings=lambda w: P.settings("search_subsets", task=w.task),
    message:
        "searching the smallest subset of {wildcards.model} for {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli search-subsets --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule check_robustness:
    input:
        code=code("subsets"),
        splits=lambda w: task_splits(w.task, DEV),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, DEV),
        baselines=lambda w: made(PATHS.baselines(w.task)),
        probes=lambda w: [
            made(PATHS.probes(m, w.task)) for m in [w.model, *P.twins_of(w.model)]
        ],
        search=lambda w: made(PATHS.search(w.model, w.task)),
    output:
        robustness=made(PATHS.robustness("{model}", "{task}")),
    log:
        f"{LOGS}/check_robustness/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/check_robustness/{{model}}/{{task}}.tsv"
    priority: 10
    group:
        bundle("check_robustness")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("check_robustness", "mem_mb"),
        disk_mb=need("check_robustness", "disk_mb"),
        runtime=need("check_robustness", "runtime"),
        minutes=need("check_robustness", "minutes"),
    params:
        settings=lambda w: P.settings("check_robustness", task=w.task),
    message:
        "asking whether the subset of {wildcards.model} for {wildcards.task} is the only one (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli check-robustness --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule transfer_subsets:
    input:
        code=code("subsets"),
        splits=[path for t in P.run.tasks for path in task_splits(t, DEV)],
        cards=[made(PATHS.task(t) / "card") for t in P.run.tasks],
        activations=lambda w: [
            path for t in P.run.tasks for path in activation_splits(w.model, t, DEV)
        ],
        probes=lambda w: [made(PATHS.probes(w.model, t)) for t in P.run.tasks],
        search=lambda w: [made(PATHS.search(w.model, t)) for t in P.run.tasks],
    output:
        transfer=made(PATHS.transfer("{model}")),
    log:
        f"{LOGS}/transfer_subsets/{{model}}.log",
    benchmark:
        f"{TIMINGS}/transfer_subsets/{{model}}.tsv"
    priority: 10
    group:
        bundle("transfer_subsets")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("transfer_subsets", "mem_mb"),
        disk_mb=need("transfer_subsets", "disk_mb"),
        runtime=need("transfer_subsets", "runtime"),
        minutes=need("transfer_subsets", "minutes"),
    params:
        settings=P.settings("transfer_subsets"),
    message:
        "trying the subset of each task of {wildcards.model} on the other tasks (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli transfer-subsets --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} &> {log:q}"


rule score_test:
    input:
        code=code("subsets"),
        test=lambda w: task_splits(w.task, ["test"]),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: [
            path
            for m in [w.model, *P.twins_of(w.model)]
            for path in activation_splits(m, w.task, ["test"])
        ],
        baselines=lambda w: made(PATHS.baselines(w.task)),
        # the references of the twins
        probes=lambda w: [made(PATHS.probes(m, w.task)) for m in P.twins_of(w.model)],
        controls=lambda w: made(PATHS.controls(w.model, w.task)),
        status=made(PATHS.status()),
        search=lambda w: made(PATHS.search(w.model, w.task)),
    output:
        scores=made(PATHS.scores("{model}", "{task}")),
    log:
        f"{LOGS}/score_test/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/score_test/{{model}}/{{task}}.tsv"
    group:
        bundle("score_test")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("score_test", "mem_mb"),
        disk_mb=need("score_test", "disk_mb"),
        runtime=need("score_test", "runtime"),
        minutes=need("score_test", "minutes"),
    params:
        settings=lambda w: P.settings("score_test", task=w.task),
    message:
        "scoring what was frozen of {wildcards.model}, {wildcards.task} on test (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli score-test --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


# Chooses on test, as published; only the leaderboard reads it, and only where run.protocols asks for it.
rule reproduce_published:
    input:
        code=code("subsets"),
        splits=lambda w: task_splits(w.task, SPLITS),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, SPLITS),
    output:
        published=made(PATHS.published("{model}", "{task}")),
    log:
        f"{LOGS}/reproduce_published/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/reproduce_published/{{model}}/{{task}}.tsv"
    group:
        bundle("reproduce_published")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("reproduce_published", "mem_mb"),
        disk_mb=need("reproduce_published", "disk_mb"),
        runtime=need("reproduce_published", "runtime"),
        minutes=need("reproduce_published", "minutes"),
    params:
        settings=P.settings("reproduce_published"),
    message:
        "reproducing the published protocol on {wildcards.model}, {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli reproduce-published --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"
