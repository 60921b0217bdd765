"""The package's metadata is in setup.cfg; this file adds what CKAN's tools look for in setup.py."""

from setuptools import setup

setup(
    # For CKAN's translation tools.
    message_extractors={
        "ckanext": [
            ("**.py", "python", None),
            ("**.js", "javascript", None),
            ("**/templates/**.html", "ckan", None),
        ],
    },
)
