rule probes:
    input:
        [made(PATHS.baselines(task)) for task in P.run.tasks],
        rows(PATHS.probes, P.probed),
        rows(PATHS.controls),
        made(PATHS.status()),


rule fit_baselines:
    input:
        code=code("probes"),
        splits=lambda w: task_splits(w.task, DEV),
        card=lambda w: made(PATHS.task(w.task) / "card"),
    output:
        baselines=made(PATHS.baselines("{task}")),
    log:
        f"{LOGS}/fit_baselines/{{task}}.log",
    benchmark:
        f"{TIMINGS}/fit_baselines/{{task}}.tsv"
    priority: 40
    group:
        bundle("fit_baselines")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("fit_baselines", "mem_mb"),
        disk_mb=need("fit_baselines", "disk_mb"),
        runtime=need("fit_baselines", "runtime"),
        minutes=need("fit_baselines", "minutes"),
    params:
        settings=P.settings("fit_baselines"),
    message:
        "fitting surface baselines of {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli fit-baselines --params "$NEUROSIEVE_PARAMS" --task {wildcards.task} &> {log:q}'


rule fit_probes:
    input:
        code=code("probes"),
        splits=lambda w: task_splits(w.task, DEV),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, DEV),
    output:
        probes=made(PATHS.probes("{model}", "{task}")),
    log:
        f"{LOGS}/fit_probes/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/fit_probes/{{model}}/{{task}}.tsv"
    priority: 40
    group:
        bundle("fit_probes")
    conda:
        environment
    threads: cores("fit_probes")
    resources:
        mem_mb=need("fit_probes", "mem_mb"),
        disk_mb=need("fit_probes", "disk_mb"),
        runtime=need("fit_probes", "runtime"),
        minutes=need("fit_probes", "minutes"),
    params:
        settings=P.settings("fit_probes"),
    message:
        "fitting probes on {wildcards.model}, {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli fit-probes --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule fit_controls:
    input:
        code=code("probes"),
        train=lambda w: task_splits(w.task, ["train"]),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, ["train"]),
        probes=lambda w: made(PATHS.probes(w.model, w.task)),
    output:
        controls=made(PATHS.controls("{model}", "{task}")),
    log:
        f"{LOGS}/fit_controls/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/fit_controls/{{model}}/{{task}}.tsv"
    group:
        bundle("fit_controls")
    conda:
        environment
    threads: cores("fit_controls")
    resources:
        mem_mb=need("fit_controls", "mem_mb"),
        disk_mb=need("fit_controls", "disk_mb"),
        runtime=need("fit_controls", "runtime"),
        minutes=need("fit_controls", "minutes"),
    params:
        settings=P.settings("fit_controls"),
    message:
        "fitting control tasks of {wildcards.model}, {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli fit-controls --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule decide_status:
    input:
        code=code("probes"),
        judge=[path for task in P.run.tasks for path in task_splits(task, ["judge"])],
        cards=[made(PATHS.task(task) / "card") for task in P.run.tasks],
        baselines=[made(PATHS.baselines(task)) for task in P.run.tasks],
        probes=rows(PATHS.probes, P.probed),
    output:
        status=made(PATHS.status()),
    log:
        f"{LOGS}/decide_status.log",
    benchmark:
        f"{TIMINGS}/decide_status.tsv"
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("decide_status", "mem_mb"),
        disk_mb=need("decide_status", "disk_mb"),
        runtime=need("decide_status", "runtime"),
        minutes=need("decide_status", "minutes"),
    params:
        settings=P.settings("decide_status"),
    message:
        "deciding the status of every row on judge (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli decide-status --params "$NEUROSIEVE_PARAMS" &> {log:q}'
