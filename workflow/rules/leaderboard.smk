rule leaderboard:
    input:
        made(PATHS.leaderboard()),


rule build_leaderboard:
    input:
        code=code("leaderboard"),
        cards=[made(PATHS.task(task) / "card") for task in P.run.tasks],
        # labels and files of test, to compare models on the same rows
        tests=[made(PATHS.task(task) / "test") for task in P.run.tasks],
        # the manifests: what each layer costs
        activations=rows(lambda m, t: PATHS.activations(m, t, "train")),
        redundancy=rows(PATHS.redundancy),
        baselines=[made(PATHS.baselines(task)) for task in P.run.tasks],
        probes=rows(PATHS.probes),
        controls=rows(PATHS.controls),
        status=made(PATHS.status()),
        search=rows(PATHS.search),
        scores=rows(PATHS.scores),
        robustness=robustness(),
        transfer=transfers(),
        published=published(),
        concepts=rows(PATHS.concepts),
        ablation=ablations(),
        attribution=attributions(),
        faithfulness=faithfulness(),
        effects=effects(),
        lenses=lenses(),
        languages=languages(),
        figures=lambda w: plain(P.figure_files()),
    output:
        leaderboard=made(PATHS.leaderboard()),
    log:
        f"{LOGS}/build_leaderboard.log",
    benchmark:
        f"{TIMINGS}/build_leaderboard.tsv"
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("build_leaderboard", "mem_mb"),
        disk_mb=need("build_leaderboard", "disk_mb"),
        runtime=need("build_leaderboard", "runtime"),
        minutes=need("build_leaderboard", "minutes"),
    params:
        others=lambda w: others(P.figure_files()),
        settings=P.settings("build_leaderboard"),
    message:
        "building the leaderboard (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli build-leaderboard --params "$NEUROSIEVE_PARAMS" &> {log:q}'
