"""PREMIS 3: preservation metadata as one XML document (https://www.loc.gov/standards/premis/v3/).

Items are intellectual entities, masters and derivatives are files. Events have their agents: people, this software, and
each model version with the digest of its weights. The event of a derivation contains the recipe. Elements have the
prefix ``premis``, which Archivematica's import requires.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TextIO

from archive.catalogue.schema.tables import Agent, Derivative, Event, Item, Master, ModelVersion
from archive.catalogue.schema.vocabularies import AgentType, EventType
from archive.errors import UsageError
from archive.export.file_copy import FileCopy
from archive.export.identifiers import (
    agent_identifier,
    derivative_identifier,
    event_identifier,
    item_identifier,
    master_identifier,
    model_identifier,
    subject_identifier,
)
from archive.export.item_records import ItemRecord
from archive.export.output_file import begins_with
from archive.export.rights import license_of, restriction
from archive.export.xml_text import escape_xml

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<premis:premis xmlns:premis="http://www.loc.gov/premis/v3" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="3.0">\n'
)
_TAIL = "</premis:premis>\n"
_VOCABULARY = "http://id.loc.gov/vocabulary/preservation"
_EVENT_CODES = {
    "creation": "cre",
    "deaccession": "dea",
    "deletion": "del",
    "digital signature generation": "dsg",
    "fixity check": "fix",
    "ingestion": "ing",
    "metadata modification": "mem",
    "recovery": "rec",
    "transfer": "tra",
    "validation": "val",
}
# The vocabulary's word for an event that the catalogue calls otherwise. It has none for a person's review.
_EVENT_TERMS = {EventType.DERIVATION: "creation", EventType.RELOCATION: "transfer"}
_AGENT_CODES = {AgentType.PERSON: "per", AgentType.SOFTWARE: "sof"}
_DECISIONS = (EventType.REVIEW, EventType.DELETION, EventType.DEACCESSION)
"""Events whose agent, if a person, authorised them."""
_ON_A_LINE = ("object", "event", "agent", "rights")
_IMAGE_PROPERTIES = ("width", "height", "bits_per_sample", "samples_per_pixel", "ppi", "icc_profile", "page")

ScanFile = Master | Derivative


def recorded_path(file: ScanFile) -> str:
    """The path as the catalogue holds it: absolute, or relative to the home."""
    return file.path


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The objects that a document describes."""

    locate: Callable[[ScanFile], str | None] = recorded_path
    """The ``originalName`` of a file; None leaves the file out."""
    signed: Mapping[int, FileCopy] = field(default_factory=dict)
    """The signed copies that a package holds in the place of derivatives, by derivative id."""
    entities: bool = True
    """Whether items are objects of their own; without them, events of an item are linked to its files."""


def is_premis_export(file: BinaryIO) -> bool:
    """Whether a file begins as :func:`write_premis` begins it."""
    return begins_with(file, _HEAD)


def write_premis(records: Iterable[ItemRecord], file: TextIO, scope: Scope | None = None) -> None:
    """Writes one PREMIS document about ``records``.

    Raises:
        UsageError: there is nothing to write: a PREMIS document holds at least one object.
    """
    writer = _Writer(scope=scope or Scope())
    # The schema wants all objects before all events, and those before all agents and rights.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as events,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as rights,
    ):
        has_objects = False
        for record in records:
            for line in writer.objects(record):
                if not has_objects:
                    file.write(_HEAD)
                    has_objects = True
                file.write(line)
            events.writelines(writer.events(record))
            rights.writelines(writer.rights(record))
        if not has_objects:
            raise UsageError("nothing to write: a PREMIS document needs at least one item. Widen the query")
        _append(events, file)
        file.writelines(writer.agents())
        _append(rights, file)
        file.write(_TAIL)


