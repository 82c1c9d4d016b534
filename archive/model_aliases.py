"""Aliases of model versions: names that a person moves from version to version; ``approved`` is the version in use."""

from __future__ import annotations

import re
from difflib import get_close_matches

from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.approved_versions import apply_approved_version
from archive.catalogue.events import person_agent, record_event
from archive.catalogue.listings import find_version
from archive.catalogue.schema.tables import Agent, ModelAlias, ModelVersion
from archive.catalogue.schema.vocabularies import APPROVED, EventType
from archive.errors import NotFoundError, UsageError
from archive.progress_reporting import NoProgress, Progress

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")


def set_alias(
    catalogue: Catalogue,
    name: str,
    version: str,
    alias: str,
    person_name: str,
    *,
    progress: Progress | None = None,
) -> bool:
    """Makes ``name@alias`` refer to ``name@version`` from now on, and records the person's decision as an event.

    Returns whether it did not before.

    A changed approved version changes which derivatives are current, see
    :func:`archive.catalogue.approved_versions.apply_approved_version`. If that is interrupted, repeat the call.

    Raises:
        UsageError: the alias or the version is malformed, the alias is easily taken for ``approved``, or the person's
            name is empty.
        NotFoundError: the version does not exist.
    """
    _check_alias_change(alias, person_name)
    if alias != APPROVED and get_close_matches(alias.casefold(), [APPROVED], cutoff=0.8):
        raise UsageError(f"{alias!r} is not set, because it is easily taken for {APPROVED!r}: take another name")
    if not version[:1].isdecimal():
        raise UsageError(f"{version!r} is not a version. An alias points to a version, such as 1.0.")
    with catalogue.session() as session:
        found = find_version(session, f"{name}@{version}")
        has_changed = point_alias(catalogue, session, found, alias, agent=person_agent(session, person_name.strip()))
        model_id = found.model_id
    if alias == APPROVED:
        apply_approved_version(catalogue, model_id, progress or NoProgress())
    return has_changed


def remove_alias(catalogue: Catalogue, name: str, version: str, alias: str, person_name: str) -> None:
    """Removes ``name@alias``, which refers to ``name@version``, and records the person's decision as an event.

    Raises:
        UsageError: the alias is ``approved`` or refers to another version, or the person's name is empty.
        NotFoundError: the alias does not exist.
    """
    _check_alias_change(alias, person_name)
    if alias == APPROVED:
        raise UsageError(
            f"{name}@{APPROVED} can't be removed, because {name} alone means it. Move it to another version: "
            f"`archive model alias {name} VERSION {APPROVED}`"
        )
    with catalogue.session() as session:
        model_id = find_version(session, f"{name}@{alias}").model_id
        row = _locked(session, model_id, alias)
        if row is None:
            raise NotFoundError(f"{name}@{alias} has just been removed by somebody else")
        found = row.version
        if found.version != version:
            raise UsageError(f"{name}@{alias} is not removed, because it is {name}@{found.version}, not {version}")
        session.delete(row)
        record_event(
            session,
            EventType.ALIAS_CHANGE,
            detail=f"{name}@{alias}: {version} -> nothing",
            agent=person_agent(session, person_name.strip()),
            version=found,
            at=catalogue.now(session),
        )


def _check_alias_change(alias: str, person_name: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise UsageError(
            f"{alias!r} can't be an alias: it starts with a letter and holds letters, digits, '.', '_' and '-'. "
            "It follows the version: NAME VERSION ALIAS"
        )
    if not person_name.strip():
        raise UsageError("a change of an alias is a person's decision: name who decides")


def point_alias(
    catalogue: Catalogue, session: Session, version: ModelVersion, alias: str, *, agent: Agent | None
) -> bool:
    """Makes ``alias`` refer to ``version`` and records it, unless it does already; returns whether it did not.

    The approved version decides which derivatives are current, so apply it after the commit. A new model has made none.
    """
    at = catalogue.now(session)
    row = _locked(session, version.model_id, alias)
    if row is None:
        before = "nothing"
        session.add(ModelAlias(model_id=version.model_id, alias=alias, version_id=version.id))
    elif row.version_id == version.id:
        return False
    else:
        before = row.version.version
        row.version = version
        row.unapplied_since = at if alias == APPROVED else None
    session.flush()
    record_event(
        session,
        EventType.ALIAS_CHANGE,
        detail=f"{version.model.name}@{alias}: {before} -> {version.version}",
        agent=agent,
        version=version,
        at=at,
    )
    return True


def _locked(session: Session, model_id: int, alias: str) -> ModelAlias | None:
    """The present row of an alias, locked until the transaction ends."""
    return session.get(ModelAlias, (model_id, alias), with_for_update=True, populate_existing=True)
