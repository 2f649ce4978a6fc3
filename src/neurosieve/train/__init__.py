"""Training of the bundled models, from pinned wheels to a folder under models/.

A workflow of its own (`snakemake -s workflow/train.smk`): nothing that the benchmark runs calls it, because
what lies in git must never be a target that a fresh clone would make again. Writes below `build/train/`;
`promote` copies a finished model to `models/`.
"""
