"""Builds a large catalogue with plausible metadata, in bulk, for ``benchmarks/catalogue.py``.

Items come in fonds, as in a museum: consecutive accession numbers, mostly one creator, a few years, one collection.
Fonds are not ingested in the order of their accession numbers. The same size gives the same rows on every database.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import accumulate, islice
from random import Random
from typing import Any

from sqlalchemy import Connection, insert, select, text
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.edtf_dates import date_range
from archive.catalogue.engines import make_engine, write_engine
from archive.catalogue.events import person_agent, software_agent
from archive.catalogue.query.text_index import TEXT_FIELDS, fold_words, pair_words
from archive.catalogue.schema.column_types import Table
from archive.catalogue.schema.tables import (
    Model,
    ModelAlias,
    ModelVersion,
    Recipe,
    RecipeStage,
    Root,
)
from archive.catalogue.schema.text_index_tables import DistinctWord, ItemWord
from archive.catalogue.schema.vocabularies import APPROVED, DerivativeKind, StageTask
from archive.model_aliases import set_alias
from restoration.model_folders import ModelCard, parse_card
from restoration.recipe import Recipe as RecipeContent

MODEL = "denoise-deblur"
NEVER_USED = "0.3"
"""A version without derivatives: if it is approved, all restored masters are stale."""
RARE_MODEL = "mend-prints"
"""Another model: version 1.0 has a few derivatives, version 2.0 none."""

SCANS = "/scans"
"""The folder of the masters, as recorded. The text of a master's file is its id, that of a derivative's its path."""

_AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
_WRITTEN_AT = "2026-05-04 12:00:00.000000"  # in the format that both databases read
_CHUNK = 20_000  # items per commit
_BATCH = 10_000  # tasks per batch
_COMMON = fold_words("""
    the of portrait in a view and at with street woman man from house two children group seated near standing church
    family harbour girl boy river bridge unidentified studio market garden landscape workers railway mill winter
    wedding horse interior bay soldiers school farm mountain ship carriage festival square mother storm ruins
""")
_SYLLABLES = fold_words("""
    ba ki lor men tas vel dru ena fio gor hal ist jun kov lim nar osk pel qui rus sto tun ulm var wyn
""")
_GIVEN = ("Anna", "Eugène", "Dorothea", "Carl", "Émile", "Julia", "Otto", "Marie", "Nils", "Clara", "Félix", "Ida")
_PLACES = ("Nipomo", "Paris", "Łódź", "Bergen", "Trieste", "Oaxaca", "Leith", "Graz", "Malmö", "Ghent", "Tartu", "Brno")
_PROCESSES = ("gelatin silver print", "albumen print", "cyanotype", "autochrome", "collodion negative", "halftone")
# The model versions and the strength of each recipe; the last one is styled.
_RECIPES = (
    ((f"{MODEL}@0.1",), 1.0),
    ((f"{MODEL}@0.1",), 0.5),
    ((f"{MODEL}@0.2",), 1.0),
    ((f"{MODEL}@0.2", "autumn@1.0"), 1.0),
    ((f"{RARE_MODEL}@1.0",), 1.0),
)
_STYLED = 3
# Name, comparison image, least value and range.
_METRICS = (
    ("psnr", "source", 24.0, 16.0),
    ("ssim", "source", 0.6, 0.4),
    ("noise_sigma", None, 0.0, 0.1),
    ("blur_effect", None, 0.2, 0.5),
    ("contrast", None, 0.05, 0.3),
    ("colourfulness", None, 0.0, 0.5),
    ("changed_share", None, 0.0, 1.0),
)
_ENVIRONMENT = json.dumps({"software_version": "0.1.0", "device": "cpu", "precision": "fp32", "threads": 2, "seed": 0})

Rows = dict[str, list[tuple[Any, ...]]]
"""Rows by table name."""


def build(catalogue: Catalogue, items: int) -> None:
    """Fills an empty catalogue with ``items`` items, about twice as many derivatives, their scores, tasks and reviews.

    Version 0.2 of :data:`MODEL` is approved; a tenth of the items is stale.
    """
    with catalogue.session() as session:
        agent = person_agent(session, "A. Reviewer").id
        software_agent(session)
        _add_models(session)
        session.add(Root(id=1, path="/"))
    indexes = [index for table in Table.metadata.tables.values() for index in table.indexes]
    rows = _catalogue(items, agent)
    with write_engine(make_engine(catalogue.settings, migrating=True)).connect() as connection:
        with connection.begin():
            for index in indexes:
                index.drop(connection)
        while chunk := list(islice(rows, _CHUNK)):
            with connection.begin():
                _write(connection, chunk)
        with connection.begin():
            for index in indexes:
                index.create(connection)
            words = select(ItemWord.field, ItemWord.word).distinct()
            connection.execute(insert(DistinctWord).from_select(["field", "word"], words))
            _count_ids_on(connection)
    if catalogue.engine.dialect.name == "postgresql":
        with catalogue.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))  # as the server does eventually


def approve(catalogue: Catalogue, model: str, version: str) -> None:
    """Moves the model's approved alias, as a person does, so that current derivatives follow."""
    set_alias(catalogue, model, version, APPROVED, "A. Curator")


