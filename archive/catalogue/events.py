"""PREMIS events and agents: what happened, and who did it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from archive import SOFTWARE_NAME, __version__
from archive.catalogue.schema.tables import Agent, Derivative, Event, Item, Master, ModelVersion
from archive.catalogue.schema.vocabularies import AgentType, EventType, Outcome


def software_agent(session: Session) -> Agent:
    """The agent for this version of the software."""
    return _agent(session, AgentType.SOFTWARE, SOFTWARE_NAME, __version__)


def person_agent(session: Session, name: str) -> Agent:
    """The agent for the person with this name."""
    return _agent(session, AgentType.PERSON, name, "")


def operator_agent(session: Session) -> Agent:
    """The agent for the operator, on whose behalf the session writes (:attr:`archive.settings.Settings.operator`).

    It is ``--operator``, else ``ARCHIVE_OPERATOR``, else the login name. A server for several people opens its sessions
    with :meth:`archive.catalogue.Catalogue.on_behalf_of`.
    """
    return person_agent(session, session.info["operator"])


def record_event(
    session: Session,
    event_type: EventType,
    *,
    at: datetime,
    outcome: Outcome = Outcome.SUCCESS,
    detail: str | None = None,
    agent: Agent | None = None,
    item: Item | None = None,
    master: Master | None = None,
    derivative: Derivative | None = None,
    version: ModelVersion | None = None,
) -> Event:
    """Adds an event about the given objects; the default agent is this software.

    The session's operator is recorded too.
    """
    session.flush()  # new objects get their ids
    event = Event(
        type=event_type,
        at=at,
        outcome=outcome,
        detail=detail,
        agent=agent or software_agent(session),
        operator=operator_agent(session),
        item_id=item.id if item else None,
        master_id=master.id if master else None,
        derivative_id=derivative.id if derivative else None,
        version_id=version.id if version else None,
    )
    session.add(event)
    return event


def record_derivative_events(
    session: Session,
    event_type: EventType,
    derivative_ids: Collection[int],
    *,
    at: datetime,
    detail: str,
    agent: Agent | None = None,
) -> None:
    """Adds an event about each of the derivatives, in one statement; otherwise like :func:`record_event`."""
    common = {
        "type": event_type,
        "at": at,
        "outcome": Outcome.SUCCESS,
        "detail": detail,
        "agent_id": (agent or software_agent(session)).id,
        "operator_id": operator_agent(session).id,
    }
    if derivative_ids:
        session.execute(insert(Event), [{**common, "derivative_id": each} for each in derivative_ids])


def _agent(session: Session, agent_type: AgentType, name: str, version: str) -> Agent:
    wanted = select(Agent).where(Agent.type == agent_type, Agent.name == name, Agent.version == version)
    if found := session.scalars(wanted).one_or_none():
        return found
    agent = Agent(type=agent_type, name=name, version=version)
    try:
        with session.begin_nested():
            session.add(agent)
    except IntegrityError:  # another process added it first
        return session.scalars(wanted).one()
    return agent
