"""PostgreSQL's SQL read and understood as PostgreSQL does, in five steps that build on each other.

Syntax: `nodes`, `expressions` and `statements` make a neutral tree of PostgreSQL's own. Types:
`catalogue` and `types` hold its functions, operators and casts. Meaning: `scopes`, `inference` and
`binding` settle every name and type.
"""