def _add_models(session: Session) -> None:
    """Registers the models and the recipes; the recipes' ids are their indexes in ``_RECIPES`` plus 1."""
    versions: dict[str, tuple[ModelCard, ModelVersion]] = {}
    for name, numbers, approved in (
        (MODEL, ("0.1", "0.2", NEVER_USED), "0.2"),
        ("autumn", ("1.0",), "1.0"),
        (RARE_MODEL, ("1.0", "2.0"), "1.0"),
    ):
        model = Model(name=name, task=StageTask.STYLE if name == "autumn" else StageTask.RESTORATION)
        for number in numbers:
            card = _card(name, number, model.task.value)
            row = ModelVersion(
                model=model,
                version=number,
                weights_sha256=card.weights_sha256,
                card=dict(card.content),
                folder=f"/models/{name}/{number}",
                registered_at=_AT,
            )
            session.add(row)
            session.flush()
            versions[card.reference] = card, row
        session.add(ModelAlias(model_id=model.id, alias=APPROVED, version_id=versions[f"{name}@{approved}"][1].id))
    for place, (references, strength) in enumerate(_RECIPES):
        used = [versions[reference] for reference in references]
        content = RecipeContent(stages=tuple(card.stage({"strength": strength}) for card, _ in used))
        stages = [
            RecipeStage(position=position, task=row.model.task, version=row) for position, (_, row) in enumerate(used)
        ]
        kind = DerivativeKind.STYLED if place == _STYLED else DerivativeKind.RESTORED
        json_text = content.canonical_json()
        session.add(Recipe(id=place + 1, sha256=content.sha256, canonical_json=json_text, kind=kind, stages=stages))


def _card(name: str, version: str, task: str) -> ModelCard:
    return parse_card(
        {
            "name": name,
            "version": version,
            "task": task,
            "architecture": {"name": "none"},
            "parameters": {"strength": {"default": 1.0, "range": [0, 1]}},
            "suited_to": {"polarity": ["positive"], "unsuited_processes": ["halftone"], "minimum_size_px": 64},
            "weights_sha256": _digest(f"{name} {version}"),
            "training": {},
            "evaluation": {},
            **({"style": {"palette": "toned"}} if task == "style" else {}),
        }
    )


def _catalogue(items: int, agent: int) -> Iterator[Rows]:
    """Yields the rows of each item."""
    random = Random(1)  # noqa: S311
    derivatives, batches = 0, 0
    for item_id, fields in enumerate(islice(_described(random, items), items), start=1):
        rows: Rows = defaultdict(list)
        first, last = _days(fields["date"]) if fields["date"] else (None, None)
        polarity = "negative" if "negative" in fields["process"] else "positive"
        access = random.choices(("open", "restricted", "sensitive"), (940, 58, 2))[0]
        described = (fields["title"], fields["creator"], fields["date"], first, last, fields["description"])
        kept = (fields["place"], fields["process"], polarity, access, fields["collection"], "{}", _WRITTEN_AT)
        rows["items"].append((item_id, fields["accession_number"], *described, *kept))
        rows["item_words"] += [
            (field, word, next_word, item_id, position)
            for field in TEXT_FIELDS
            for position, (word, next_word) in enumerate(pair_words(_folded(fields.get(field))))
        ]
        derivatives = _add_masters(rows, random, item_id, derivatives, agent)
        while batches <= derivatives // _BATCH:
            batches += 1
            rows["batches"].append((batches, "restore", "{}", 0, _WRITTEN_AT, agent))
        yield rows


