from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.listings import list_items
from archive.catalogue.query.lucene_parser import MAX_QUERY_COST, MAX_QUERY_DEPTH, parse_condition
from archive.catalogue.schema.tables import ModelVersion
from archive.catalogue.schema.vocabularies import Access, Decision, StageTask, TaskStatus, View
from archive.errors import QueryError
from tests.catalogue_rows import (
    add_batch,
    add_derivative,
    add_item,
    add_master,
    add_recipe,
    add_review,
    add_task,
    add_version,
)


@pytest.fixture
def session(catalogue: Catalogue) -> Iterator[Session]:
    with catalogue.session() as session:
        yield session


def found(session: Session, query: str) -> str:
    """The accession numbers that the query finds, in order."""
    return " ".join(item["accession_number"] for item in list_items(session, query))


@pytest.fixture
def people(session: Session) -> Session:
    """Items that differ in their words, dates and other metadata."""
    add_item(
        session, "A1", title="Migrant Mother", creator="Dorothea Lange", date="1936-03", place="Nipomo, California"
    )
    add_item(session, "A2", title="Été à Paris", creator="Eugène Atget", date="1906~", collection="Street scenes")
    add_item(session, "A3", title="Mother and migrant child", description="A farm. Migrant camp.", date="193X")
    add_item(
        session,
        "a1",
        creator="LANGE, D.",
        process="gelatin silver",
        access=Access.RESTRICTED,
        date="1940/..",
        rights="CC BY",
    )
    add_item(
        session,
        "LC/USF 34-9058.C",
        title="100% cotton_field [sic]",
        collection="street scenes",
        rights="© Fotograf Öhler 1936",
    )
    return session


METADATA_QUERIES = {
    "": "A1 A2 A3 LC/USF 34-9058.C a1",
    "   ": "A1 A2 A3 LC/USF 34-9058.C a1",
    "*": "A1 A2 A3 LC/USF 34-9058.C a1",
    "*:*": "A1 A2 A3 LC/USF 34-9058.C a1",
    # text fields match whole words without regard to case and accents
    "creator:lange": "A1 a1",
    "creator:lang": "",
    "creator:lang*": "A1 a1",
    "creator:?ange": "A1 a1",
    "title:ete": "A2",
    "title:ÉTÉ": "A2",
    "creator:Eugene": "A2",
    "creator:Eugèn*": "A2",
    "place:california": "A1",
    "process:silver": "a1",
    "title:*": "A1 A2 A3 LC/USF 34-9058.C",
    "NOT title:*": "a1",
    "title:cotton_field": "LC/USF 34-9058.C",
    # phrases are words next to each other, in one field
    'title:"migrant mother"': "A1",
    'title:"mother migrant"': "",
    "title:(mother migrant)": "A1 A3",
    '"farm migrant camp"': "A3",
    '"child a farm"': "",
    # free words are looked for in title and description
    "migrant": "A1 A3",
    "camp mother": "A3",
    "lange": "",
    # operators
    "migrant NOT camp": "A1",
    "migrant -camp": "A1",
    "+migrant +camp": "A3",
    "paris OR camp": "A2 A3",
    "creator:lange OR creator:atget AND title:paris": "A1 A2 a1",
    "(creator:lange OR creator:atget) AND title:paris": "A2",
    "creator:(lange OR atget) access:open": "A1 A2",
    "creator:(lange -dorothea)": "a1",
    "NOT creator:lange": "A2 A3 LC/USF 34-9058.C",
    "NOT (NOT creator:lange)": "A1 a1",
    # exact fields know letter case, and match as a whole or by wildcard
    "accession_number:A1": "A1",
    "accession_number:a1": "a1",
    "accession_number:A": "",
    "accession_number:A*": "A1 A2 A3",
    "accession_number:?1": "A1 a1",
    "accession_number:[A2 TO B]": "A2 A3",
    "accession_number:{A1 TO A3}": "A2",
    'accession_number:"LC/USF 34-9058.C"': "LC/USF 34-9058.C",
    r"accession_number:LC\/USF\ 34-9058.C": "LC/USF 34-9058.C",
    "accession_number:LC*": "LC/USF 34-9058.C",
    r"accession_number:A\*": "",
    'accession_number:"A*"': "",
    'collection:"Street scenes"': "A2",
    "collection:?treet*": "A2 LC/USF 34-9058.C",
    "collection:Street_scenes": "",
    "collection:%": "",
    "NOT collection:*": "A1 A3 a1",
    'NOT collection:"Street scenes"': "A1 A3 LC/USF 34-9058.C a1",
    # rights statements match by their whole text or by wildcard, by code point on both databases
    'rights:"CC BY"': "a1",
    "rights:CC*": "a1",
    "rights:cc*": "",
    "rights:©*": "LC/USF 34-9058.C",
    "rights:*Öhler*": "LC/USF 34-9058.C",
    "rights:[A TO Z]": "a1",
    "NOT rights:*": "A1 A2 A3",
    "rights:* creator:lange": "a1",
    "access:restricted": "a1",
    "access:re*": "a1",
    # dates match where the ranges overlap
    "date:1936": "A1 A3",
    "date:1936-04": "A3",
    'date:"1906~"': "A2",
    "date:190X": "A2",
    "date:[1930 TO 1939]": "A1 A3",
    "date:[1936-04 TO *]": "A3 a1",
    "date:[* TO 1935]": "A2 A3",
    "date:{1936 TO *]": "A3 a1",
    "date:{* TO 1930}": "A2",
    "date:>=1950": "a1",
    "date:<1907": "A2",
    'date:["1906~" TO 1930]': "A2 A3",
    "date:1935/1936": "A1 A3",
    "date:../1910": "A2",
    "date:*": "A1 A2 A3 a1",
    "NOT date:*": "LC/USF 34-9058.C",
    "date:-0100": "",
    'NOT accession_number:"-dash"': "A1 A2 A3 LC/USF 34-9058.C a1",
    r"accession_number:\-d*": "",
    "creator:Lange AND date:[1930 TO 1939]": "A1",
}


