rule site:
    input:
        made(PATHS.site()),


rule build_site:
    input:
        code=code("site"),
        leaderboard=made(PATHS.leaderboard()),
    output:
        site=made(PATHS.site()),
        # of `snakemake --report`, which takes single files
        figures=report(
            f"{PATHS.site()}/report.html",
            caption="../report/figures.rst",
            category="Results",
        ),
    log:
        f"{LOGS}/build_site.log",
    benchmark:
        f"{TIMINGS}/build_site.tsv"
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("build_site", "mem_mb"),
        disk_mb=need("build_site", "disk_mb"),
        runtime=need("build_site", "runtime"),
        minutes=need("build_site", "minutes"),
    params:
        settings=P.settings("build_site"),
    message:
        "building the site (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'python -m neurosieve.cli build-site --params "$NEUROSIEVE_PARAMS" &> {log:q}'
