"""Plain data that every part speaks: no I/O, no CKAN, no engine.

Names the API's types (`types`), tables and their fields (`table`), queries and the streams that
answer them (`query`), writes (`write`), what a dialect must be able to say (`dialect`) and what can
go wrong (`errors`).
"""
