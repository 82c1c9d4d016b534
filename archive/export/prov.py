"""W3C PROV: the provenance of items, as PROV-JSON or PROV-N (https://www.w3.org/TR/prov-overview/).

Items, masters, derivatives and recipes are entities; a recipe is the plan of the derivation that used it. Events are
activities. People, this software and the model versions are agents.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, TextIO

from archive.catalogue.schema.tables import Agent, Derivative, Event, Master, ModelVersion, Recipe
from archive.catalogue.schema.vocabularies import AgentType, EventType
from archive.export.identifiers import (
    agent_identifier,
    derivative_identifier,
    event_identifier,
    item_identifier,
    master_identifier,
    model_identifier,
    recipe_identifier,
    subject_identifier,
)
from archive.export.item_records import ItemRecord
from archive.export.output_file import begins_with

_PREFIXES = {
    "archive": "urn:archive-restoration:terms:",
    "dcterms": "http://purl.org/dc/terms/",
    "uuid": "urn:uuid:",
}
_QUALIFIED_NAME = "prov:QUALIFIED_NAME"
# The formal arguments of each record, in the order of PROV-N.
_ARGUMENTS = {
    "entity": (),
    "activity": ("prov:startTime", "prov:endTime"),
    "agent": (),
    "used": ("prov:activity", "prov:entity", "prov:time"),
    "wasGeneratedBy": ("prov:entity", "prov:activity", "prov:time"),
    "wasAssociatedWith": ("prov:activity", "prov:agent", "prov:plan"),
    "actedOnBehalfOf": ("prov:delegate", "prov:responsible", "prov:activity"),
    "wasInvalidatedBy": ("prov:entity", "prov:activity", "prov:time"),
    "wasDerivedFrom": (
        *("prov:generatedEntity", "prov:usedEntity", "prov:activity"),
        *("prov:generation", "prov:usage"),
    ),
    "specializationOf": ("prov:specificEntity", "prov:generalEntity"),
}


@dataclass(frozen=True)
class QualifiedName:
    """A name with a prefix, as the value of an attribute."""

    name: str


@dataclass(frozen=True, kw_only=True)
class ProvRecord:
    """One statement of PROV."""

    kind: str
    identifier: str | None = None
    """Of an element; None for a relation."""
    arguments: tuple[str | None, ...] = ()
    attributes: tuple[tuple[str, str | QualifiedName], ...] = ()


def write_prov_json(records: Iterable[ItemRecord], file: TextIO) -> None:
    """Writes PROV-JSON: one object whose members are the kinds of records."""
    with ExitStack() as stack:
        # Each kind is one member of the object, so all of its records must be written together.
        spooled = {
            kind: stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", newline="")) for kind in _ARGUMENTS
        }
        counts = dict.fromkeys(_ARGUMENTS, 0)
        for record in _statements(records):
            counts[record.kind] += 1
            name = record.identifier or f"_:{record.kind}{counts[record.kind]}"
            separator = ",\n" if counts[record.kind] > 1 else ""
            spooled[record.kind].write(f"{separator}{_json(name)}: {_json(_as_json(record))}")
        file.write(_json_head())
        for kind, lines in spooled.items():
            if counts[kind]:
                file.write(f',\n"{kind}": {{\n')
                lines.seek(0)
                while block := lines.read(1 << 20):
                    file.write(block)
                file.write("\n}")
        file.write("\n}\n")


def write_prov_n(records: Iterable[ItemRecord], file: TextIO) -> None:
    """Writes PROV-N: one statement per line, in the order of the items."""
    file.write(_prov_n_head())
    file.writelines(f"  {_as_prov_n(record)}\n" for record in _statements(records))
    file.write("endDocument\n")


def is_prov_json_export(file: BinaryIO) -> bool:
    """Whether a file begins as :func:`write_prov_json` begins it."""
    return begins_with(file, _json_head())


def is_prov_n_export(file: BinaryIO) -> bool:
    """Whether a file begins as :func:`write_prov_n` begins it."""
    return begins_with(file, _prov_n_head())


def _json_head() -> str:
    return f'{{\n"prefix": {_json(_PREFIXES)}'


def _prov_n_head() -> str:
    prefixes = "".join(f"  prefix {prefix} <{uri}>\n" for prefix, uri in _PREFIXES.items())
    return f"document\n{prefixes}\n"


def _statements(records: Iterable[ItemRecord]) -> Iterator[ProvRecord]:
    writer = _Writer()
    for record in records:
        yield from writer.item(record)


@dataclass(kw_only=True)
class _Writer:
    """Makes the statements; agents and recipes, which many items share, are written once."""

    _stated: set[str] = field(default_factory=set)

    def item(self, record: ItemRecord) -> Iterator[ProvRecord]:
        yield _item(record)
        for master in record.masters:
            yield _master(master)
            yield _relation("specializationOf", _name(master_identifier(master)), _name(item_identifier(record.item)))
            for made in master.derivatives:
                yield from self._recipe(made.recipe)
                yield _derivative(made)
        masters = {master.id: master for master in record.masters}
        derivatives = {derivative.id: derivative for derivative in record.derivatives}
        for event in record.events:
            derivative = derivatives.get(event.derivative_id or 0)
            about = subject_identifier(record.item, masters.get(event.master_id or 0), derivative)
            yield from self._event(event, about, derivative)

    def _event(self, event: Event, about: str, derivative: Derivative | None) -> Iterator[ProvRecord]:
        activity = _name(event_identifier(event, about))
        at = _time(event.at)
        yield ProvRecord(
            kind="activity",
            identifier=activity,
            arguments=(at, at),
            attributes=(
                ("prov:type", QualifiedName(f"archive:{event.type.replace(' ', '-')}")),
                *_texts({"archive:outcome": event.outcome, "archive:detail": event.detail}),
            ),
        )
        operators = [event.operator]
        plan = None
        if derivative is not None and event.type is EventType.DERIVATION:
            plan = _name(recipe_identifier(derivative.recipe))
            made, source = _name(about), _name(master_identifier(derivative.master))
            yield _relation("used", activity, source, None)
            yield _relation("wasGeneratedBy", made, activity, at)
            yield _relation("wasDerivedFrom", made, source, activity, None, None)
            operators += [derivative.operator, derivative.batch.operator]
            for stage in derivative.recipe.stages:
                yield from self._model(stage.version)
                yield _relation("wasAssociatedWith", activity, _name(model_identifier(stage.version)), plan)
        else:
            yield _relation("used", activity, _name(about), None)
            if derivative is not None and event.type is EventType.DELETION and _is_of_withdrawal(event, derivative):
                yield _relation("wasInvalidatedBy", _name(about), activity, at)
        yield from self._associations(event.agent, operators, activity, plan)

    def _associations(
        self, agent: Agent, operators: Iterable[Agent | None], activity: str, plan: str | None
    ) -> Iterator[ProvRecord]:
        yield from self._agent(agent)
        acting = agent_identifier(agent)
        yield _relation("wasAssociatedWith", activity, _name(acting), plan)
        people = {agent_identifier(person): person for person in operators if person is not None}
        for identifier, person in people.items():
            if identifier != acting:
                yield from self._agent(person)
                yield _relation("wasAssociatedWith", activity, _name(identifier), None)
                yield _relation("actedOnBehalfOf", _name(acting), _name(identifier), activity)

    def _agent(self, agent: Agent) -> Iterator[ProvRecord]:
        kind = "prov:Person" if agent.type is AgentType.PERSON else "prov:SoftwareAgent"
        yield from self._once(
            "agent",
            agent_identifier(agent),
            ("prov:type", QualifiedName(kind)),
            *_texts({"prov:label": agent.name, "archive:version": agent.version or None}),
        )

    def _model(self, version: ModelVersion) -> Iterator[ProvRecord]:
        yield from self._once(
            "agent",
            model_identifier(version),
            ("prov:type", QualifiedName("prov:SoftwareAgent")),
            *_texts(
                {
                    "prov:label": version.model.name,
                    "archive:version": version.version,
                    "archive:weights_sha256": version.weights_sha256,
                }
            ),
        )

    def _recipe(self, recipe: Recipe) -> Iterator[ProvRecord]:
        yield from self._once(
            "entity",
            recipe_identifier(recipe),
            ("prov:type", QualifiedName("prov:Plan")),
            *_texts({"archive:sha256": recipe.sha256, "archive:recipe": recipe.canonical_json}),
        )

    def _once(self, kind: str, identifier: str, *attributes: tuple[str, str | QualifiedName]) -> Iterator[ProvRecord]:
        if identifier not in self._stated:
            self._stated.add(identifier)
            yield ProvRecord(kind=kind, identifier=_name(identifier), attributes=attributes)


def _is_of_withdrawal(event: Event, derivative: Derivative) -> bool:
    """Whether a deletion belongs to the derivative's withdrawal, and not to an earlier one that was lifted."""
    return derivative.withdrawn_at is not None and event.at >= derivative.withdrawn_at


