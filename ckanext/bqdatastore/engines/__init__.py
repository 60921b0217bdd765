"""The places a table can live in; every folder here is one URL scheme (see `registry`)."""
