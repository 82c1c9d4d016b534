"""Accounts of the web server: names, roles and passwords."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Access, Role
from archive.catalogue.schema.web_review_tables import User
from archive.errors import NotFoundError, UsageError

MINIMUM_PASSWORD_LENGTH = 10
_MAXIMUM_NAME_LENGTH = 200
_ACCESS = {
    Role.VIEWER: frozenset({Access.OPEN}),
    Role.REVIEWER: frozenset({Access.OPEN, Access.RESTRICTED}),
    Role.MANAGER: frozenset(Access),
}
_ORDER = list(Role)
_hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106's low-memory profile
_verifications = threading.BoundedSemaphore(2)  # each takes 64 MiB
# Verified if a name is unknown, so that the duration of an answer does not reveal which names exist.
_NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$lHRvRCn1ENRT4Cl9MRyMGdSX+UWRuDlRW3fRPWaqFWs"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A person who may use the web server."""

    name: str
    role: Role

    @property
    def access(self) -> frozenset[Access]:
        """The kinds of access of the items that the account may see."""
        return _ACCESS[self.role]

    def may(self, role: Role) -> bool:
        """Whether the account has ``role`` or a higher one."""
        return _ORDER.index(self.role) >= _ORDER.index(role)


def add_account(catalogue: Catalogue, name: str, role: Role, password: str | None) -> None:
    """Adds an account. Without a password, only a trusted proxy can log its user in.

    Raises:
        UsageError: the name is taken, empty or too long, or the password is too short.
    """
    name = name.strip()
    if not name or len(name) > _MAXIMUM_NAME_LENGTH or not name.isprintable():
        raise UsageError(f"{name!r} is not a valid name. Use 1 to {_MAXIMUM_NAME_LENGTH} printable characters")
    if password is not None and len(password) < MINIMUM_PASSWORD_LENGTH:
        raise UsageError(f"the password is too short. Use at least {MINIMUM_PASSWORD_LENGTH} characters")
    hashed = None if password is None else _hasher.hash(password)
    try:
        with catalogue.session() as session:
            session.add(User(name=name, role=role, password_hash=hashed, created_at=catalogue.now(session)))
    except IntegrityError as error:  # names are unique
        raise UsageError(f"the account {name!r} exists. To replace it, run `archive user remove` first") from error


def remove_account(catalogue: Catalogue, name: str) -> None:
    """Removes an account. The user's decisions and comments stay.

    Raises:
        NotFoundError: the account does not exist.
    """
    with catalogue.session() as session:
        removed: Any = session.execute(delete(User).where(User.name == name))
        if not removed.rowcount:
            raise NotFoundError(f"No account {name!r}. Run `archive user list` to see the accounts.")


def list_accounts(catalogue: Catalogue) -> list[dict[str, Any]]:
    """All accounts by name: name, role, password (whether there is one), created_at."""
    with catalogue.reading() as session:
        return [
            {
                "name": user.name,
                "role": user.role.value,
                "password": user.password_hash is not None,
                "created_at": user.created_at.isoformat(timespec="seconds"),
            }
            for user in session.scalars(select(User).order_by(User.name))
        ]


def find_account(catalogue: Catalogue, name: str) -> Account | None:
    """The account with this name; None if there is none."""
    with catalogue.reading() as session:
        role = session.scalar(select(User.role).where(User.name == name))
    return None if role is None else Account(name=name, role=role)


def check_password(catalogue: Catalogue, name: str, password: str) -> Account | None:
    """The account with this name and password; None, after the same time, if either is wrong."""
    with catalogue.reading() as session:
        found = session.scalars(select(User).where(User.name == name)).one_or_none()
    stored = found.password_hash if found is not None else None
    try:
        with _verifications:
            _hasher.verify(stored or _NOBODYS_HASH, password)
    except (VerificationError, InvalidHashError):
        return None
    return None if found is None or stored is None else Account(name=found.name, role=found.role)