def test_metadata_is_found(people: Session) -> None:
    assert {query: found(people, query) for query in METADATA_QUERIES} == METADATA_QUERIES


def test_ids_are_found_by_number_and_range(session: Session) -> None:
    ids = [add_item(session, name).id for name in ("A", "B", "C")]
    assert found(session, f"id:{ids[1]}") == "B"
    assert found(session, f"id:[{ids[1]} TO *]") == "B C"
    assert found(session, f"id:({ids[0]} OR {ids[2]})") == "A C"


@pytest.fixture
def old(session: Session) -> ModelVersion:
    return add_version(session, "denoise-deblur@1.0", approved=True)


def test_restored_masters_stay_restored_when_they_become_stale(session: Session, old: ModelVersion) -> None:
    restored = add_item(session, "restored")
    add_item(session, "untouched")
    add_derivative(session, restored.masters[0], old)
    assert found(session, "status:restored") == "restored"
    assert found(session, "status:stale") == ""
    new = add_version(session, "denoise-deblur@1.10", approved=True)
    assert found(session, "status:stale") == "restored"
    assert found(session, "status:restored") == "restored"
    assert found(session, "status:unrestored") == "untouched"
    assert found(session, "NOT status:stale") == "untouched"
    add_derivative(session, restored.masters[0], new)
    assert found(session, "status:stale") == ""


def test_an_older_accepted_derivative_is_not_stale_once_the_approved_version_made_one_even_if_rejected(
    session: Session, old: ModelVersion
) -> None:
    master = add_item(session, "A").masters[0]
    add_review(session, add_derivative(session, master, old), Decision.ACCEPTED)
    new = add_version(session, "denoise-deblur@2.0", approved=True)
    assert found(session, "status:stale") == "A"
    by_new = add_derivative(session, master, new)
    assert found(session, "status:stale model:denoise-deblur@1.0") == ""
    add_review(session, by_new, Decision.REJECTED)
    assert found(session, "status:stale") == ""
    assert found(session, "model:denoise-deblur@1.0") == "A"