@dataclass(kw_only=True)
class _Writer:
    scope: Scope
    _agents: dict[str, str] = field(default_factory=dict)
    """The agents that events have linked so far, as XML by identifier: a few people and versions."""

    def objects(self, record: ItemRecord) -> Iterator[str]:
        files = [(file, name) for file in _files(record) if (name := self.scope.locate(file)) is not None]
        if self.scope.entities:
            yield _entity(record, [file for file, _ in files])
        events = {event.derivative_id: event for event in record.events if event.type is EventType.DERIVATION}
        for file, name in files:
            if isinstance(file, Master):
                yield _master_object(file, name, self._representation(record.item))
            else:
                yield _derivative_object(
                    file, name, self._representation(record.item), events.get(file.id), self.scope.signed.get(file.id)
                )

    def events(self, record: ItemRecord) -> Iterator[str]:
        masters = {master.id: master for master in record.masters}
        derivatives = {derivative.id: derivative for derivative in record.derivatives}
        for event in record.events:
            derivative = derivatives.get(event.derivative_id or 0)
            master = masters.get(event.master_id or 0)
            linked = self._linked_objects(record, event, master, derivative)
            if linked:
                about = subject_identifier(record.item, master, derivative)
                yield self._event(event, event_identifier(event, about), linked, derivative)

    def agents(self) -> Iterator[str]:
        for _, agent in sorted(self._agents.items()):
            yield agent

    def rights(self, record: ItemRecord) -> Iterator[str]:
        item = record.item
        linked = [_file_identifier(file) for file in _files(record) if self.scope.locate(file) is not None]
        if self.scope.entities:
            linked.insert(0, item_identifier(item))
        if linked:
            yield _rights(item, linked)

    def _representation(self, item: Item) -> str:
        related = _related("structural", "represents", item_identifier(item))
        return related if self.scope.entities else ""

    def _linked_objects(
        self, record: ItemRecord, event: Event, master: Master | None, derivative: Derivative | None
    ) -> list[tuple[str, str | None]]:
        """The identifiers and roles of an event's objects, if the document contains them."""
        files: list[tuple[ScanFile, str | None]]
        if derivative is not None and event.type is EventType.DERIVATION:
            files = [(derivative, "outcome"), (derivative.master, "source")]
        elif derivative is not None:
            files = [(derivative, None)]
        elif master is not None:
            files = [(master, None)]
        elif self.scope.entities:
            return [(item_identifier(record.item), None)]
        else:
            files = [(each, None) for each in record.masters]
        if derivative is not None and self.scope.locate(derivative) is None:
            return []  # an event of a file that is left out says nothing of the others
        return [(_file_identifier(each), role) for each, role in files if self.scope.locate(each) is not None]

    def _event(
        self, event: Event, identifier: str, linked: list[tuple[str, str | None]], derivative: Derivative | None
    ) -> str:
        is_derivation = derivative is not None and event.type is EventType.DERIVATION
        decides = event.type in _DECISIONS
        agents = [(self._agent(event.agent), "authorizer" if decides else "executing program")]
        if event.agent.type is AgentType.PERSON and not decides:
            agents = [(agents[0][0], "implementer")]
        operators = [event.operator]
        details = [event.detail] if event.detail else []
        if derivative is not None and is_derivation:
            operators += [derivative.operator, derivative.batch.operator]
            agents += [(self._model(stage.version), "executing program") for stage in derivative.recipe.stages]
            details.append(f"recipe {derivative.recipe.sha256}: {derivative.recipe.canonical_json}")
        agents += [(self._agent(operator), "implementer") for operator in operators if operator is not None]
        return _element(
            "event",
            _identifier("event", identifier),
            _event_type(event.type),
            _text("eventDateTime", event.at.isoformat()),
            *(_element("eventDetailInformation", _text("eventDetail", detail)) for detail in details),
            _element("eventOutcomeInformation", _text("eventOutcome", event.outcome)),
            *(_link("linkingAgent", agent, role) for agent, role in _without_repeats(agents)),
            *(_link("linkingObject", value, role) for value, role in linked),
        )

    def _agent(self, agent: Agent) -> str:
        identifier = agent_identifier(agent)
        if identifier not in self._agents:
            self._agents[identifier] = _element(
                "agent",
                _identifier("agent", identifier),
                _text("agentName", agent.name),
                _text("agentType", agent.type, _authority("agentType", _AGENT_CODES[agent.type])),
                _text("agentVersion", agent.version or None),
            )
        return identifier

    def _model(self, version: ModelVersion) -> str:
        identifier = model_identifier(version)
        if identifier not in self._agents:
            self._agents[identifier] = _element(
                "agent",
                _identifier("agent", identifier),
                _text("agentName", version.model.name),
                _text("agentType", "software", _authority("agentType", "sof")),
                _text("agentVersion", version.version),
                _text("agentNote", f"neural network; SHA-256 of the weights: {version.weights_sha256}"),
            )
        return identifier


def _entity(record: ItemRecord, files: list[ScanFile]) -> str:
    item = record.item
    described = ("title", "creator", "date", "date_text", "description", "place", "process", "polarity", "collection")
    properties = [(name, getattr(item, name)) for name in described] + sorted(item.extra.items())
    return _element(
        "object",
        _identifier("object", item_identifier(item)),
        _identifier("object", item.accession_number, "accession number"),
        *(_identifier("object", value, scheme) for scheme, values in record.identifiers.items() for value in values),
        *(_property(name, value) for name, value in properties if value),
        *(_related("structural", "is represented by", _file_identifier(file)) for file in files),
        attributes=' xsi:type="premis:intellectualEntity"',
    )


def _master_object(master: Master, name: str, represents: str) -> str:
    return _element(
        "object",
        _identifier("object", master_identifier(master)),
        _property("role", "master"),
        _property("view", master.view),
        _property("sequence", master.sequence),
        *(_property(each, getattr(master, each)) for each in _IMAGE_PROPERTIES),
        _property("picture_area", master.picture_area),
        _characteristics(master, master.format, _created_by(master.captured_by, None, master.captured_at)),
        _text("originalName", name),
        represents,
        attributes=' xsi:type="premis:file"',
    )


