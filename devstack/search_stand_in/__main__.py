"""Serve the stand-in: ``python -m devstack.search_stand_in``."""

from __future__ import annotations

from pathlib import Path

import click

from devstack.installed import package_folder
from devstack.search_stand_in.index import SearchIndex
from devstack.search_stand_in.schema import Schema
from devstack.search_stand_in.server import listen


@click.command()
@click.option("--port", default=0, show_default="any free one")
@click.option(
    "--documents",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the documents in this file; in memory only by default.",
)
def main(port: int, documents: Path | None) -> None:
    """Serve a stand-in for Solr with CKAN's schema until stopped."""
    schema = Schema.read(package_folder("ckan") / "config" / "solr" / "schema.xml")
    server, actual_port = listen(SearchIndex(schema, documents), port)
    click.echo(f"Listening on port {actual_port}")
    server.serve_forever()


if __name__ == "__main__":
    main()
