"""A CKAN process that answers what `permissions.ask` asks, a JSON line for each.

`python -m ckanext.bqdatastore.tests.permission_process INI SETTINGS`, settings as a JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    ini, own_settings = sys.argv[1], json.loads(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr  # CKAN may print
    from ckan.cli import load_config
    from ckan.config.middleware import make_app

    config: dict[str, Any] = {**load_config(ini), **own_settings}
    make_app(config)

    from .permissions import ask, beyond_the_user, statements

    print(json.dumps(["ready", 0]), file=answers, flush=True)
    for line in iter(sys.stdin.readline, ""):
        with statements() as sent:
            answer = ask(*json.loads(line))
        print(json.dumps([answer, len(beyond_the_user(sent))]), file=answers, flush=True)


if __name__ == "__main__":
    main()
