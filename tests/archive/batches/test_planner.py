from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import ColumnElement, event, insert, select, update
from sqlalchemy.orm import Session

from archive import review
from archive.batches.planning import plan_builder
from archive.batches.planning.candidates import Candidate, read_candidates
from archive.batches.planning.planner import Plan, plan_rerun
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import Batch, Derivative, Item, Master, Recipe, Root, Task
from archive.catalogue.schema.vocabularies import Access, Decision, Polarity, TaskStatus, View
from archive.errors import BatchError, NotFoundError, QueryError, UsageError
from restoration.recipe import Recipe as FullRecipe

# `workshop` is made in conftest.py.


def _master(workshop: Any, master_id: int) -> Master:
    with workshop.catalogue.reading() as session:
        master: Master = session.get_one(Master, master_id)
        return master


def _count(workshop: Any, table: type[Any]) -> int:
    with workshop.catalogue.reading() as session:
        return len(session.scalars(select(table)).all())


def left_out(plan: Plan) -> dict[str, int]:
    """How many masters are left out for each reason."""
    return {reason: of_reason.masters for reason, of_reason in plan.exclusions.items()}


def test_every_master_without_a_derivative_gets_a_task_in_the_order_of_lists(workshop: Any) -> None:
    workshop.model()
    late, early = workshop.master("B-2"), workshop.master("A-10")
    plan = workshop.plan()
    assert (plan.tasks, plan.already_made, plan.exclusions) == (2, 0, {})
    assert plan.recipes == {"mend 1.0 (strength 1)": 2}
    assert [task.master_id for task in workshop.tasks(plan.batch_id)] == [early, late]
    assert workshop.statuses(plan.batch_id) == [TaskStatus.PENDING] * 2


def test_others_write_and_remove_while_a_batch_is_planned(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.model()
    kept, removed = workshop.master("A"), workshop.master("B")

    def read_while_others_write(session: Session, wanted: ColumnElement[bool]) -> list[Candidate]:
        found = list(read_candidates(session, wanted))
        with workshop.catalogue.session() as other:
            other.delete(other.get_one(Master, removed))
        return found

    monkeypatch.setattr(plan_builder, "read_candidates", read_while_others_write)
    batch_id = workshop.planned()
    assert [task.master_id for task in workshop.tasks(batch_id)] == [kept]


def test_what_is_made_already_is_counted_and_not_planned_again(workshop: Any) -> None:
    workshop.model()
    workshop.master("A")
    workshop.run(workshop.planned())
    workshop.master("B")
    assert (workshop.plan(dry_run=True).tasks, workshop.plan(dry_run=True).already_made) == (1, 1)
    named = workshop.plan("accession_number:A")
    assert (named.batch_id, named.tasks, named.already_made) == (None, 0, 1)


def test_a_failed_master_is_tried_again(workshop: Any) -> None:
    workshop.model()
    master = workshop.master("A")
    whole = workshop.path_of(master).read_bytes()
    workshop.path_of(master).write_bytes(whole + b"?")
    assert workshop.run(workshop.planned()).failed == 1
    workshop.path_of(master).write_bytes(whole)
    assert workshop.run(workshop.planned()).done == 1
    assert workshop.plan().tasks == 0


def test_a_query_chooses_masters(workshop: Any) -> None:
    workshop.model()
    chosen = workshop.master("A")
    workshop.master("B")
    assert [task.master_id for task in workshop.tasks(workshop.planned("accession_number:A"))] == [chosen]
    with pytest.raises(QueryError):
        workshop.plan("no_such_field:1")


def test_other_views_are_left_out_and_counted_unless_asked_for(workshop: Any) -> None:
    workshop.model()
    workshop.master("A")
    verso = workshop.master("A", view=View.VERSO)
    workshop.master("A", view=View.DETAIL)
    plan = workshop.plan(dry_run=True)
    assert (plan.tasks, left_out(plan)) == (2, {"view verso": 1})
    assert (plan.exclusions["view verso"].examples, plan.exclusions["view verso"].option) == (["A (2)"], "--view verso")
    assert [task.master_id for task in workshop.tasks(workshop.planned(views=[View.VERSO]))] == [verso]


def test_unsuited_masters_are_refused_with_the_reason_until_they_are_taken_in(workshop: Any) -> None:
    workshop.model(unsuited=["halftone"])
    negative = workshop.master("A", polarity=Polarity.NEGATIVE)
    printed = workshop.master("B", process="Halftone print")
    small = workshop.master("C", size=(40, 12))
    unknown = workshop.master("D")
    plan = workshop.plan()
    assert left_out(plan) == {"negative polarity": 1, "process halftone": 1, "smaller than 16 px": 1}
    assert {reason.option for reason in plan.exclusions.values()} == {"--unsuited"}
    assert [task.master_id for task in workshop.tasks(plan.batch_id)] == [unknown]
    assert [_master(workshop, each).refusal for each in (negative, printed, small, unknown)] == [
        "negative polarity",
        "process halftone",
        "smaller than 16 px",
        None,
    ]
    assert workshop.plan(include_unsuited=True).tasks == 4
    assert _master(workshop, negative).refusal is None


def test_strength_is_written_into_the_recipe(workshop: Any) -> None:
    workshop.model()
    workshop.master("A")
    workshop.run(workshop.planned(parameters={"strength": 0.25}))
    with workshop.catalogue.reading() as session:
        recipe = session.scalars(select(Recipe)).one()
        assert FullRecipe.from_json(recipe.canonical_json).stages[0].parameters == {"strength": 0.25}
        assert (recipe.sha256, [stage.version.version for stage in recipe.stages]) == (
            FullRecipe.from_json(recipe.canonical_json).sha256,
            ["1.0"],
        )
    # Another strength is another recipe.
    assert workshop.plan(dry_run=True).tasks == 1


def test_a_parameter_that_the_card_lacks_is_wrong_usage_and_names_those_it_has(workshop: Any) -> None:
    workshop.model(parameters={"grain": {"default": 0.5, "range": [0, 1]}})
    with pytest.raises(UsageError, match=r"no parameter strength; it has grain"):
        workshop.plan(parameters={"strength": 0.5})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "none"}, "Nothing to do"),
        ({"parameters": {"strength": 1.5}}, "between 0 and 1"),
    ],
)
def test_what_can_not_be_planned_is_wrong_usage(workshop: Any, options: dict[str, Any], message: str) -> None:
    workshop.model()
    with pytest.raises(UsageError, match=message):
        workshop.plan(**options)


