"""Lines about many files: grouped by kind with counts and first names, or all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from archive.cli.logging_setup import emit, is_json
from archive.cli.output_formats import escape_control_characters
from archive.message_groups import MessageGroup, group_messages


def print_messages(
    heading: str, messages: Iterable[tuple[str, str]], *, verbose: bool, all_with: str, level: int = logging.INFO
) -> None:
    """Prints messages, each a name and a text, on standard error.

    Args:
        heading: the first line, which says what they are about and how many they are.
        messages: the messages. The name may be empty, and the text where the heading says it all.
        verbose: print each of them; the json log format always does.
        all_with: how to see all of them, printed if some are not shown.
        level: of the lines in the json log format.
    """
    emit(f"{heading}:", level=level)
    if verbose or is_json():
        for name, text in messages:
            emit(f"  {escape_control_characters(': '.join(filter(None, (name, text))))}", level=level)
        return
    print_groups(group_messages(messages), all_with=all_with)


def print_groups(groups: Iterable[MessageGroup], *, all_with: str) -> None:
    """Prints groups of messages on standard error, below a heading that is printed already."""
    hidden = 0
    for group in groups:
        names = [name for name in group.names if name]
        if group.count == 1:
            emit(f"  {escape_control_characters(': '.join(filter(None, (*names, group.text))))}")
            continue
        if group.text:
            others = " (the first one; the others differ in numbers or names)" if group.differs else ""
            emit(f"  {group.count:,} x {escape_control_characters(group.text)}{others}")
        more = group.count - len(group.names)
        hidden += more
        if names:
            shown = ", ".join(names) + (f" and {more:,} more" if more else "")
            emit(f"  {'    ' if group.text else ''}{escape_control_characters(shown)}")
    if hidden:
        emit(f"  All of them: {all_with}")
