rule redundancy:
    input:
        rows(PATHS.redundancy),


rule measure_redundancy:
    input:
        code=code("redundancy"),
        rows=lambda w: task_splits(w.task, ["train"]),
        train=lambda w: activation_splits(w.model, w.task, ["train"]),
    output:
        redundancy=made(PATHS.redundancy("{model}", "{task}")),
    log:
        f"{LOGS}/measure_redundancy/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/measure_redundancy/{{model}}/{{task}}.tsv"
    group:
        bundle("measure_redundancy")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("measure_redundancy", "mem_mb"),
        disk_mb=need("measure_redundancy", "disk_mb"),
        runtime=need("measure_redundancy", "runtime"),
        minutes=need("measure_redundancy", "minutes"),
    params:
        settings=P.settings("measure_redundancy"),
    message:
        "measuring redundancy of {wildcards.model} on {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli measure-redundancy --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"
