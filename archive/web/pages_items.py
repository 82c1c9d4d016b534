"""Pages of items: their list, one item, and a derivative compared with its scan."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

from archive.catalogue.schema.vocabularies import Access, Decision, Role
from archive.comments import add_comment
from archive.errors import QueryError, StorageError, UsageError
from archive.review import record_decision
from archive.web.guarded_endpoint import Call, Endpoint, login_required
from archive.web.pages_login import log_in_by_token
from archive.web.stored_values import access_label, event_detail, item_facts, query_mistake, score_value
from archive.web_page_queries import (
    PAGE_SIZE,
    DerivativePage,
    browse_items,
    find_accession_number,
    get_derivative_page,
    get_item_page,
)
from archive.withdrawal import withdraw_derivative

FILTERS = (
    ("all", ""),
    ("unreviewed", "review:none"),
    ("accepted", "review:accepted"),
    ("rejected", "review:rejected"),
    ("unrestored", "status:unrestored"),
    ("stale", "status:stale"),
    ("failed", "status:failed"),
    ("refused", "status:refused"),
    ("withdrawn", "status:withdrawn"),
)
_NOT_OPEN = ("not_open", "access:restricted OR access:sensitive")


def start_page(call: Call) -> Response:
    """The items; with a token in the address, the login by it."""
    token = call.request.query_params.get("token")
    if token is not None:
        return log_in_by_token(call, token)
    return _items(call) if call.account is not None else login_required(call)


def _items(call: Call) -> Response:
    query, after = call.parameter("query"), call.parameter("after") or None
    problem, cards = "", []
    try:
        cards = browse_items(call.state.catalogue, call.user, query or None, after=after)
    except QueryError as error:
        problem = query_mistake(call.texts, error)
    more = None
    if len(cards) == PAGE_SIZE:
        more = "/?" + urlencode({"query": query, "after": cards[-1].record["accession_number"]})
    filters = FILTERS if call.user.access == {Access.OPEN} else (*FILTERS, _NOT_OPEN)
    return call.page(
        "items.html",
        status=400 if problem else 200,
        query=query,
        cards=cards,
        problem=problem,
        more=more,
        is_first=after is None,
        filters=[(name, wanted, "/?" + urlencode({"query": wanted})) for name, wanted in filters],
        may_review=call.may(Role.REVIEWER),
    )


def item_page(call: Call) -> Response:
    """An item with its masters, derivatives and history."""
    item = get_item_page(call.state.catalogue, call.user, call.number("item_id"))
    return call.page("item.html", item=item, detail=partial(event_detail, call.texts))


def derivative_page(call: Call) -> Response:
    """A derivative compared with its scan, or with another derivative of the same master."""
    return _derivative_page(call)


def _derivative_page(call: Call, *, to_check: Collection[str] | None = None) -> Response:
    """The page of a derivative; ``to_check`` is what a person has to check after it was withdrawn just now."""
    shown = get_derivative_page(call.state.catalogue, call.user, call.number("derivative_id"))
    other = call.parameter("with")
    others = {str(each["id"]): each for each in shown.siblings if each["withdrawn"] is None}
    is_withdrawn = shown.derivative["withdrawn"] is not None
    return call.page(
        "derivative.html",
        shown=shown,
        picture=None if is_withdrawn else picture_of(call, shown, compared_with=others.get(other)),
        facts=item_facts(call.texts, shown.item),
        scores=scores_in_words(call, shown),
        compared_with=other if other in others else "",
        reasons=call.state.catalogue.settings.rejection_reasons,
        may_review=call.may(Role.REVIEWER) and not is_withdrawn,
        may_withdraw=call.may(Role.MANAGER) and not is_withdrawn,
        to_check=to_check,
    )


def picture_of(call: Call, shown: DerivativePage, *, compared_with: Any = None) -> dict[str, Any]:
    """The data of a derivative for the viewer's script; it is compared with its scan, or with another derivative."""
    derivative, master = shown.derivative, shown.master
    before = f"master-{master['id']}" if compared_with is None else f"derivative-{compared_with['id']}"
    return {
        "derivative": derivative["id"],
        "before": before,
        "after": f"derivative-{derivative['id']}",
        "difference": f"difference-{derivative['id']}" if compared_with is None else None,
        "changes": f"/derivatives/{derivative['id']}/changes" if compared_with is None else None,
        "width": master["width"],
        "height": master["height"],
        "accession_number": shown.item["accession_number"],
        "title": shown.item["title"],
        "access": access_label(call.texts, shown.item),
        "facts": item_facts(call.texts, shown.item),
        "sequence": master["sequence"],
        "scores": scores_in_words(call, shown),
        "reviews": [
            {**each, "reason": each["reason"] and call.texts.value("reason", each["reason"])} for each in shown.reviews
        ],
        "comments": derivative["comments"],
        "labels": {name: call.texts(f"review.{name}") for name in ("accepted", "rejected", "undone")},
    }


