"""Queries about the texture of the current restoration and the polarity of the photograph."""

from __future__ import annotations

import pytest

from archive.catalogue import Catalogue
from archive.catalogue.listings import list_items
from archive.catalogue.query.lucene_parser import parse_condition
from archive.catalogue.schema.vocabularies import Decision, Polarity, StageTask
from archive.errors import QueryError
from tests.catalogue_rows import add_derivative, add_item, add_review, add_version


def found(catalogue: Catalogue, query: str) -> str:
    """The accession numbers that the query finds, in order."""
    with catalogue.reading() as session:
        return " ".join(item["accession_number"] for item in list_items(session, query))


def test_texture_is_that_of_the_current_restoration(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        approved = add_version(session, "denoise-deblur@2.1", approved=True)
        old = add_version(session, "denoise-deblur@1.0")  # has no such parameter
        style = add_version(session, "toned@1.0", task=StageTask.STYLE)
        plain, textured, without, styled, rejected = (add_item(session, name).masters[0] for name in "ABCDE")
        add_item(session, "F")
        add_derivative(session, plain, approved, texture=0.0)
        add_derivative(session, textured, approved, texture=0.35)
        add_derivative(session, without, old)
        add_derivative(session, styled, approved, texture=1.0)
        add_derivative(session, styled, style, texture=0.5)
        add_review(session, add_derivative(session, rejected, approved, texture=0.35), Decision.REJECTED)
        add_derivative(session, rejected, approved, texture=0.0)

    assert found(catalogue, "texture:0") == "A E"
    assert found(catalogue, "texture:0.35") == "B"
    assert found(catalogue, "texture:[0.01 TO *]") == "B D"
    assert found(catalogue, "texture:{0 TO 1}") == "B"
    assert found(catalogue, "texture:0.5") == "", "the parameter of a style"
    assert found(catalogue, "texture:*") == "A B D E"
    assert found(catalogue, "NOT texture:*") == "C F"
    assert found(catalogue, "decision:rejected texture:0.35") == "E", "beside a field of a derivative, of this one"
    with pytest.raises(QueryError, match="'much' is not a number"):
        parse_condition("texture:much")


def test_polarity_is_a_known_value_or_unknown(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        add_item(session, "A", polarity=Polarity.NEGATIVE)
        add_item(session, "B", polarity=Polarity.POSITIVE)
        add_item(session, "C")

    assert found(catalogue, "polarity:negative") == "A"
    assert found(catalogue, "polarity:(negative OR positive)") == "A B"
    assert found(catalogue, "polarity:*") == "A B"
    assert found(catalogue, "NOT polarity:negative") == "B C"
    assert found(catalogue, "NOT polarity:*") == "C"
    with pytest.raises(QueryError, match="known are positive, negative"):
        parse_condition("polarity:slide")
