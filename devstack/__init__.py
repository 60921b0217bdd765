"""The services that a CKAN site needs, from Python wheels alone, for the demo and the tests.

Not part of the installed extension: run it from the repository's root as ``python -m devstack``.
"""