def scores_in_words(call: Call, shown: DerivativePage) -> dict[str, list[tuple[str, str]]]:
    """The scores of a derivative with the names of their metrics in the visitor's language."""

    def words(metric: str, against_reference: bool) -> str:
        name = call.texts(f"metric.{metric}")
        return call.texts("metric.against_reference", metric=name) if against_reference else name

    return {
        group: [
            (words(metric, against_reference), " → ".join(score_value(call.texts, score) for score in scores))
            for metric, against_reference, scores in rows
        ]
        for group, rows in shown.scores.items()
    }


def review(call: Call) -> Response:
    """Records a decision, through the same function as ``archive review``."""
    derivative_id = call.number("derivative_id")
    user = call.user
    accession_number = find_accession_number(call.state.catalogue, derivative_id, user.access)
    try:
        decision = Decision(call.field("decision"))
    except ValueError:
        raise UsageError("the field decision must be accepted, rejected or undone") from None
    reason = call.field("other_reason") or call.field("reason")
    if decision is Decision.REJECTED and not reason:
        raise UsageError(call.texts("error.reason_needed"))
    made = record_decision(
        call.catalogue,
        accession_number,
        decision=decision,
        derivative_id=derivative_id,
        reason=reason,
        reviewer=user.name,
    )
    if call.wants_json:
        return JSONResponse(
            {
                "derivative": made.derivative_id,
                "decision": made.decision,
                "reason": made.reason,
                "reviewer": user.name,
                "at": made.at.isoformat(timespec="seconds"),
            }
        )
    return RedirectResponse(f"/derivatives/{derivative_id}", 303)


def withdraw(call: Call) -> Response:
    """Withdraws a derivative, through the same function as ``archive withdraw``; the page says what to check."""
    derivative_id, reason = call.number("derivative_id"), call.field("reason")
    accession_number = find_accession_number(call.state.catalogue, derivative_id, call.user.access)
    if not reason:
        raise UsageError(call.texts("error.withdrawal_reason_needed"))
    try:
        made = withdraw_derivative(
            call.catalogue, accession_number, derivative_id, reason=reason, person=call.user.name
        )
    except OSError as error:
        raise StorageError(
            call.texts("error.withdrawal_failed", path=str(error.filename), reason=str(error.strerror))
        ) from error
    return _derivative_page(call, to_check=[*made.traces.signed_copies, *map(str, made.traces.contact_sheets)])


def comment(call: Call) -> Response:
    """Adds a comment on a place."""
    derivative_id = call.number("derivative_id")
    find_accession_number(call.state.catalogue, derivative_id, call.user.access)
    try:
        place = {name: int(call.field(name)[:12]) for name in ("x", "y", "width", "height")}
    except ValueError:
        raise UsageError("x, y, width and height must be whole numbers") from None
    add_comment(call.catalogue, derivative_id, **place, text=call.field("text"), author=call.user.name)
    if call.wants_json:
        shown = get_derivative_page(call.state.catalogue, call.user, derivative_id)
        return JSONResponse({"comments": shown.derivative["comments"]})
    return RedirectResponse(f"/derivatives/{derivative_id}", 303)


ENDPOINTS = (
    Endpoint(path="/", page=start_page, role=None),
    Endpoint(path="/items/{item_id}", page=item_page),
    Endpoint(path="/derivatives/{derivative_id}", page=derivative_page),
    Endpoint(path="/derivatives/{derivative_id}/review", page=review, method="POST", role=Role.REVIEWER),
    Endpoint(path="/derivatives/{derivative_id}/comments", page=comment, method="POST", role=Role.REVIEWER),
    Endpoint(path="/derivatives/{derivative_id}/withdraw", page=withdraw, method="POST", role=Role.MANAGER),
)