def _described(random: Random, items: int) -> Iterator[dict[str, Any]]:
    """Yields the metadata of the items, fonds by fonds."""
    creators = [f"{random.choice(_GIVEN)} {_word(random).title()}" for _ in range(max(20, items // 200))]
    fame = list(accumulate(1 / rank for rank in range(1, len(creators) + 1)))
    words = _COMMON + [_word(random) for _ in range(40_000)]
    weights = list(accumulate(1 / (rank + 2) for rank in range(len(words))))
    numbers = list(range(10_000, 10_000 + items // 20 + 10))
    random.shuffle(numbers)
    for number in numbers:
        (creator,) = random.choices(creators, cum_weights=fame)
        year, place, process = random.randint(1845, 1975), random.choice(_PLACES), random.choice(_PROCESSES)
        for sheet in range(int(random.paretovariate(1.1) * 10) % 5_000 + 1):
            has_description = random.random() < 0.2
            yield {
                "accession_number": f"{1880 + number % 140}.{number}.{sheet:04d}",
                "title": " ".join(random.choices(words, cum_weights=weights, k=random.randint(2, 7))).capitalize(),
                "creator": creator if random.random() < 0.85 else "Unknown",
                "date": _date(random, year),
                "description": " ".join(random.choices(words, cum_weights=weights, k=12)) if has_description else None,
                "place": place,
                "process": process,
                "collection": f"Fonds {number % 400}",
            }


def _add_masters(rows: Rows, random: Random, item_id: int, derivatives: int, agent: int) -> int:
    """Adds the item's masters with their derivatives; returns the highest derivative id."""
    master_id = 2 * item_id - 1
    recipes, status, refusal = _history(random)
    restored: list[int] = []
    styled: int | None = None
    psnr: dict[int, float] = {}
    for recipe in recipes:
        derivatives += 1
        kind = "styled" if recipe == _STYLED else "restored"
        path = f"derivatives/{item_id}/{item_id}_001_{kind}_{recipe}.tif"
        batch, digest = derivatives // _BATCH + 1, _digest(path)
        made = (batch, kind, path, digest, digest, 50_000_000, _digest(f"{master_id}"), _ENVIRONMENT, "[]", "[]")
        rows["derivatives"].append((derivatives, master_id, recipe + 1, *made, _WRITTEN_AT, None, False))
        rows["tasks"].append((batch, master_id, recipe + 1, "done", 1, None, derivatives))
        rows["events"].append(("derivation", _WRITTEN_AT, "success", agent, None, master_id, derivatives))
        scores = [(name, against, round(least + span * random.random(), 4)) for name, against, least, span in _METRICS]
        psnr[derivatives] = scores[0][2]
        rows["quality_scores"] += [
            (derivatives, name, value, "derivative", against, "encoded grey", 1.0, "scikit-image 0.26.0")
            for name, against, value in scores
        ]
        if recipe == _STYLED:
            styled = derivatives
        else:
            restored.insert(0, derivatives)
    if status == "failed":
        rows["tasks"].append((derivatives // _BATCH + 1, master_id, 1, status, 1, "truncated file", None))
    decision = random.choices((None, "accepted", "rejected"), (90, 9, 1))[0] if restored else None
    if decision:
        rows["reviews"].append((restored[0], _digest(f"{item_id}"), decision, agent, _WRITTEN_AT))
    current = next(iter(restored[decision == "rejected" :]), None)
    score = None if current is None else psnr[current]
    current_recipe = None if current is None else recipes[current - min(restored)] + 1
    follows = (status, refusal, current, styled, current_recipe, styled and _STYLED + 1, score, score and score / 50)
    is_stale = current is not None and not {2, 4}.intersection(recipes)
    rows["masters"].append((*_scan(master_id, item_id, 1, "recto"), *follows, is_stale))
    rows["events"].append(("ingestion", _WRITTEN_AT, "success", agent, item_id, master_id, None))
    if random.random() < 0.08:
        rows["masters"].append((*_scan(master_id + 1, item_id, 2, "verso"), *[None] * len(follows), False))
    return derivatives


def _history(random: Random) -> tuple[list[int], str | None, str | None]:
    """The recipes applied to a master, its last task's status, and the reason why the last plan left it out."""
    chance = random.random()
    if chance < 0.08:
        return [], None, None
    if chance < 0.12:
        return [], None, "negative polarity"
    if chance < 0.1201:
        return [], "failed", None
    if chance < 0.22:
        return [0, 1], "done", None  # the stale tenth
    if chance < 0.2202:
        return [2], "done", None  # stale if version 0.1 is approved
    if chance < 0.2204:
        return [4], "done", None
    return [0, 1, 2][random.random() < 0.7 :] + ([_STYLED] if random.random() < 0.05 else []), "done", None


def _scan(master_id: int, item_id: int, sequence: int, view: str) -> tuple[Any, ...]:
    name, digest = f"{SCANS}/{item_id // 1000}/{master_id}.tif", _digest(f"{master_id}")
    return (master_id, item_id, sequence, view, 1, name, 1, digest, 60_000_000, "TIFF", 6_000, 4_000, 8, 1, _WRITTEN_AT)


# The columns of each table, in the order of the rows.
_COLUMNS = {
    "batches": "id kind options priority created_at agent_id",
    "items": "id accession_number title creator date date_earliest date_latest description place process polarity "
    "access collection extra created_at",
    "item_words": "field word next_word item_id position",
    "masters": "id item_id sequence view root_id path page sha256 size format width height bits_per_sample "
    "samples_per_pixel ingested_at last_task_status refusal current_restored_id current_styled_id "
    "current_restored_recipe_id current_styled_recipe_id psnr_source ssim_source is_stale",
    "derivatives": "id master_id recipe_id batch_id kind path sha256 pixel_sha256 size master_sha256 environment "
    "stage_records notes created_at verified_at is_trial",
    "tasks": "batch_id master_id recipe_id status attempts error derivative_id",
    "quality_scores": "derivative_id metric value image compared_with colour_space data_range implementation",
    "reviews": "derivative_id sha256 decision agent_id at",
    "events": "type at outcome agent_id item_id master_id derivative_id",
}


def _write(connection: Connection, chunk: Sequence[Rows]) -> None:
    """Writes the rows of a chunk of items by the fastest way of each database."""
    cursor = connection.connection.cursor()
    if connection.dialect.name == "sqlite":
        cursor.execute("PRAGMA cache_size = -1000000")  # kibibytes: unique indexes are filled in random order
    else:
        cursor.execute("SET LOCAL TimeZone = 'UTC'")
        cursor.execute("SET LOCAL session_replication_role = replica")  # disables foreign key checks
    for table, named in _COLUMNS.items():
        columns = named.split()
        rows = [row for item in chunk for row in item.get(table, ())]
        if connection.dialect.name == "postgresql":
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            places = ", ".join("?" * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608
    cursor.close()


def _count_ids_on(connection: Connection) -> None:
    """Sets PostgreSQL's sequences to follow the written ids; SQLite needs nothing."""
    if connection.dialect.name == "postgresql":
        for table in Table.metadata.tables.values():
            if "id" in table.columns:
                highest = f"(SELECT max(id) FROM {table.name})"  # noqa: S608
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), {highest})"))


def _date(random: Random, year: int) -> str | None:
    year += random.randint(0, 4)
    forms = (None, f"{year}", f"{year}~", f"{year // 10}X", f"{year}-05", f"{year}/{year + 3}")
    return random.choices(forms, (10, 40, 20, 15, 10, 5))[0]


def _word(random: Random) -> str:
    return "".join(random.choices(_SYLLABLES, k=random.randint(2, 4)))


def _digest(text_: str) -> str:
    return hashlib.sha256(text_.encode()).hexdigest()


_days = cache(date_range)


def _folded(text_: str | None) -> list[str]:
    return fold_words(text_) if text_ else []
