"""A small archive with restored pictures behind a web server in this process."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archive.accounts import Account
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import Role
from archive.settings import load_settings
from archive.views.view_store import ViewStore
from archive.web import guarded_endpoint
from archive.web.application import create_application
from archive.web.server_state import ServerOptions, ServerState
from tests.small_archive import MODEL, SmallArchive, command, write_model, write_scan

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it prefers the successor of httpx, which has no stable release yet
    from starlette.testclient import TestClient

ITEMS = (
    "filename,accession_number,title,creator,date,access,rights\n"
    "a.tif,1906.1,A street <in summer>,Anna Pérez,1906~,open,CC0\n"
    "b.tif,1906.2,A house,Anna Pérez,190X,restricted,CC0\n"
    "c.tif,1906.3,A funeral,Anna Pérez,190X,sensitive,CC0\n"
    "d.tif,1906.4,A bridge,Bo Lind,1911,open,CC0\n"
)


@pytest.fixture(scope="session")
def _restored_once(tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    folder = tmp_path_factory.mktemp("restored")
    archive = SmallArchive(home=folder / "home", scans=folder / "home" / "scans")
    assert command("init", archive.home).code == 0
    archive.scans.mkdir()
    archive.done("model", "add", write_model(folder / "model"))
    archive.done("model", "alias", MODEL, "9.0", "approved", "--reviewer", "A. Curator")
    for seed, name in enumerate("abcd", 1):
        write_scan(archive.scans / f"{name}.tif", seed=seed, width=700 if name == "a" else 60, height=50)
    (archive.scans / "items.csv").write_text(ITEMS, encoding="utf-8")
    archive.done("ingest", archive.scans, "--copy")
    for number in range(1, 5):  # one by one, so that masters and derivatives have the same ids
        archive.done("restore", f"accession_number:1906.{number}")
    return archive


@pytest.fixture
def archive(_restored_once: SmallArchive, tmp_path: Path) -> SmallArchive:
    """Four restored items: 1906.1 and 1906.4 open, 1906.2 restricted, 1906.3 sensitive."""
    home = tmp_path / "home"
    shutil.copytree(_restored_once.home, home)
    return SmallArchive(home=home, scans=home / "scans")


@pytest.fixture
def catalogue(archive: SmallArchive) -> Catalogue:
    return Catalogue.open(load_settings(archive.home))


class Server:
    """A server in this process, and browsers that talk to it."""

    def __init__(self, catalogue: Catalogue, options: ServerOptions) -> None:
        self.announced: list[str] = []
        self.views = ViewStore(catalogue.settings)
        self.state = ServerState(
            catalogue=catalogue,
            options=options,
            owner=Account(name="A. Curator", role=Role.MANAGER),
            views=self.views,
            announce=self.announced.append,
        )
        self.application = create_application(self.state)

    def browser(self, *, address: str = "127.0.0.1") -> Browser:
        """A browser that isn't logged in."""
        return Browser(self, address)

    def logged_in(self, role: Role = Role.MANAGER, name: str = "A. Curator") -> Browser:
        """A browser with a session."""
        browser = self.browser()
        session = self.state.sessions.start(Account(name=name, role=role), by_token=True)
        browser.cookies.set(self.state.cookie, session)
        return browser


class Browser(TestClient):
    """A client that doesn't follow redirects, with the CSRF token of the page that it saw last."""

    def __init__(self, server: Server, address: str) -> None:
        super().__init__(
            server.application,
            base_url="http://127.0.0.1:8600",
            follow_redirects=False,
            client=(address, 50000),
            raise_server_exceptions=False,
        )

    def csrf_token(self, path: str = "/queues") -> str:
        found = re.search(r'name="csrf-token" content="([0-9a-f]+)"', self.get(path).text)
        assert found is not None
        return found[1]

    def submit(self, path: str, **fields: str) -> tuple[int, str]:
        """Sends a form with the right CSRF token; the status and text of the answer."""
        answer = self.post(path, data={**fields, "csrf_token": self.csrf_token()})
        return answer.status_code, answer.text


MakeServer = Callable[..., Server]


@pytest.fixture
def make_server(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeServer]:
    """Makes servers of the archive; the arguments are their options. They wait for views on a slow machine, too."""
    monkeypatch.setattr(guarded_endpoint, "_VIEW_WAIT_SECONDS", 600)
    servers: list[Server] = []

    def make(**options: object) -> Server:
        servers.append(Server(catalogue, ServerOptions(**options)))  # type: ignore[arg-type]
        return servers[-1]

    yield make
    for server in servers:
        server.views.close()


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    return make_server()
