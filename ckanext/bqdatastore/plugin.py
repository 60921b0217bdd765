"""What CKAN sees: which interface hands out what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ckantoolkit as tk
from ckan import plugins
from ckan.exceptions import CkanConfigurationException
from ckanext.datastore.interfaces import IDatastoreBackend

from . import config
from .authorization import changes
from .backend import AnalyticsBackend
from .engines import registry
from .model.errors import Misconfigured


@tk.blanket.config_declarations
@tk.blanket.cli
@tk.blanket.actions
@tk.blanket.auth_functions
@tk.blanket.validators
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
            config.check_plugins()
        except Misconfigured as fault:
            raise CkanConfigurationException(str(fault)) from None
        changes.watch()

    # IDatastoreBackend

    def register_backends(self) -> dict[str, Any]:
        # CKAN asks for this, and then looks up the URLs' schemes without a word for wrong ones.
        try:
            config.check_schemes({*registry.schemes(), *self._others_schemes()})
        except Misconfigured as fault:
            raise CkanConfigurationException(str(fault)) from None
        return dict.fromkeys(registry.schemes(), AnalyticsBackend)

    def _others_schemes(self) -> Iterator[str]:
        for plugin in plugins.PluginImplementations(IDatastoreBackend):
            if plugin is not self:
                yield from plugin.register_backends()
