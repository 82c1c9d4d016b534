from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Connection, event

from archive.catalogue import Catalogue
from archive.catalogue.listings import list_items, list_masters
from archive.catalogue.query import query_planner
from archive.catalogue.query.fields import FIELDS
from archive.catalogue.query.status_predicates import STATUSES
from archive.catalogue.schema.vocabularies import Access, Decision, FileFault, StageTask, TaskStatus, View
from archive.fixity import verify_files
from tests.catalogue_rows import (
    AT,
    add_derivative,
    add_item,
    add_master,
    add_recipe,
    add_review,
    add_task,
    add_version,
)

# A question to each field, as in a large catalogue.
QUESTIONS = {
    "id": "id:[5 TO 7]",
    "accession_number": "accession_number:19*",
    "title": 'title:"migrant mother"',
    "description": "description:harb*",
    "creator": "creator:lange",
    "date": "date:[1930 TO 1939]",
    "date_text": "date_text:1906",
    "collection": 'collection:"Street scenes"',
    "process": "process:silver",
    "place": "place:paris",
    "access": "access:restricted",
    "view": "view:verso",
    "status": "status:stale",
    "model": "model:denoise-deblur@1.0",
    "style": "style:art*",
    "batch": "batch:3",
    "review": "review:rejected",
    **{name: f"{name}:[0.5 TO *]" for name in FIELDS if name.startswith(("psnr", "ssim"))},
    **{
        name: f"{name}:[0.5 TO *]"
        for name in ("noise_sigma", "blur_effect", "contrast", "colourfulness", "smoothed_share", "filled_share")
    },
    "changed_share": "changed_share:0.25",
    "made": "made:[2026-01-01 TO 2026-02-01]",
    "operator": 'operator:"A. Curator"',
    "reviewer": 'reviewer:"A. Curator"',
    "reviewed": "reviewed:[2026-01-01 TO *]",
    "decision": "decision:rejected",
    "strength": "strength:0.5",
    "texture": "texture:[0.01 TO *]",
    "recipe": "recipe:ab12*",
    "filled_places": "filled_places:[1 TO *]",
}
FURTHER = (
    *(f"status:{name}" for name in ("unrestored", "restored", "styled", "failed", "refused", "lost", "withdrawn")),
    "mother",
    "psnr_reference:*",
    "model:*",
    "title:*arbour",
    "migrant NOT status:stale",
    "creator:lange OR view:verso",
    "review:*",
)
# Fields without an index: items are read in the order of the list.
WITHOUT_INDEX = {"rights": 'rights:"CC BY"', "polarity": "polarity:negative"}
# What grows with the number of items.
LARGE = ("items", "masters", "derivatives", "item_words", "quality_scores", "tasks", "reviews", "events")
# Indexes that hold only the rows that are asked for.
PARTIAL = re.compile(
    r"INDEX ix_(masters_((restored|styled|refused)_item_id|(psnr|ssim)_(source|reference)_item_id)"
    r"|derivatives_withdrawn_master_id)"
)


def test_every_field_is_asked() -> None:
    assert {*QUESTIONS, *WITHOUT_INDEX} == set(FIELDS)


@pytest.mark.parametrize("query", [*QUESTIONS.values(), *FURTHER])
def test_what_little_matches_is_found_by_index(catalogue: Catalogue, query: str) -> None:
    with catalogue.session() as session:
        add_recipe(session, add_version(session))  # outdated
        add_version(session, "denoise-deblur@1.1", approved=True)
    for plan in _plans(catalogue, query):
        assert _full_scans(plan) == []


@pytest.mark.parametrize(
    "query", [None, *QUESTIONS.values(), *WITHOUT_INDEX.values(), *FURTHER, "title:*", "title:*other", "NOT view:recto"]
)
def test_where_much_matches_items_are_read_in_order_and_nothing_is_sorted(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, query: str | None
) -> None:
    monkeypatch.setattr(query_planner, "FEW_ITEMS", -1)
    monkeypatch.setattr(query_planner, "MANY_ITEMS", -1)
    for limit in (50, None):
        plan = _plans(catalogue, query, limit)[-1]
        assert _full_scans(plan, in_order="items") == []
        for _, step in plan:  # item by item: what is looked up is of the one item
            if found := re.match(r"SEARCH (?:masters|item_words_?\d*) .*\((.*)\)", step):
                assert re.search("item_id=|rowid=", found[1]), step
        sorts = [step for depth, step in plan if depth == 0 and re.search("TEMP B-TREE|^(Incremental )?Sort$", step)]
        assert len(sorts) == (0 if limit is None else 1)  # of the page, whose items are known by then


