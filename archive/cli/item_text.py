"""An item as text: metadata, masters, derivatives with scores, and history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archive.cli.output_formats import escape_control_characters
from archive.display_labels import (
    Record,
    describe_grain,
    describe_kind,
    describe_recipe,
    describe_score,
    format_score_value,
)

_LABEL_WIDTHS = (13, 30)
"""Of the column of labels: least and most."""

_NESTED = ("masters", "derivatives", "events", "identifiers")


def item_lines(item: Record) -> Iterator[str]:
    """The lines of ``archive show``; ``item`` is the object that its JSON form prints."""
    yield escape_control_characters(str(item["accession_number"]))
    yield from _metadata(item)
    for master in item["masters"]:
        yield ""
        yield from _master(master)
        for derivative in item["derivatives"]:
            if derivative["master"] == master["sequence"]:
                yield ""
                yield from _derivative(derivative)
    yield ""
    yield "History"
    for event in item["events"]:
        yield from _event(event)


def _metadata(item: Record) -> Iterator[str]:
    own = ((name, value) for name, value in item.items() if name not in (*_NESTED, "accession_number", "extra"))
    labelled = [
        *((name.replace("_", " "), str(value)) for name, value in own if value not in (None, "")),
        *((scheme, "; ".join(values)) for scheme, values in (item.get("identifiers") or {}).items()),
        *((str(name), str(value)) for name, value in (item.get("extra") or {}).items()),
    ]
    least, most = _LABEL_WIDTHS
    width = max(least, min(most, max(len(label) + 1 for label, _ in labelled)))
    for label, value in labelled:
        yield f"  {escape_control_characters(label) + ':':<{width}} {escape_control_characters(value)}"


def _master(master: Record) -> Iterator[str]:
    which = f", picture {master['page']} in it" if master["page"] > 1 else ""
    fault = f", file {master['file']}" if master["file"] else ""
    yield f"Master {master['sequence']}, {master['view']}{fault}: {escape_control_characters(master['path'])}{which}"
    facts = [
        master["format"],
        f"{master['width']} x {master['height']} px",
        f"{master['bits_per_sample']}-bit",
        {1: "grey", 3: "colour"}.get(master["samples_per_pixel"], f"{master['samples_per_pixel']} channels"),
        f"{master['ppi']:g} ppi" if master["ppi"] else "no resolution",
        f"profile {escape_control_characters(master['icc_profile'])}" if master["icc_profile"] else "no colour profile",
    ]
    yield f"  {', '.join(facts)}"
    yield f"  SHA-256 {master['sha256']}, {master['size']:,} bytes"
    if master["picture_area"]:
        yield f"  picture area: {_area(master['picture_area'])}"
    if master["captured_at"]:
        yield f"  scanned: {escape_control_characters(master['captured_at'])}"
    if master["captured_by"]:
        yield f"  scanned by: {escape_control_characters(master['captured_by'])}"


def _derivative(derivative: Record) -> Iterator[str]:
    current = ", current" if derivative["current"] else ""
    current += ", of a trial" if derivative["trial"] else ""
    current += f", file {derivative['file']}" if derivative["file"] else ""
    kind = describe_kind(derivative["kind"])
    yield f"  Derivative {derivative['id']}, {kind}{current}: {escape_control_characters(derivative['path'])}"
    recipe = describe_recipe(derivative["recipe"])
    operator = f", run by {escape_control_characters(derivative['operator'])}" if derivative["operator"] else ""
    yield f"    made {derivative['created_at']} in batch {derivative['batch']} by {recipe}{operator}"
    environment = derivative["environment"]
    yield (
        f"    on {escape_control_characters(str(environment.get('device')))}, {environment.get('precision')}, "
        f"software {environment.get('software_version')}, torch {environment.get('torch_version')}"
    )
    for record in derivative["stage_records"]:
        if (grain := describe_grain(record.get("statistics", {}))) is not None:
            yield f"    {grain}"
    yield f"    SHA-256 {derivative['sha256']}"
    if (withdrawn := derivative["withdrawn"]) is not None:
        who = escape_control_characters(f"{withdrawn['person']}, {withdrawn['at']}: {withdrawn['reason']}")
        yield f"    WITHDRAWN, its file was removed: {who}"
    review = derivative["review"]
    if review is None:
        yield "    not reviewed"
    else:
        reason = f": {escape_control_characters(review['reason'])}" if review["reason"] else ""
        yield f"    {review['decision']} by {escape_control_characters(review['reviewer'])}, {review['at']}{reason}"
    for comment in derivative["comments"]:
        place = _area([comment[name] for name in ("x", "y", "width", "height")])
        text = escape_control_characters(f"{comment['author']}, {comment['at']}: {comment['text']}")
        yield f"    comment on {place} by {text}"
    yield from _scores(derivative["quality"])


def _scores(scores: Sequence[Record]) -> Iterator[str]:
    if scores:
        width = max(len(describe_score(score)) for score in scores)
        for score in scores:
            yield f"    {describe_score(score):<{width}}  {escape_control_characters(format_score_value(score))}"


def _event(event: Record) -> Iterator[str]:
    agent = event["agent"]
    who = escape_control_characters(f"{agent['name']} {agent['version']}".strip())
    if event["operator"] and event["operator"] != agent["name"]:
        who += f" for {escape_control_characters(event['operator'])}"
    outcome = "" if event["outcome"] == "success" else f", {event['outcome']}"
    detail = f": {escape_control_characters(event['detail'])}" if event["detail"] else ""
    yield f"  {event['at']}  {event['type']}{outcome}, {who}{detail}"


def _area(area: Any) -> str:
    values = area.values() if isinstance(area, Mapping) else area
    return " ".join(str(value) for value in values) + " (x y width height, px)"
