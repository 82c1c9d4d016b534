"""``archive serve`` and ``archive user``: options, accounts and refusals."""

from __future__ import annotations

import io
import socket

import pytest

from archive.batches.running import runner
from tests.small_archive import SmallArchive, write_scan


def test_accounts_are_added_listed_and_removed(small: SmallArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    small.done("user", "add", "anna", "--role", "reviewer", "--password-stdin")
    small.done("user", "add", "bo", "--no-password")
    found = small.done("user", "list", "--format", "json").json()
    assert [(each["name"], each["role"], each["password"]) for each in found] == [
        ("anna", "reviewer", True),
        ("bo", "viewer", False),
    ]
    assert "anna" in small.done("user", "list").output
    small.done("user", "remove", "anna")
    assert small.run("user", "remove", "anna").code == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    refused = small.run("user", "add", "cy", "--password-stdin")
    assert (refused.code, "at least 10 characters" in refused.errors) == (2, True)
    without_terminal = small.run("user", "add", "cy")
    assert (without_terminal.code, "Use --password-stdin" in without_terminal.errors) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trusted-header", "X-User"), "needs --trusted-proxy"),
        (("--trusted-header", "X-User", "--trusted-proxy", "proxy.example"), "is not an IP address"),
        (("--port", "70000"), "70000"),
    ],
)
def test_options_that_make_no_sense_are_refused(small: SmallArchive, arguments: tuple[str, ...], message: str) -> None:
    answer = small.run("serve", *arguments)
    assert answer.code == 2
    assert message in answer.errors


def test_a_port_in_use_is_named(small: SmallArchive) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = small.run("serve", "--port", str(port))
    assert answer.code == 1
    assert f"127.0.0.1:{port} can't be used (Address already in use): name another" in answer.errors


def test_views_are_prepared_after_a_batch_where_the_settings_say_so(small: SmallArchive) -> None:
    with (small.home / "archive.toml").open("a") as file:
        file.write('views = "batch"\n')
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    small.done("restore")
    found = small.show("a")
    views = [f"{found['masters'][0]['sha256']}.1.tif", f"{found['derivatives'][0]['sha256']}.1.tif"]
    assert _view_names(small) == sorted(views)


def test_views_are_prepared_only_of_a_finished_batch_and_not_of_withdrawn_pictures(
    small: SmallArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (small.home / "archive.toml").open("a") as file:
        file.write('views = "batch"\n')
    write_scan(small.scans / "a.tif")
    small.done("ingest", small.scans)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "next_occurrence", lambda _until, now: now)
        assert small.run("restore", "--until", "06:00").code == 3
    assert _view_names(small) == []
    small.done("batch", "resume", "1")
    assert len(_view_names(small)) == 2
    small.done("withdraw", "a", "--derivative", str(small.show("a")["derivatives"][0]["id"]), "--reason", "a mistake")
    assert "No picture" not in small.done("batch", "resume", "1").errors


def _view_names(small: SmallArchive) -> list[str]:
    return sorted(path.name for path in (small.home / "views").rglob("*.tif"))