def test_a_rare_phrase_of_common_words_is_found_by_index(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_planner, "FEW_ITEMS", 1)
    with catalogue.session() as session:
        for number, title in enumerate(("the old harbour", "the view", "harbour and harbour", "the harbour")):
            add_item(session, f"A{number}", title=title)
    with _Explained(catalogue) as explained, catalogue.reading() as session:
        found = [each["accession_number"] for each in list_items(session, 'title:"the harbour"', limit=50)]
    assert found == ["A3"]
    for _, plan in explained.plans:
        assert _full_scans(plan) == []


@pytest.mark.parametrize("query", ["review:accepted", "review:rejected"])
def test_reviews_are_counted_without_reading_derivatives(catalogue: Catalogue, query: str) -> None:
    plans = _plans(catalogue, query)
    counted = [plan for plan in plans[:-1] if any("reviews" in step for _, step in plan)]
    assert counted
    for plan in counted:
        assert not any("derivatives" in re.sub(r"ix_\w+", "", step) for _, step in plan)


def test_the_longest_unchecked_files_are_found_by_index(catalogue: Catalogue) -> None:
    with _Explained(catalogue) as explained:
        verify_files(catalogue, limit=10)
    plans = [plan for statement, plan in explained.plans if "NULLS FIRST" in statement]
    assert plans
    for plan in plans:
        assert _full_scans(plan) == []


@pytest.mark.parametrize("few", [-1, 2, 5_000])
@pytest.mark.parametrize("max_listed", [0, 100])
def test_however_it_is_read_a_list_holds_the_same(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, few: int, max_listed: int
) -> None:
    with catalogue.session() as session:
        old = add_version(session, approved=True)
        for number, name in enumerate("DBACE"):
            access = Access.OPEN if number % 2 else Access.RESTRICTED
            item = add_item(session, name, title=f"Mother {name} mother", access=access, date="1936", masters=2)
            verso = add_master(session, item, view=View.VERSO)
            if number < 3:
                derivative = add_derivative(session, verso, old, psnr_source=10.0 * number, contrast=0.5)
                add_task(session, derivative.batch, verso, derivative.recipe)
                if number == 1:
                    add_review(session, derivative, Decision.ACCEPTED)
        add_version(session, "denoise-deblur@1.1", approved=True)
    monkeypatch.setattr(query_planner, "FEW_ITEMS", few)
    monkeypatch.setattr(query_planner, "MANY_ITEMS", few)
    monkeypatch.setattr(query_planner, "_MAX_LISTED_RECIPES", max_listed)
    monkeypatch.setattr(query_planner, "_MAX_LISTED_WORDS", max_listed)
    with catalogue.reading() as session:
        for limit in (None, 50):  # which take two ways
            found = {
                query: " ".join(each["accession_number"] for each in list_items(session, query, limit))
                for query in EXPECTED
            }
            assert found == EXPECTED
        assert [each["accession_number"] for each in list_items(session, "mother", limit=2)] == ["A", "B"]


EXPECTED = {
    "mother": "A B C D E",
    'title:"mother b"': "B",
    'title:"b mother" OR title:"e mother"': "B E",
    'title:"mother d mother"': "D",
    "title:d-mother-*": "",  # no word follows
    "title:*other-?": "A B C D E",
    "title:*other": "A B C D E",
    "title:?": "A B C D E",
    "*b OR title:*e": "B E",
    "title:*x OR date_text:*6": "",
    "access:restricted": "A D E",
    "access:restricted view:verso date:1936": "A D E",
    "NOT access:restricted": "B C",
    "status:stale": "A B D",
    "status:stale access:restricted": "A D",
    "status:stale OR accession_number:E": "A B D E",
    "NOT (status:stale OR accession_number:E)": "A B C D",
    "psnr_source:[10 TO *]": "A B",
    "contrast:0.5 -review:accepted": "A D",
    "review:* OR title:e": "B E",
    "model:denoise-deblur@1.0 mother": "A B D",
    "batch:[1 TO 9] OR batch:77": "A B D",
    "accession_number:[B TO D] mother": "B C D",
}