def test_a_model_without_approved_version_makes_nothing_stale(session: Session) -> None:
    version = add_version(session, "denoise-deblur@1.0")
    add_derivative(session, add_item(session, "A").masters[0], version)
    assert found(session, "status:stale") == ""


def test_failed_refused_and_styled_are_asked_for_by_name(session: Session, old: ModelVersion) -> None:
    recipe, batch = add_recipe(session, old), add_batch(session)
    add_task(session, batch, add_item(session, "failed").masters[0], recipe, TaskStatus.FAILED)
    add_task(session, batch, add_item(session, "done").masters[0], recipe, TaskStatus.DONE)
    add_item(session, "refused").masters[0].refusal = "negative polarity"
    style = add_version(session, "art@1.0", task=StageTask.STYLE)
    add_derivative(session, add_item(session, "styled").masters[0], old, style)
    assert found(session, "status:failed") == "failed"
    assert found(session, "status:refused") == "refused"
    assert found(session, "status:styled") == "styled"
    assert found(session, "status:unrestored") == "done failed refused styled"
    assert found(session, "status:(failed OR refused)") == "failed refused"
    assert found(session, "style:*") == "styled"
    assert found(session, "NOT style:*") == "done failed refused"
    assert found(session, "style:art@1.*") == "styled"
    assert found(session, "model:*") == ""
    assert found(session, f"batch:{batch.id}") == ""  # its tasks made nothing
    assert found(session, f"NOT batch:{batch.id}") == "done failed refused styled"


def test_models_are_those_of_the_current_restored_derivative(session: Session, old: ModelVersion) -> None:
    new = add_version(session, "denoise-deblur@1.1")
    other = add_version(session, "colourise@1.0")
    first, second, third = (add_item(session, name).masters[0] for name in ("A", "B", "C"))
    add_derivative(session, first, old)
    add_review(session, add_derivative(session, second, old), Decision.REJECTED)
    add_derivative(session, second, new)
    add_derivative(session, third, other, old)
    assert found(session, "model:denoise-deblur@1.0") == "A C"
    assert found(session, "model:denoise-deblur@1.1") == "B"
    assert found(session, "model:denoise-deblur") == "A B C"
    assert found(session, "model:denoise*") == "A B C"
    assert found(session, "model:*@1.0") == "A C"
    assert found(session, "model:denoise-deblur@approved") == "A C"
    assert found(session, "model:denoise") == ""
    assert found(session, "NOT model:colourise") == "A B"


def test_reviews_are_the_newest_of_a_derivative(session: Session, old: ModelVersion) -> None:
    new = add_version(session, "denoise-deblur@1.1")
    accepted, rejected, changed, unseen = (add_item(session, name).masters[0] for name in "ABCD")
    add_review(session, add_derivative(session, accepted, old), Decision.ACCEPTED)
    add_derivative(session, accepted, new)
    add_review(session, add_derivative(session, rejected, old), Decision.REJECTED)
    twice = add_derivative(session, changed, old)
    add_review(session, twice, Decision.REJECTED)
    add_review(session, twice, Decision.ACCEPTED)
    add_derivative(session, unseen, old)
    assert found(session, "review:accepted") == "A C"
    assert found(session, "review:rejected") == "B"
    assert found(session, "status:restored") == "A C D"
    assert found(session, "NOT review:*") == "D"
    assert found(session, "review:none") == "D"


def test_a_recipe_is_found_by_its_digest_and_by_the_start_of_it(session: Session, old: ModelVersion) -> None:
    recipe = add_derivative(session, add_item(session, "A").masters[0], old).recipe
    other = add_derivative(session, add_item(session, "B").masters[0], add_version(session, "1.0")).recipe
    assert recipe.sha256[:8] != other.sha256[:8]
    for written in (recipe.sha256, recipe.sha256[:8], f"{recipe.sha256[:8]}*", f"*{recipe.sha256[8:]}"):
        assert found(session, f"recipe:{written}") == "A"
    assert found(session, "recipe:*") == "A B"
    assert found(session, f"NOT recipe:{recipe.sha256[:8]}") == "B"


