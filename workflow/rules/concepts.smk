rule concepts:
    input:
        rows(PATHS.concepts),
        ablations(),
        attributions(),
        faithfulness(),
        effects(),
        lenses(),
        languages(),


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


rule attribute_neurons:
    input:
        code=code("concepts"),
        splits=lambda w: task_splits(w.task, ["train", "judge"]),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, ["train", "judge"]),
        probes=lambda w: made(PATHS.probes(w.model, w.task)),
        search=lambda w: made(PATHS.search(w.model, w.task)),
        weights=lambda w: plain(P.model_files(w.model, w.task)),
        finetuned=lambda w: finetuned(w.model, w.task),
    output:
        attribution=made(PATHS.attribution("{model}", "{task}")),
    log:
        f"{LOGS}/attribute_neurons/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/attribute_neurons/{{model}}/{{task}}.tsv"
    priority: 20
    group:
        bundle("attribute_neurons")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("attribute_neurons", "mem_mb"),
        disk_mb=need("attribute_neurons", "disk_mb"),
        runtime=need("attribute_neurons", "runtime"),
        minutes=need("attribute_neurons", "minutes"),
    params:
        others=lambda w: others(P.model_files(w.model, w.task)),
        settings=lambda w: P.settings("attribute_neurons", model=w.model, task=w.task),
    message:
        "asking which neurons the predictions of {wildcards.model} go by, {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli attribute-neurons --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule measure_faithfulness:
    input:
        code=code("concepts"),
        splits=lambda w: task_splits(w.task, ["train", "judge"]),
        card=lambda w: made(PATHS.task(w.task) / "card"),
        activations=lambda w: activation_splits(w.model, w.task, ["train", "judge"]),
        probes=lambda w: made(PATHS.probes(w.model, w.task)),
        search=lambda w: [
            made(PATHS.search(m, w.task))
            for m in [w.model, *P.searched_twins_of(w.model)]
        ],
        attribution=lambda w: attributions([(w.model, w.task)]),
        weights=lambda w: plain(P.model_files(w.model, w.task)),
        finetuned=lambda w: finetuned(w.model, w.task),
    output:
        faithfulness=made(PATHS.faithfulness("{model}", "{task}")),
    log:
        f"{LOGS}/measure_faithfulness/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/measure_faithfulness/{{model}}/{{task}}.tsv"
    priority: 10
    group:
        bundle("measure_faithfulness")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("measure_faithfulness", "mem_mb"),
        disk_mb=need("measure_faithfulness", "disk_mb"),
        runtime=need("measure_faithfulness", "runtime"),
        minutes=need("measure_faithfulness", "minutes"),
    params:
        others=lambda w: others(P.model_files(w.model, w.task)),
        settings=lambda w: P.settings(
            "measure_faithfulness", model=w.model, task=w.task
        ),
    message:
        "ablating, and keeping alone, the neurons of {wildcards.model}, {wildcards.task} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli measure-faithfulness --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule measure_effects:
    input:
        code=code("concepts"),
        judge=[path for t in P.run.tasks for path in task_splits(t, ["judge"])],
        cards=[made(PATHS.task(t) / "card") for t in P.run.tasks],
        activations=lambda w: [
            path
            for t in P.run.tasks
            for path in activation_splits(w.model, t, ["train", "judge"])
        ],
        search=lambda w: [made(PATHS.search(w.model, t)) for t in P.run.tasks],
        weights=lambda w: plain(P.model_files(w.model)),
    output:
        effects=made(PATHS.effects("{model}")),
    log:
        f"{LOGS}/measure_effects/{{model}}.log",
    benchmark:
        f"{TIMINGS}/measure_effects/{{model}}.tsv"
    priority: 10
    group:
        bundle("measure_effects")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("measure_effects", "mem_mb"),
        disk_mb=need("measure_effects", "disk_mb"),
        runtime=need("measure_effects", "runtime"),
        minutes=need("measure_effects", "minutes"),
    params:
        others=lambda w: others(P.model_files(w.model)),
        settings=lambda w: P.settings("measure_effects", model=w.model),
    message:
        "trying the neurons of each task of {wildcards.model} on the predictions of the others (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli measure-effects --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} &> {log:q}"


rule apply_lens:
    input:
        code=code("concepts"),
        # of its row, and of the others that a lens opens
        tasks=lambda w: [
            path
            for t in dict.fromkeys(t for _, t in P.lens_rows(w.lens, w.model, w.task))
            for path in task_splits(t, [*DEV, "card"])
        ],
        rows=lambda w: [
            path
            for m, t in P.lens_rows(w.lens, w.model, w.task)
            for path in [
                *activation_splits(m, t, DEV),
                made(PATHS.probes(m, t)),
                made(PATHS.search(m, t)),
            ]
        ],
        weights=lambda w: plain(P.model_files(w.model, w.task)),
        finetuned=lambda w: finetuned(w.model, w.task),
    output:
        lens=made(PATHS.lens("{lens}", "{model}", "{task}")),
    log:
        f"{LOGS}/apply_lens/{{lens}}/{{model}}/{{task}}.log",
    benchmark:
        f"{TIMINGS}/apply_lens/{{lens}}/{{model}}/{{task}}.tsv"
    priority: 10
    group:
        bundle("apply_lens")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("apply_lens", "mem_mb"),
        disk_mb=need("apply_lens", "disk_mb"),
        runtime=need("apply_lens", "runtime"),
        minutes=need("apply_lens", "minutes"),
    params:
        others=lambda w: others(P.model_files(w.model, w.task)),
        settings=lambda w: P.settings(
            "apply_lens", lens=w.lens, model=w.model, task=w.task
        ),
    message:
        "looking at the neurons of {wildcards.model}, {wildcards.task} through the lens {wildcards.lens} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli apply-lens --params "$NEUROSIEVE_PARAMS"'
        " --lens {wildcards.lens} --model {wildcards.model} --task {wildcards.task} &> {log:q}"


rule find_language_neurons:
    input:
        code=code("concepts"),
        corpora=[made(PATHS.corpus(c)) for c in P.language_corpora],
        weights=lambda w: plain(P.model_files(w.model)),
    output:
        languages=made(PATHS.languages("{model}")),
    log:
        f"{LOGS}/find_language_neurons/{{model}}.log",
    benchmark:
        f"{TIMINGS}/find_language_neurons/{{model}}.tsv"
    priority: 10
    group:
        bundle("find_language_neurons")
    conda:
        environment
    threads: 1
    resources:
        mem_mb=need("find_language_neurons", "mem_mb"),
        disk_mb=need("find_language_neurons", "disk_mb"),
        runtime=need("find_language_neurons", "runtime"),
        minutes=need("find_language_neurons", "minutes"),
    params:
        others=lambda w: others(P.model_files(w.model)),
        settings=lambda w: P.settings("find_language_neurons", model=w.model),
    message:
        "looking for neurons of single languages in {wildcards.model} (disk {resources.disk_mb} MB, about {resources.minutes} min)"
    shell:
        'NEUROSIEVE_THREADS={threads} python -m neurosieve.cli find-language-neurons --params "$NEUROSIEVE_PARAMS"'
        " --model {wildcards.model} &> {log:q}"
