"""A stand-in for Apache Solr: enough of it for CKAN's demo and tests, and not for a site.

No registry of Python wheels ships Solr. This answers over HTTP what CKAN sends Solr, by the field
types of the schema that CKAN ships, looking at every document for every query.

What it does not do: transactions (a change is seen at once, `commit` is accepted and means
nothing), relevance beyond counting words and honouring `qf` weights (no inverse document frequency,
no `bf`, `boost` or phrase boosts), synonyms, protected words, fuzzy, proximity and
regular expression queries, local parameters (``{!...}``), facets other than `facet.field`,
highlighting, grouping, joins, function queries and cursors. Where an answer would be wrong for want
of one of these in `q`, `fq` or `sort`, it is an error; other parameters that it does not know are
ignored.
"""