def test_a_time_may_be_the_last_one_that_can_be_written(session: Session, old: ModelVersion) -> None:
    add_derivative(session, add_item(session, "A").masters[0], old)
    assert found(session, "made:[2020-01-01 TO 9999-12-31]") == "A"
    assert found(session, 'made:"9999-12-31T23:59:59.999999"') == ""
    assert found(session, "made:[9999-12-31T23:59:59.999999 TO *]") == ""


def test_metrics_are_those_of_the_current_restored_derivative(session: Session, old: ModelVersion) -> None:
    new = add_version(session, "denoise-deblur@1.1")
    first, second = add_item(session, "A").masters[0], add_item(session, "B").masters[0]
    add_item(session, "C")
    rejected = add_derivative(session, first, old, psnr_reference=20.0, changed_share=0.5)
    add_review(session, rejected, Decision.REJECTED)
    add_derivative(session, first, new, psnr_reference=31.5, ssim_source=0.75, changed_share=0.25)
    add_derivative(session, second, old, psnr_reference=29.0, changed_share=0.5)
    assert found(session, "psnr_reference:[30 TO *]") == "A"
    assert found(session, "psnr_reference:31.5") == "A"
    assert found(session, "psnr_reference:{29 TO 31.5]") == "A"
    assert found(session, "psnr_reference:[29 TO 31.5}") == "B"
    assert found(session, "psnr_reference:<=29") == "B"
    assert found(session, "psnr_reference:[-5 TO *]") == "A B"
    assert found(session, "psnr_reference:-5") == ""
    assert found(session, "ssim_source:*") == "A"
    assert found(session, "changed_share:[0.5 TO *]") == "B"
    assert found(session, "changed_share:0.25") == "A"
    assert found(session, "NOT changed_share:*") == "C"
    assert found(session, "NOT psnr_reference:[30 TO *]") == "B C"


def test_views_pick_masters(session: Session) -> None:
    item = add_item(session, "A")
    add_master(session, item, view=View.VERSO)
    add_master(session, add_item(session, "B", masters=0), view=View.DETAIL)
    assert found(session, "view:verso") == "A"
    assert found(session, "view:recto") == "A"
    assert found(session, "NOT view:recto") == "A B"
    assert found(session, "view:(detail OR target)") == "B"