def test_each_status_finds_the_items_of_the_masters_that_have_it(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        version = add_version(session, approved=True)
        style = add_version(session, "art@1.0", task=StageTask.STYLE)
        masters = {name: add_item(session, name).masters[0] for name in (*STATUSES, "changed")}
        masters["lost"].file_fault, masters["changed"].file_fault = FileFault.MISSING, FileFault.CHANGED
        masters["refused"].refusal = "negative polarity"
        add_derivative(session, masters["restored"], version)
        add_derivative(session, masters["styled"], version, style)
        add_derivative(session, masters["withdrawn"], version).withdrawn_at = AT
        stale = add_derivative(session, masters["stale"], version)
        add_task(session, stale.batch, masters["failed"], stale.recipe, TaskStatus.FAILED)
        masters["stale"].is_stale = True
    with catalogue.reading() as session:
        for status in STATUSES:
            having = {row["accession_number"] for row in list_masters(session, f"status:{status}")}
            assert status in having
            for limit in (None, 50):
                assert {row["accession_number"] for row in list_items(session, f"status:{status}", limit)} == having
        lost = [row["accession_number"] for row in list_items(session, "status:lost")]
        assert lost == ["changed", "lost"]


class _Explained:
    """Collects how the database answers each question that is put to it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.plans: list[tuple[str, list[tuple[int, str]]]] = []

    def __enter__(self) -> _Explained:
        event.listen(self.catalogue.engine, "before_cursor_execute", self._explain)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.catalogue.engine, "before_cursor_execute", self._explain)

    def _explain(self, connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("SELECT"):
            return
        cursor = connection.connection.cursor()
        if connection.dialect.name == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            parents = {0: -1}
            steps = []
            for step, parent, _, detail in cursor.fetchall():
                parents[step] = parent
                steps.append((0 if parent == 0 else 1, detail))
        else:
            # In a small catalogue all is read in any case: forbidden where there is another way, it shows that way.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute("SET LOCAL enable_incremental_sort = off")
            cursor.execute(f"EXPLAIN (COSTS OFF) {statement}", parameters)
            lines = [line for (line,) in cursor.fetchall()]
            cursor.execute("RESET ALL")
            steps = [(_depth(lines, number), line.strip(" ->")) for number, line in enumerate(lines)]
        cursor.close()
        self.plans.append((statement, steps))


def _depth(lines: list[str], number: int) -> int:
    """0 for a step of the question itself, 1 within a subplan, which answers for one row."""
    indent = len(lines[number]) - len(lines[number].lstrip())
    for line in reversed(lines[:number]):
        its = len(line) - len(line.lstrip())
        if its < indent:
            if line.strip().startswith(("SubPlan", "InitPlan")):
                return 1
            indent = its
    return 0


def _plans(catalogue: Catalogue, query: str | None, limit: int | None = 50) -> list[list[tuple[int, str]]]:
    with _Explained(catalogue) as explained, catalogue.reading() as session:
        assert list(list_items(session, query, limit=limit)) == []
    return [plan for _, plan in explained.plans]


def _full_scans(plan: list[tuple[int, str]], in_order: str = "") -> list[str]:
    """The steps that read all of a large table, but for ``in_order``, which is read in order until the limit."""
    found = []
    for _, step in plan:
        scanned = re.match(r"(?:SCAN|Seq Scan on|Parallel Seq Scan on) (\w+)", step)
        table = re.sub(r"_\d+$", "", scanned[1]) if scanned else ""
        if table in LARGE and not (table == in_order and "INDEX" in step) and not PARTIAL.search(step):
            found.append(step)
    return found
