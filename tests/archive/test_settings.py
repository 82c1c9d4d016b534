from __future__ import annotations

from pathlib import Path

import pytest

from archive.bundled_files import migrations_folder
from archive.catalogue import Catalogue
from archive.catalogue.engines import make_engine
from archive.errors import HomeError
from archive.settings import Settings, create_home, find_home, load_settings


def test_a_new_home_keeps_its_catalogue_inside(tmp_path: Path) -> None:
    settings = create_home(tmp_path / "new" / "home", database=None)
    assert settings.home == tmp_path / "new" / "home"
    assert settings.sqlite_path == settings.home / "catalogue.db"
    assert load_settings(settings.home) == settings


def test_the_database_is_the_environments_then_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = 'postgresql+psycopg://museum:"odd\\"@db/catalogue'
    settings = create_home(tmp_path, database=url)
    assert settings.database_url == url
    assert settings.sqlite_path is None
    monkeypatch.setenv("ARCHIVE_DATABASE_URL", "postgresql+psycopg://other/catalogue")
    assert load_settings(tmp_path).database_url == "postgresql+psycopg://other/catalogue"


def test_a_relative_sqlite_path_is_below_the_home(tmp_path: Path) -> None:
    assert create_home(tmp_path, database="sqlite:///data/c.db").sqlite_path == tmp_path / "data" / "c.db"


def test_a_home_is_made_once_and_never_moved_to_another_database(tmp_path: Path) -> None:
    first = create_home(tmp_path, database="postgresql+psycopg://db/one")
    assert create_home(tmp_path, database="postgresql+psycopg://db/one") == first
    assert create_home(tmp_path, database=None) == first
    with pytest.raises(HomeError, match="another database"):
        create_home(tmp_path, database="postgresql+psycopg://db/two")
    assert load_settings(tmp_path) == first


@pytest.mark.parametrize("url", ["postgresql://db/one", "mysql://db/one", "sqlite://", "sqlite:///", "catalogue.db"])
def test_a_database_that_can_not_be_used_makes_no_home(tmp_path: Path, url: str) -> None:
    with pytest.raises(HomeError, match=r"postgresql\+psycopg://"):
        create_home(tmp_path / "home", database=url)
    assert not (tmp_path / "home").exists()


def test_a_file_is_not_a_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="can't be made a home"):
        create_home(tmp_path / "file", database=None)


def test_the_home_is_the_option_then_the_variable_then_upward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("option", "variable", "upward"):
        create_home(tmp_path / name, database=None)
    deep = tmp_path / "upward" / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_home(None) == tmp_path / "upward"
    monkeypatch.setenv("ARCHIVE_HOME", str(tmp_path / "variable"))
    assert find_home(None) == tmp_path / "variable"
    assert find_home(tmp_path / "option") == tmp_path / "option"
    monkeypatch.chdir(tmp_path)
    assert find_home(Path("option")) == tmp_path / "option"


def test_without_a_home_it_says_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HomeError, match="archive init"):
        find_home(None)
    with pytest.raises(HomeError, match="archive init"):
        find_home(tmp_path)
    with pytest.raises(HomeError, match="archive init"):
        load_settings(tmp_path)
    monkeypatch.setenv("ARCHIVE_HOME", str(tmp_path))
    with pytest.raises(HomeError, match="ARCHIVE_HOME"):
        find_home(None)


def test_settings_are_read_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "archive.toml").write_text("max_pixels = 1000\nmax_decoding_bytes = 5000\ntile_size = 64\n")
    assert load_settings(tmp_path) == Settings(
        home=tmp_path,
        database_url=f"sqlite:///{tmp_path}/catalogue.db",
        max_pixels=1000,
        max_decoding_bytes=5000,
        tile_size=64,
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("tile_sise = 64", "unknown entry 'tile_sise'; known are database, max_pixels, max_decoding_bytes, tile_size"),
        ("tile_size = 0", "a whole number above 0"),
        ("tile_size = true", "a whole number above 0"),
        ("max_pixels = '1'", "a whole number above 0"),
        ("database = 3", "must be text"),
        ("database = ''", "must be text"),
        ("rejection_reasons = ['blurred', 3]", "a list of texts"),
        ("rejection_reasons = []", "a list of texts"),
        ("views = 'always'", "'demand' or 'batch'"),
        ("= 3", "can't be read"),
        ("database = 'oracle://x'", "starts with 'oracle'"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "archive.toml").write_text(content)
    with pytest.raises(HomeError, match=said):
        load_settings(tmp_path)


@pytest.mark.parametrize("content", [b"= 3", b"database = '\xff'"])
def test_a_mistake_in_the_file_is_named_when_a_home_is_made_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive.toml").write_bytes(content)
    with pytest.raises(HomeError, match="can't be read"):
        create_home(tmp_path, database="postgresql+psycopg://db/one")
    assert (tmp_path / "archive.toml").read_bytes() == content


def test_migrations_are_found_in_the_source_tree() -> None:
    assert (migrations_folder() / "env.py").is_file()


def test_folders_of_masters_may_lie_elsewhere_on_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = create_home(tmp_path / "home", database=None).home
    assert load_settings(home).roots == ()
    machine = tmp_path / "machine.toml"
    machine.write_text('[roots]\n"/scans" = "/mnt/nas"\n"/scans/new" = "/mnt/new"\n')
    monkeypatch.setenv("ARCHIVE_MACHINE_SETTINGS", str(machine))
    settings = load_settings(home)
    catalogue = Catalogue(settings=settings, engine=make_engine(settings))
    assert catalogue.path_of("/scans/a/1.tif") == Path("/mnt/nas/a/1.tif")
    assert catalogue.path_of("/scans/new/1.tif") == Path("/mnt/new/1.tif")
    assert catalogue.path_of("/scans-2/1.tif") == Path("/scans-2/1.tif")
    assert catalogue.path_of("derivatives/x.tif") == home / "derivatives" / "x.tif"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('roots = "x"', "names absolute folders"),
        ('[roots]\n"scans" = "/mnt"', "names absolute folders"),
        ("tile_size = 3", "unknown entry 'tile_size'"),
        ("[", "can't be read"),
    ],
)
def test_mistakes_in_a_machine_s_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    home = create_home(tmp_path / "home", database=None).home
    (machine := tmp_path / "machine.toml").write_text(text)
    monkeypatch.setenv("ARCHIVE_MACHINE_SETTINGS", str(machine))
    with pytest.raises(HomeError, match=message):
        load_settings(home)
    machine.unlink()
    with pytest.raises(HomeError, match="does not exist"):
        load_settings(home)