def _derivative_object(
    derivative: Derivative, name: str, represents: str, event: Event | None, signed: FileCopy | None
) -> str:
    master = derivative.master
    made_by = None if event is None else event_identifier(event, derivative_identifier(derivative))
    version = derivative.environment.get("software_version")
    application = _created_by("archive-restoration", version, derivative.created_at.isoformat())
    return _element(
        "object",
        _identifier("object", derivative_identifier(derivative)),
        _property("role", f"{derivative.kind} derivative"),
        _property("recipe", derivative.recipe.sha256),
        _property("pixel SHA-256", derivative.pixel_sha256),
        _property("SHA-256 before signing", None if signed is None else derivative.sha256),
        _characteristics(signed or derivative, "TIFF", application),
        _text("originalName", name),
        represents,
        _related("derivation", "has source", master_identifier(master), made_by),
        attributes=' xsi:type="premis:file"',
    )


def _characteristics(file: ScanFile | FileCopy, format_name: str, application: str) -> str:
    return _element(
        "objectCharacteristics",
        _element("fixity", _text("messageDigestAlgorithm", "SHA-256"), _text("messageDigest", file.sha256)),
        _text("size", file.size),
        _element("format", _element("formatDesignation", _text("formatName", format_name))),
        application,
    )


def _created_by(name: str | None, version: str | None, at: str | None) -> str:
    parts = (_text("creatingApplicationName", name), _text("creatingApplicationVersion", version))
    content = (*parts, _text("dateCreatedByApplication", at))
    return _element("creatingApplication", *content) if any(content) else ""


def _rights(item: Item, linked: list[str]) -> str:
    """The item's rights text, and its access as permitted acts."""
    license_terms = license_of(item.rights)
    if license_terms is not None:
        basis, told = "license", _element("licenseInformation", _text("licenseTerms", license_terms))
    else:
        note = _text("otherRightsNote", item.rights)
        basis, told = "other", _element("otherRightsInformation", _text("otherRightsBasis", "as catalogued"), note)
    return _element(
        "rights",
        _element(
            "rightsStatement",
            _identifier("rightsStatement", item_identifier(item)),
            _text("rightsBasis", basis),
            told,
            _element(
                "rightsGranted",
                _text("act", "disseminate"),
                _text("restriction", restriction(item.access, item.rights)),
                _text("rightsGrantedNote", f"access: {item.access}"),
            ),
            *(_link("linkingObject", value, None) for value in linked),
        ),
    )


def _files(record: ItemRecord) -> Iterator[ScanFile]:
    for master in record.masters:
        yield master
        yield from master.derivatives


def _file_identifier(file: ScanFile) -> str:
    return master_identifier(file) if isinstance(file, Master) else derivative_identifier(file)


def _event_type(event_type: EventType) -> str:
    term = _EVENT_TERMS.get(event_type, str(event_type))
    code = _EVENT_CODES.get(term)
    return _text("eventType", term, "" if code is None else _authority("eventType", code))


def _authority(vocabulary: str, code: str) -> str:
    uri = f"{_VOCABULARY}/{vocabulary}"
    return f' authority="{vocabulary}" authorityURI="{uri}" valueURI="{uri}/{code}"'


def _identifier(of: str, value: str, kind: str = "UUID") -> str:
    return _element(f"{of}Identifier", _text(f"{of}IdentifierType", kind), _text(f"{of}IdentifierValue", value))


def _link(name: str, value: str, role: str | None) -> str:
    return _element(
        f"{name}Identifier",
        _text(f"{name}IdentifierType", "UUID"),
        _text(f"{name}IdentifierValue", value),
        _text(f"{name}Role", role),
    )


def _related(kind: str, subtype: str, value: str, event: str | None = None) -> str:
    related_event = "" if event is None else _identifier("relatedEvent", event)
    return _element(
        "relationship",
        _text("relationshipType", kind),
        _text("relationshipSubType", subtype),
        _identifier("relatedObject", value),
        related_event,
    )


def _property(name: str, value: object) -> str:
    if value is None:
        return ""
    content = (_text("significantPropertiesType", name), _text("significantPropertiesValue", value))
    return _element("significantProperties", *content)


def _text(name: str, value: object, attributes: str = "") -> str:
    return "" if value is None else _element(name, escape_xml(str(value)), attributes=attributes)


def _element(name: str, *content: str, attributes: str = "") -> str:
    line_end = "\n" if name in _ON_A_LINE else ""
    return f"<premis:{name}{attributes}>{''.join(content)}</premis:{name}>{line_end}"


def _without_repeats(agents: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each agent once, in its first role."""
    first: dict[str, str] = {}
    for agent, role in agents:
        first.setdefault(agent, role)
    return list(first.items())


def _append(spooled: TextIO, file: TextIO) -> None:
    spooled.seek(0)
    while block := spooled.read(1 << 20):
        file.write(block)
