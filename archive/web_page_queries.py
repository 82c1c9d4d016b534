"""Queries of the web pages, limited to the items that an account may see."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import joinedload

from archive.accounts import Account
from archive.catalogue import Catalogue
from archive.catalogue.current_derivative import newest_decision
from archive.catalogue.listings import get_batch, get_item_details, list_batches, list_items
from archive.catalogue.schema.tables import Batch, Derivative, Item, Master, Review, Task
from archive.catalogue.schema.vocabularies import Access, DerivativeKind, TaskStatus
from archive.display_labels import Record, describe_recipe
from archive.errors import NotFoundError

PAGE_SIZE = 48


@dataclass(frozen=True, kw_only=True)
class ItemCard:
    """An item in a list, with the ids of its pictures."""

    record: Record
    """As in ``archive list``."""
    master_id: int | None
    derivative_id: int | None
    """The current restored derivative."""


@dataclass(frozen=True, kw_only=True)
class DerivativePage:
    """A derivative with its item, its master, its reviews, and the other derivatives of the same master."""

    item: Record
    master: Record
    derivative: Record
    siblings: list[Record]
    reviews: list[Record]
    """All decisions, newest first."""

    @property
    def recipe(self) -> str:
        return describe_recipe(self.derivative["recipe"])

    @property
    def scores(self) -> dict[str, list[tuple[str, bool, list[Record | None]]]]:
        """Scores of the whole picture: metric, whether it is against the clean reference, and score.

        ``changed`` are those against the scan; ``before_after`` has two scores each, of scan and derivative.
        """
        whole = [score for score in self.derivative["quality"] if score["stage"] is None]
        changed: list[tuple[str, bool, list[Record | None]]] = [
            (score["metric"], False, [score]) for score in whole if score["compared_with"] == "source"
        ]
        before_after: dict[tuple[str, bool], dict[str, Record]] = {}
        for score in whole:
            if score["compared_with"] in (None, "reference"):
                key = score["metric"], score["compared_with"] is not None
                before_after.setdefault(key, {})[score["image"]] = score
        both = [(*key, [found.get("source"), found.get("derivative")]) for key, found in before_after.items()]
        return {"changed": changed, "before_after": both}


def browse_items(
    catalogue: Catalogue, account: Account, query: str | None, *, after: str | None = None, limit: int = PAGE_SIZE
) -> list[ItemCard]:
    """A page of the items that ``query`` finds, by accession number, from the first one after ``after``.

    Raises:
        QueryError: the query has a mistake.
    """
    with catalogue.reading() as session:
        found = list_items(session, query, limit, access=account.access, after=after, further=["access", "date_text"])
        records = list(found)
        masters: dict[int, tuple[int, int | None]] = {}
        rows = session.execute(
            select(Master.item_id, Master.id, Master.current_restored_id)
            .where(Master.item_id.in_([record["id"] for record in records]))
            .order_by(Master.current_restored_id.is_(None), Master.sequence)
        )
        for item_id, master_id, derivative_id in rows:
            masters.setdefault(item_id, (master_id, derivative_id))
    return [
        ItemCard(
            record=record,
            master_id=masters.get(record["id"], (None, None))[0],
            derivative_id=masters.get(record["id"], (None, None))[1],
        )
        for record in records
    ]


def get_item_page(catalogue: Catalogue, account: Account, item_id: int) -> Record:
    """An item with everything that ``archive show`` shows.

    Raises:
        NotFoundError: there is no such item, or the account may not see it.
    """
    with catalogue.reading() as session:
        item = session.get(Item, item_id)
        if item is None or item.access not in account.access:
            raise NotFoundError(f"No item {item_id}.")
        return get_item_details(catalogue, session, item.accession_number)


def get_derivative_page(catalogue: Catalogue, account: Account, derivative_id: int) -> DerivativePage:
    """One derivative with its item, master, reviews, and the other derivatives of the master.

    Raises:
        NotFoundError: the derivative does not exist, or the account may not see it.
    """
    with catalogue.reading() as session:
        found = session.execute(
            select(Item.accession_number, Item.access, Master.sequence)
            .join(Master, Master.item_id == Item.id)
            .join(Derivative, Derivative.master_id == Master.id)
            .where(Derivative.id == derivative_id)
        ).one_or_none()
        if found is None or found.access not in account.access:
            raise NotFoundError(f"No derivative {derivative_id}.")
        item = get_item_details(catalogue, session, found.accession_number)
        reviews = session.scalars(
            select(Review)
            .where(Review.derivative_id == derivative_id)
            .order_by(Review.id.desc())
            .options(joinedload(Review.agent))
        )
        return DerivativePage(
            item=item,
            master=next(each for each in item["masters"] if each["sequence"] == found.sequence),
            derivative=next(each for each in item["derivatives"] if each["id"] == derivative_id),
            siblings=[each for each in item["derivatives"] if each["master"] == found.sequence],
            reviews=[
                {
                    "decision": review.decision.value,
                    "reason": review.reason,
                    "reviewer": review.agent.name,
                    "at": review.at.isoformat(timespec="seconds"),
                }
                for review in reviews
            ],
        )


def find_accession_number(catalogue: Catalogue, derivative_id: int, access: Collection[Access]) -> str:
    """The accession number of a derivative's item.

    Raises:
        NotFoundError: the derivative does not exist, or its item's access is not in ``access``.
    """
    with catalogue.reading() as session:
        found = session.scalar(
            select(Item.accession_number)
            .join(Master, Master.item_id == Item.id)
            .join(Derivative, Derivative.master_id == Master.id)
            .where(Derivative.id == derivative_id, Item.access.in_(access))
        )
    if found is None:
        raise NotFoundError(f"No derivative {derivative_id}.")
    return found


def browse_batches(catalogue: Catalogue) -> list[dict[str, Any]]:
    """All batches, newest first."""
    with catalogue.reading() as session:
        return list(list_batches(session))[::-1]


def get_batch_page(catalogue: Catalogue, account: Account, batch_id: int) -> dict[str, Any]:
    """A batch with its failures, of which those that the account may not see are only counted (``hidden``).

    The reason why its last run stopped may name any master. It is None for an account that may not see all.

    Raises:
        NotFoundError: there is no such batch.
    """
    with catalogue.reading() as session:
        found = get_batch(session, batch_id)
        seen = set(
            session.scalars(
                select(Item.accession_number)
                .join(Master, Master.item_id == Item.id)
                .join(Task, Task.master_id == Master.id)
                .where(Task.batch_id == batch_id, Task.status == TaskStatus.FAILED, Item.access.in_(account.access))
            )
        )
    visible = [failure for failure in found["failures"] if failure["accession_number"] in seen]
    last_run = found["last_run"]
    if last_run is not None and account.access != set(Access):
        last_run = {**last_run, "reason": None}
    return {**found, "last_run": last_run, "failures": visible, "hidden": len(found["failures"]) - len(visible)}


def get_batch_progress(catalogue: Catalogue, batch_id: int) -> dict[str, Any]:
    """The status of a batch, the number of its tasks, and the count of each status of tasks.

    Raises:
        NotFoundError: there is no such batch.
    """
    with catalogue.reading() as session:
        found = next(list_batches(session, batch_id), None)
    if found is None:
        raise NotFoundError(f"No batch {batch_id}.")
    return {name: found[name] for name in ("status", "tasks", *(status.value for status in TaskStatus))}


def has_unreviewed_trials(catalogue: Catalogue, batch_id: int | None) -> bool:
    """Whether a trial, other than this batch, made a current derivative without a decision.

    A full run doesn't make a trial's results again, but lets them count: a queue of its own batch misses them.
    """
    with catalogue.reading() as session:
        # As Batch.is_trial:
        trial, sample = Batch.options["trial"].as_boolean(), Batch.options["sample"].as_string()
        found = (
            select(Derivative.id)
            .join(Batch, Batch.id == Derivative.batch_id)
            .join(Master, Master.current_restored_id == Derivative.id)
            .where(or_(trial.is_(True), sample.is_not(None)), Batch.id.is_distinct_from(batch_id))
            .where(newest_decision(Derivative.id).is_(None))
        )
        return session.scalar(found.limit(1)) is not None


def newest_batch(catalogue: Catalogue) -> int | None:
    """The id of the newest batch that made a restored derivative, if there is one."""
    with catalogue.reading() as session:
        return session.scalar(
            select(Batch.id)
            .join(Derivative, Derivative.batch_id == Batch.id)
            .where(Derivative.kind == DerivativeKind.RESTORED)
            .order_by(Batch.id.desc())
            .limit(1)
        )
