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
    conda:
        "../envs/neurosieve.yaml"
    threads: 1
    resources:
        mem_mb=2500,
    params:
        file=PARAMS_FILE,
        settings=P.settings("measure_redundancy"),
    message:
        "measuring redundancy of {wildcards.model} on {wildcards.task}"
    shell:
        "python -m neurosieve.cli measure-redundancy --params {params.file}"
        " --model {wildcards.model} --task {wildcards.task} &> {log}"
