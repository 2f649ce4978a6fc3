"""Print, as json, every job of a params file: rule, inputs, outputs. A second word names the Snakefile of a checkout.

With targets (rules or files) as further arguments, the jobs of these; else those of the whole benchmark.
Snakemake has no command for this: its dry run leaves the files out where a rule has a message.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    workflow = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=[Path(sys.argv[1])]),
        snakefile=Path(sys.argv[2] if len(sys.argv) > 2 else "workflow/Snakefile"),
    )
    with contextlib.redirect_stdout(io.StringIO()):
        workflow.dag(DAGSettings(targets=set(sys.argv[2:]), forceall=True)).printrulegraph()
    jobs = [
        {"rule": job.rule.name, "input": [str(f) for f in job.input], "output": [str(f) for f in job.output]}
        for job in workflow._workflow.dag.jobs
    ]
print(json.dumps(jobs))
