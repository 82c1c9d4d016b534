"""What the catalogue stores, in the visitor's language: scores, facts of an item, lines of the history."""

from __future__ import annotations

import re

from archive.display_labels import Record, format_score_value, metric_decimals, score_unit
from archive.errors import QueryError
from archive.web.translations import Texts

_SHARE = "_share"
_DIGEST = "(?P<digest>[0-9a-f]{64})"
_FIXED_DETAILS = tuple(
    (event, key, re.compile(pattern, re.DOTALL))
    for event, key, pattern in (
        ("review", "decision_reason", rf"(?P<decision>\w+), SHA-256 {_DIGEST}: (?P<reason>.*)"),
        ("review", "decision", rf"(?P<decision>\w+), SHA-256 {_DIGEST}"),
        ("deletion", "withdrawn", rf"withdrawn, SHA-256 {_DIGEST}: (?P<reason>.*)"),
        ("withdrawal lifted", "lifted", r"(?P<reason>.*); it was withdrawn for this reason: (?P<before>.*)"),
        ("fixity check", "found_again", r"(?P<path>.*): found again, as recorded"),
        ("fixity check", "as_recorded", r"(?P<path>.*): as recorded"),
        ("derivation", "derivation", rf"recipe {_DIGEST} of (?P<rest>.*)"),
        ("ingestion", "ingestion", rf"from (?P<path>.*?), SHA-256 {_DIGEST}(?P<rest>.*)"),
        ("metadata modification", "promoted", r"promoted from batch (?P<batch>\d+): counts from now on"),
        (
            "metadata modification",
            "trial",
            "made by a trial; counts from now on, because a full run asked for its recipe",
        ),
    )
)
_MISTAKE = re.compile(
    r"the query has a mistake at character (?P<position>\d+), (?P<text>(['\"]).*?\3): (?P<reason>.*)", re.DOTALL
)


def score_value(texts: Texts, score: Record | None) -> str:
    """The value of a score with its unit, shares as percent; a dash without a score."""
    if score is None:
        return "–"
    if score["value"] is None:
        return format_score_value(score)
    detail = f" ({score['detail']})" if score["detail"] else ""
    if score["metric"].endswith(_SHARE):
        return texts.percent(score["value"]) + detail
    return texts.number(score["value"], metric_decimals(score["metric"], score["value"])) + score_unit(score) + detail


def access_label(texts: Texts, item: Record) -> str | None:
    """The access of an item that is not open; None if it is open."""
    return None if item["access"] == "open" else texts.value("access", item["access"])


def item_facts(texts: Texts, item: Record) -> list[tuple[str, str]]:
    """What a reviewer has to know of an item: date, place, process and rights, those that are recorded."""
    found = {"date": item["date_text"] or item["date"], **{name: item[name] for name in ("place", "process", "rights")}}
    return [(texts(f"items.{name}"), value) for name, value in found.items() if value]


def event_detail(texts: Texts, event: Record) -> str:
    """The detail of an event; a fixed sentence is translated, and what people wrote stays as it is."""
    detail = str(event["detail"] or "")
    for event_type, key, pattern in _FIXED_DETAILS:
        if event["type"] == event_type and (found := pattern.fullmatch(detail)) is not None:
            values = found.groupdict()
            if "decision" in values:
                values["decision"] = texts.value("review", values["decision"])
            if "reason" in values:
                values["reason"] = texts.value("reason", values["reason"])
            return texts(f"history.{key}", **values)
    return detail


def query_mistake(texts: Texts, error: QueryError) -> str:
    """The message of a query's mistake: where it is in the visitor's language, what it is in English."""
    found = _MISTAKE.fullmatch(str(error))
    if found is None:
        return texts("error.query", reason=str(error))
    return texts("error.query_at", **found.groupdict())