def _item(record: ItemRecord) -> ProvRecord:
    item = record.item
    texts = {
        "dcterms:identifier": item.accession_number,
        "dcterms:title": item.title,
        "dcterms:creator": item.creator,
        "dcterms:date": item.date,
        "dcterms:rights": item.rights,
        "dcterms:accessRights": item.access,
        "archive:identifiers": _json(record.identifiers) if record.identifiers else None,
    }
    return _entity(item_identifier(item), "archive:item", texts)


def _master(master: Master) -> ProvRecord:
    texts = {
        "prov:label": f"{master.item.accession_number}, master {master.sequence}",
        "archive:path": master.path,
        "archive:sha256": master.sha256,
        "archive:view": master.view,
        "archive:captured_at": master.captured_at,
        "archive:captured_by": master.captured_by,
    }
    return _entity(master_identifier(master), "archive:master", texts)


def _derivative(derivative: Derivative) -> ProvRecord:
    device = derivative.environment.get("device")
    texts = {
        "prov:label": f"{derivative.master.item.accession_number}, {derivative.kind} derivative {derivative.id}",
        "archive:path": derivative.path,
        "archive:sha256": derivative.sha256,
        "archive:pixel_sha256": derivative.pixel_sha256,
        "archive:software_version": derivative.environment.get("software_version"),
        "archive:device": None if device is None else str(device),
    }
    return _entity(derivative_identifier(derivative), f"archive:{derivative.kind}-derivative", texts)


