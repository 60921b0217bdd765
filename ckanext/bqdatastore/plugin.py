"""What CKAN sees: which interface hands out what."""

from __future__ import annotations

from typing import Any

import ckantoolkit as tk
from ckan import plugins
from ckan.exceptions import CkanConfigurationException
from ckanext.datastore.interfaces import IDatastoreBackend

from . import config
from .backend import AnalyticsBackend
from .engines import registry
from .model.errors import Misconfigured


@tk.blanket.config_declarations
@tk.blanket.cli
@tk.blanket.actions
class BqDatastorePlugin(plugins.SingletonPlugin):
    """CKAN's DataStore in an analytics engine, behind the same action API."""

    plugins.implements(plugins.IConfigurer)
    plugins.implements(IDatastoreBackend)

    # IConfigurer

    def update_config(self, ckan_config: Any) -> None:
        if not plugins.plugin_loaded("datastore"):
            raise CkanConfigurationException(
                'ckan.plugins: "bqdatastore" needs "datastore" beside it, which owns the actions: '
                "write ckan.plugins = datastore bqdatastore."
            )
        if config.scheme() not in registry.schemes():
            return  # the stock backend's URLs: enabled, but not in use yet
        try:
            config.check()
        except Misconfigured as fault:
            raise CkanConfigurationException(str(fault)) from None

    # IDatastoreBackend

    def register_backends(self) -> dict[str, Any]:
        return dict.fromkeys(registry.schemes(), AnalyticsBackend)
