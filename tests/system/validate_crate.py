"""Read a crate with the library rocrate and validate it with rocrate-validator; prints json. Run in their environment.

The JSON-LD context that a crate names is on the web. So that no network is needed, the library's own stands for it: of
a newer version, in which two terms have moved, so these are put back where 1.1 has them.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import rocrate
from rocrate.rocrate import ROCrate
from rocrate_validator import models, services
from rocrate_validator.utils import http

context = json.loads((Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld").read_text())
for term in ("ComputationalWorkflow", "FormalParameter"):
    context["@context"][term] = f"https://bioschemas.org/{term}"
answer = SimpleNamespace(
    status_code=200,
    headers={"Content-Type": "application/ld+json"},
    text=json.dumps(context),
    content=json.dumps(context).encode(),
    json=lambda: context,
    raise_for_status=lambda: None,
)
http.HttpRequester.get = lambda self, url, **options: answer

folder, severity = sys.argv[1:]
settings = models.ValidationSettings(
    rocrate_uri=folder,
    profile_identifier="workflow-run-crate-0.5",
    requirement_severity=getattr(models.Severity, severity),
    offline=True,
    cache_max_age=-1,
)
issues = services.validate(settings).get_issues()
crate = ROCrate(folder)
print(
    json.dumps(
        {
            "name": crate.name,
            "main": crate.mainEntity.id,
            "actions": len(crate.root_dataset["mentions"]),
            "issues": sorted({f"{issue.check.identifier}: {issue.message}" for issue in issues}),
        }
    )
)