def test_an_unknown_model_is_not_found(workshop: Any) -> None:
    with pytest.raises(NotFoundError):
        workshop.plan(model="mend@9.9")


def test_a_dry_run_counts_the_same_and_writes_nothing(workshop: Any) -> None:
    workshop.model(unsuited=["halftone"])
    workshop.master("A")
    refused = workshop.master("B", process="halftone")
    tried = workshop.plan(dry_run=True)
    assert (_count(workshop, Batch), _count(workshop, Recipe), _count(workshop, Task)) == (0, 0, 0)
    assert _master(workshop, refused).refusal is None
    done = workshop.plan()
    assert (tried.batch_id, tried.tasks, tried.recipes, tried.exclusions) == (
        None,
        done.tasks,
        done.recipes,
        done.exclusions,
    )


def test_a_batch_without_tasks_is_not_written(workshop: Any) -> None:
    workshop.model()
    assert workshop.plan().batch_id is None
    assert _count(workshop, Batch) == 0


def test_rerun_restores_what_is_stale_and_does_nothing_the_second_time(workshop: Any) -> None:
    workshop.model("1.0")
    workshop.master("A")
    workshop.run(workshop.planned(parameters={"strength": 0.5}))
    workshop.model("2.0")
    assert plan_rerun(workshop.catalogue).tasks == 0  # adding a version makes nothing stale
    workshop.approve("2.0")
    plan = plan_rerun(workshop.catalogue)
    assert plan.recipes == {"mend 2.0 (strength 0.5)": 1}
    assert plan.batch_id is not None
    workshop.run(plan.batch_id)
    old, new = workshop.derivatives()
    assert _master(workshop, old.master_id).current_restored_id == new.id
    assert plan_rerun(workshop.catalogue).batch_id is None


def test_rerun_gives_new_parameters_their_defaults(workshop: Any) -> None:
    workshop.model("1.0")
    workshop.master("A")
    workshop.run(workshop.planned(parameters={"strength": 0.5}))
    number = {"default": 1, "range": [0, 1]}
    workshop.model("2.0", parameters={"strength": number, "grain": number | {"default": 0.2}})
    plan = plan_rerun(workshop.catalogue, model="mend@2.0", dry_run=True)
    assert plan.recipes == {"mend 2.0 (grain 0.2, strength 0.5)": 1}


def test_rerun_drops_parameters_that_the_new_card_lacks(workshop: Any) -> None:
    workshop.model("1.0")
    workshop.master("A")
    workshop.run(workshop.planned())
    workshop.model("2.0", parameters={})
    assert plan_rerun(workshop.catalogue, model="mend@2.0", dry_run=True).recipes == {"mend 2.0": 1}