def _entity(identifier: str, kind: str, texts: dict[str, str | None]) -> ProvRecord:
    attributes: tuple[tuple[str, str | QualifiedName], ...] = (("prov:type", QualifiedName(kind)), *_texts(texts))
    return ProvRecord(kind="entity", identifier=_name(identifier), attributes=attributes)


def _relation(kind: str, *arguments: str | None) -> ProvRecord:
    return ProvRecord(kind=kind, arguments=arguments)


def _texts(texts: dict[str, str | None]) -> Iterator[tuple[str, str | QualifiedName]]:
    yield from ((name, str(value)) for name, value in texts.items() if value is not None)


def _name(identifier: str) -> str:
    return f"uuid:{identifier}"


def _time(at: datetime) -> str:
    return at.isoformat()


def _as_json(record: ProvRecord) -> dict[str, str | dict[str, str]]:
    formal = zip(_ARGUMENTS[record.kind], record.arguments, strict=False)
    content: dict[str, str | dict[str, str]] = {name: value for name, value in formal if value is not None}
    for name, value in record.attributes:
        content[name] = {"$": value.name, "type": _QUALIFIED_NAME} if isinstance(value, QualifiedName) else value
    return content


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _as_prov_n(record: ProvRecord) -> str:
    parts = [value or "-" for value in record.arguments]
    if record.identifier is not None:
        parts.insert(0, record.identifier)
    if record.attributes:
        parts.append(f"[{', '.join(f'{name}={_prov_n_value(value)}' for name, value in record.attributes)}]")
    return f"{record.kind}({', '.join(parts)})"


def _prov_n_value(value: str | QualifiedName) -> str:
    if isinstance(value, QualifiedName):
        return f"'{value.name}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""{escaped}"""' if "\n" in value or "\r" in value else f'"{escaped}"'
