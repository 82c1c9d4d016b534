from __future__ import annotations

import threading

import pytest

from archive.accounts import add_account, check_password, find_account, list_accounts, remove_account
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Access, Role
from archive.catalogue.schema.web_review_tables import User
from archive.comments import add_comment
from archive.errors import NotFoundError, UsageError
from tests.catalogue_rows import AT, add_derivative, add_item, add_version


def test_a_password_opens_its_account_only(catalogue: Catalogue) -> None:
    add_account(catalogue, " anna ", Role.REVIEWER, "correct horse battery")
    add_account(catalogue, "bo", Role.MANAGER, None)
    found = check_password(catalogue, "anna", "correct horse battery")
    assert found == find_account(catalogue, "anna")
    assert found is not None
    assert found.access == {Access.OPEN, Access.RESTRICTED}
    assert (found.may(Role.VIEWER), found.may(Role.REVIEWER), found.may(Role.MANAGER)) == (True, True, False)
    for name, password in (("anna", "correct horse"), ("bo", ""), ("nobody", "correct horse battery")):
        assert check_password(catalogue, name, password) is None
    assert [(each["name"], each["role"], each["password"]) for each in list_accounts(catalogue)] == [
        ("anna", "reviewer", True),
        ("bo", "manager", False),
    ]


def test_what_can_be_no_account_is_refused(catalogue: Catalogue) -> None:
    add_account(catalogue, "anna", Role.VIEWER, None)
    for name, password in (("anna", None), (" ", None), ("a\nb", None), ("x" * 201, None), ("bo", "short")):
        with pytest.raises(UsageError):
            add_account(catalogue, name, Role.VIEWER, password)
    with pytest.raises(UsageError, match="the account 'anna' exists"):
        add_account(catalogue, "anna", Role.VIEWER, None)
    remove_account(catalogue, "anna")
    with pytest.raises(NotFoundError):
        remove_account(catalogue, "anna")


def test_of_two_accounts_of_one_name_that_are_added_at_the_same_time_the_second_is_refused(
    catalogue: Catalogue,
) -> None:
    refusals = []

    def add() -> None:
        try:
            add_account(catalogue, "anna", Role.VIEWER, None)
        except UsageError as error:
            refusals.append(str(error))

    second = threading.Thread(target=add)
    with catalogue.session() as session:
        session.add(User(name="anna", role=Role.MANAGER, created_at=AT))
        session.flush()
        second.start()
        second.join(0.2)  # it waits for the end of this transaction
    second.join()
    assert refusals == ["the account 'anna' exists. To replace it, run `archive user remove` first"]


def test_a_comment_is_kept_with_its_place(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        derivative = add_derivative(session, add_item(session, "A").masters[0], add_version(session))
    made = add_comment(catalogue, derivative.id, x=10, y=20, width=30, height=40, text=" the eye ", author="anna")
    assert (made.text, made.agent.name) == ("the eye", "anna")
    for place in ((-1, 0, 5, 5), (0, 0, 0, 5), (600, 0, 50, 5)):
        x, y, width, height = place
        with pytest.raises(UsageError, match="not inside"):
            add_comment(catalogue, derivative.id, x=x, y=y, width=width, height=height, text="a", author="anna")
    with pytest.raises(UsageError, match="needs a text"):
        add_comment(catalogue, derivative.id, x=0, y=0, width=5, height=5, text=" ", author="anna")
    with pytest.raises(NotFoundError):
        add_comment(catalogue, 99, x=0, y=0, width=5, height=5, text="a", author="anna")