def test_rerun_to_a_named_version_takes_all_made_by_another_one(workshop: Any) -> None:
    workshop.model("1.0")
    workshop.model("2.0")
    workshop.master("A")
    workshop.run(workshop.planned())
    workshop.master("B")
    workshop.run(workshop.planned("accession_number:B", model="mend@2.0"))
    plan = plan_rerun(workshop.catalogue, model="mend@2.0")
    assert (plan.tasks, plan.already_made) == (1, 0)
    workshop.run(plan.batch_id)
    assert plan_rerun(workshop.catalogue, model="mend@2.0").tasks == 0
    back = plan_rerun(workshop.catalogue, model="mend@1.0")
    # A has its old derivative, which is current since 1.0 is the approved version.
    assert (back.tasks, back.already_made) == (1, 0)


def test_rerun_of_a_query_leaves_out_what_another_model_made(workshop: Any) -> None:
    workshop.model("1.0")
    workshop.model("1.0", name="sharpen")
    workshop.master("A")
    workshop.run(workshop.planned())
    plan = plan_rerun(workshop.catalogue, "accession_number:A", model="sharpen@1.0")
    assert (plan.tasks, left_out(plan)) == (0, {"restored by mend, not by sharpen": 1})


def test_rerun_after_an_accepted_derivative_is_done_once(workshop: Any) -> None:
    workshop.model("1.0")
    workshop.master("A")
    workshop.run(workshop.planned())
    review.record_decision(workshop.catalogue, "A", decision=Decision.ACCEPTED, reviewer="A. Curator")
    workshop.model("2.0")
    workshop.approve("2.0")
    workshop.run(plan_rerun(workshop.catalogue).batch_id)
    old, new = workshop.derivatives()
    assert _master(workshop, new.master_id).current_restored_id == old.id
    assert plan_rerun(workshop.catalogue).tasks == 0


def test_rerun_leaves_out_what_only_the_new_version_is_unsuited_to(workshop: Any) -> None:
    workshop.model("1.0")
    workshop.master("A", process="halftone")
    workshop.master("B", polarity=Polarity.NEGATIVE)
    workshop.run(workshop.planned(include_unsuited=True))
    workshop.model("2.0", unsuited=["halftone"])
    plan = plan_rerun(workshop.catalogue, model="mend@2.0", dry_run=True)
    # B was unsuited to 1.0 too, and taken in on purpose.
    assert (plan.tasks, left_out(plan)) == (1, {"process halftone": 1})


def test_planning_does_not_import_torch_or_image_code() -> None:
    program = (
        "import sys, archive.batches.planning.planner, archive.review, archive.model_registry\n"
        "assert not {'torch', 'numpy', 'tifffile'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_planning_takes_a_few_statements_however_many_masters(workshop: Any) -> None:
    workshop.model(unsuited=["halftone"])
    _fill(workshop.catalogue, 5_000)
    statements: list[str] = []
    event.listen(workshop.catalogue.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    plan = workshop.plan()
    assert (plan.tasks, left_out(plan)) == (4_500, {"process halftone": 500})
    assert len(statements) < 100
    assert len(workshop.tasks(plan.batch_id)) == 4_500
    assert _count(workshop, Derivative) == 0


def _fill(catalogue: Catalogue, count: int) -> None:
    with catalogue.session() as session:
        now = catalogue.now(session)
        root = Root(path="/scans")
        session.add(root)
        session.flush()
        session.execute(
            insert(Item),
            [
                {
                    "id": n,
                    "accession_number": f"N{n:06d}",
                    "process": "halftone" if n % 10 == 0 else None,
                    "access": Access.OPEN,
                    "extra": {},
                    "created_at": now,
                }
                for n in range(1, count + 1)
            ],
        )
        session.execute(
            insert(Master),
            [
                {
                    "id": n,
                    "item_id": n,
                    "sequence": 1,
                    "view": View.RECTO,
                    "root_id": root.id,
                    "path": f"/scans/{n}.tif",
                    "sha256": f"{n:064x}",
                    "size": 1,
                    "format": "TIFF",
                    "width": 100,
                    "height": 100,
                    "bits_per_sample": 8,
                    "samples_per_pixel": 1,
                    "ingested_at": now,
                }
                for n in range(1, count + 1)
            ],
        )


def test_a_rerun_of_a_recipe_that_can_not_be_read_says_so(workshop: Any) -> None:
    workshop.run(workshop.prepared("A"))
    workshop.model("2.0")
    workshop.approve("2.0")
    with workshop.catalogue.session() as session:
        session.execute(update(Recipe).values(canonical_json="not a recipe"))
    with pytest.raises(BatchError, match=r"recipe 1, .* can't be read"):
        plan_rerun(workshop.catalogue)


def test_negatives_by_their_process_are_counted_where_no_polarity_is_stated(workshop: Any) -> None:
    workshop.model()
    workshop.master("A", process="Glasnegativ")
    workshop.master("B", process="Glasnegativ", polarity=Polarity.POSITIVE)
    workshop.master("C", process="Silbergelatineabzug")
    plan = workshop.plan(dry_run=True)
    assert (plan.tasks, plan.unstated_negatives) == (3, 1)
