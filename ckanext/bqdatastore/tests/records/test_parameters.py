"""Values of filters that no text can hold are the caller's fault, on every engine."""

from __future__ import annotations

import pytest

from ckanext.bqdatastore.model.errors import QueryFailed
from ckanext.bqdatastore.model.query import Parameter
from ckanext.bqdatastore.records.parameters import parameter


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", "\udc00\ud800", "a\x00b"])
@pytest.mark.parametrize("type", ["text", "varchar", "int4", "numeric", "date", "uuid", "_text"])
def test_half_a_surrogate_pair_and_nul_are_refused(value: str, type: str) -> None:
    with pytest.raises(QueryFailed):
        parameter([value] if type == "_text" else value, type)


@pytest.mark.parametrize("value", ["", "\U0001f600", "\ufffd", "e\u0301", "\u2028"])
def test_other_text_is_taken_as_it_is(value: str) -> None:
    assert parameter(value, "text") == Parameter(value, "text")
