"""The tests' CKAN as a WSGI application, for servers that import one.

`SERVED_INI` names its ini file, `SERVED_SETTINGS` holds settings on top of it, as a JSON object.
"""

from __future__ import annotations

import json
import os

from ckan.cli import load_config
from ckan.config.middleware import make_app

application = make_app(
    {**load_config(os.environ["SERVED_INI"]), **json.loads(os.environ["SERVED_SETTINGS"])}
)
