"""Message groups: messages counted by kind, each kind with its first names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_FIRST_NAMES = 3
_SPECIFIC = re.compile(r"'[^']*'|\"[^\"]*\"|/\S+|\d[\d.,]*")  # what differs between messages of one kind


@dataclass(kw_only=True)
class MessageGroup:
    """The messages of one kind."""

    text: str
    """The first of them; others may differ in numbers, quoted values and paths."""
    count: int = 0
    differs: bool = False
    """Whether some of them do."""
    names: list[str] = field(default_factory=list)
    """What the first of them are about."""


def group_messages(messages: Iterable[tuple[str, str]]) -> list[MessageGroup]:
    """Groups messages, each a name and a text, by kind; the most frequent kind first."""
    groups: dict[str, MessageGroup] = {}
    for name, text in messages:
        group = groups.setdefault(_SPECIFIC.sub("*", text), MessageGroup(text=text))
        group.count += 1
        group.differs |= text != group.text
        if len(group.names) < _FIRST_NAMES:
            group.names.append(name)
    return sorted(groups.values(), key=lambda group: -group.count)
