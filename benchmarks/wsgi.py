"""The site of the ini file that `BENCHMARK_INI` names, as gunicorn serves it."""

from __future__ import annotations

import os
import sys
from logging.config import fileConfig

from ckan.cli import CKANConfigLoader
from ckan.config.middleware import make_app

from . import READY

_ini = os.environ["BENCHMARK_INI"]
fileConfig(_ini, disable_existing_loggers=False)
application = make_app(CKANConfigLoader(_ini).get_config())
print(READY, file=sys.stderr, flush=True)
