"""What is said of a query that matches nothing."""

from __future__ import annotations

import pytest

from archive.catalogue.query.lucene_parser import explain_empty_result


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("rights:public", "rights is compared as a whole and with case; for a part of it ask for rights:*public*"),
        ("collection:Fonds or collection:Lot", "operators are written in capitals: OR"),
        ("accession_number:LC/USF 34-9058.C", 'quote the whole: accession_number:"LC/USF 34-9058.C"'),
        ("SA.001", "ask for the item with accession_number:SA.001"),
        ("F 1899/12", 'ask for accession_number:"F 1899/12"'),
        ("model:denoise-deblur@1.1", "add AND batch:*"),
        ("status:restored creator:Anna Pérez", "'Pérez' was looked for in title and description, not in creator"),
    ],
)
def test_an_empty_result_is_explained(query: str, said: str) -> None:
    assert said in str(explain_empty_result(query))


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        "street summer",
        "church and 1906",
        "model:denoise-deblur AND operator:me",
        "NOT model:denoise-deblur",
        "creator:Pérez AND street",
        'creator:"Anna Pérez"',
    ],
)
def test_nothing_is_remarked_of_other_queries(query: str) -> None:
    assert explain_empty_result(query) is None
