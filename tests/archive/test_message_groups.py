from __future__ import annotations

from archive.message_groups import MessageGroup, group_messages


def test_messages_of_one_kind_are_counted_with_their_first_names() -> None:
    messages = [(f"{number}.tif", f"tag {number} of '/scans/{number}.tif' isn't carried") for number in range(5)]

    assert group_messages([("x", "another kind"), *messages]) == [
        MessageGroup(text=messages[0][1], count=5, differs=True, names=["0.tif", "1.tif", "2.tif"]),
        MessageGroup(text="another kind", count=1, names=["x"]),
    ]
    assert group_messages([("x", "same"), ("y", "same")]) == [MessageGroup(text="same", count=2, names=["x", "y"])]
    assert group_messages([]) == []