@pytest.mark.parametrize(
    ("query", "position", "said"),
    [
        (
            "creator:Lange titel:mother",
            15,
            "No field 'titel'. Did you mean 'title'? Known fields: id, accession_number, title",
        ),
        ("status:restord", 8, "'restord' is not known here; known are unrestored, restored, stale, styled"),
        ("view:front", 6, "known are recto, verso, detail, mount, target"),
        ("access:closed", 8, "known are open, restricted, sensitive"),
        ("a AND review:maybe", 14, "known are accepted, rejected"),
        ("date:1906~", 6, 'must be quoted: "1906~"'),
        ('date:"1906"~2', 6, "inside the quotation marks"),
        ("title:mothr~1", 7, "~ after a word is not supported"),
        ('title:"migrant mother"~2', 7, "~ after a phrase is not supported"),
        ("title:mother^2", 7, "^ is not supported"),
        ("title:/moth.*/", 7, "use * and ?"),
        ("title:[a TO b]", 7, "no ranges"),
        ("[a TO b]", 1, "no ranges"),
        ("status:>stale", 8, "no ranges"),
        ("date:c1906", 6, "not a valid EDTF date"),
        ("date:1906-1910", 6, "date:[1906 TO 1910]"),
        ('date:"vor 1910"', 6, "date_text:"),
        ("date:[1906 TO 19066]", 6, "not a valid EDTF date"),
        ("date:[1939 TO 1930]", 6, "ends before it starts"),
        ("date:1906-02-30", 6, "not a valid EDTF date"),
        ("psnr_source:[40 TO 30]", 13, "ends before it starts"),
        ("psnr_source:high", 13, "'high' is not a number"),
        ("psnr_source:1e999", 13, "is not a number"),
        ("id:1.5", 4, "is not a whole number"),
        ("batch:99999999999999999999", 7, "is not a whole number"),
        ("model:denoise-deblur@", 7, "lacks a version or an alias"),
        ("made:yesterday", 6, "Write it as 2026-11-01"),
        ('made:"0001-01-01T00:00+23:00"', 6, "Write it as 2026-11-01"),
        ('reviewed:[* TO "9999-12-31T23:59-01:00"]', 10, "Write it as 2026-11-01"),
        ("title:...", 7, "holds no word"),
        ("title:mother)", 13, "')' is not understood here"),
        ("date:[1900 1910]", 12, "a range is written [1900 TO 1910]"),
        ("date:[1900..1910]", 17, "a range is written [1900 TO 1910]"),
        ("date:1900 TO 1910", 11, "a range has brackets, such as [1900 TO 1910]"),
        ("accession_number:1906:12", 18, "Put a value with a colon in quotation marks"),
        ("collection:-dash", 12, 'write collection:"-dash". To exclude the value, write NOT collection:dash'),
        ("collection:-da*", 12, r"write collection:\-da*. To exclude the value, write NOT collection:da*"),
        ("mother creator: -Anna", 17, 'write creator:"-Anna". To exclude the value, write NOT creator:Anna'),
        ("accession_number:+plus", 18, 'write accession_number:"+plus". Without it, write accession_number:plus'),
        ('creator:-"Anna B"', 9, 'To exclude the value, write NOT creator:"Anna B"'),
        ("creator:NOT Anna", 9, "To exclude the value, write NOT creator:Anna"),
        ("psnr_source:-[1 TO 2]", 13, "To exclude the value, write NOT psnr_source:[1 TO 2]"),
        ("AND mother", 1, "AND needs something on both sides"),
        ('title:"mother', 7, "this quotation mark is not closed"),
        ("a \0", 3, "can't be in any text"),
        ("a \ud800", 3, "is not valid text"),
    ],
)
def test_a_mistake_says_where_it_is_and_what_to_write(query: str, position: int, said: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse_condition(query)
    assert f"at character {position}," in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "query", ["title:(mother", "title:", "a AND", "a~b~", "a~1.2.3", 'a "unclosed', "NOT", '"a"~1.5']
)
def test_an_unfinished_query_is_a_mistake(query: str) -> None:
    with pytest.raises(QueryError):
        parse_condition(query)


@pytest.mark.slow
def test_large_queries_are_answered_or_refused_in_words(people: Session) -> None:
    many = " OR ".join(f"accession_number:A{number}" for number in range(MAX_QUERY_COST))
    assert found(people, many) == "A1 A2 A3"
    assert found(people, "(" * MAX_QUERY_DEPTH + "paris" + ")" * MAX_QUERY_DEPTH) == "A2"
    assert found(people, many.replace("OR", "AND")) == ""
    for each in ("paris", "date:[1906 TO 1907]", "NOT view:verso", "status:unrestored", "-status:stale", "-model:a@1"):
        assert found(people, f"date:1906 {each} " * (MAX_QUERY_COST // 10)) == "A2"
    for too_much in (
        f"{many} OR b",
        "(" * 500 + "a" + ")" * 500,
        "-" * 200 + "a",
        "creator:-" + "(" * 500 + "a" + ")" * 500,
        "a " * 30_000,
        "a " * MAX_QUERY_COST,
    ):
        with pytest.raises(QueryError):
            parse_condition(too_much)


symbols = "()[]{}\"~^:*?+-/\\<>= '%_é"
pieces = (
    "AND OR NOT TO 1906 190X stale a@1 date: title: model: id: status: psnr_source: accession_number: changed_share:>"
)
fragments = st.sampled_from([*symbols, " ", *pieces.split(), "[* TO 5]", "view:*"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(fragments, max_size=12).map("".join) | st.text(max_size=20))
def test_whatever_is_typed_is_answered_or_refused_in_words(catalogue: Catalogue, query: str) -> None:
    with catalogue.reading() as session:
        try:
            items = list_items(session, query)
        except QueryError:
            return
        assert list(items) == []
