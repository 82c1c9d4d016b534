from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from archive import model_aliases, model_registry
from archive.catalogue import Catalogue
from archive.catalogue.listings import find_version
from archive.catalogue.schema.tables import Event, ModelAlias, ModelVersion
from archive.catalogue.schema.vocabularies import AgentType, EventType
from archive.errors import ModelRegistryError, NotFoundError, UsageError
from restoration.model_folders import ModelFolder


def _write(parent: Path, version: str, *, name: str = "mend", weights: bytes | None = None, **card: Any) -> Path:
    """A version's folder; what is in its weights file is of no matter here but for its digest."""
    folder = parent / f"{name}-{version}"
    folder.mkdir(parents=True)
    weights = weights or f"weights of {name} {version}".encode()
    (folder / "weights.safetensors").write_bytes(weights)
    content = {
        "name": name,
        "version": version,
        "task": "restoration",
        "architecture": {"name": "none"},
        "parameters": {"strength": {"default": 1.0, "range": [0, 1]}},
        "suited_to": {"polarity": ["positive"], "unsuited_processes": [], "minimum_size_px": 16},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "training": {},
        "evaluation": {},
    }
    (folder / "card.json").write_text(json.dumps(content | card))
    return folder


def _approved(catalogue: Catalogue, name: str = "mend") -> str:
    with catalogue.reading() as session:
        return find_version(session, name).version


def _ship(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setattr(
        model_registry, "shipped_versions", lambda: iter([ModelFolder.open(folder) for folder in folders])
    )


def test_the_highest_shipped_version_of_a_new_model_is_approved(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ship(monkeypatch, *(_write(tmp_path, version) for version in ("0.10", "0.9", "0.2")))
    assert model_registry.register_shipped(catalogue) == ["mend@0.10", "mend@0.9", "mend@0.2"]
    assert _approved(catalogue) == "0.10"


def test_an_upgrade_of_the_software_never_moves_an_alias(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, other = _write(tmp_path, "1.0"), _write(tmp_path, "2.0"), _write(tmp_path, "1.0", name="sharpen")
    _ship(monkeypatch, old)
    model_registry.register_shipped(catalogue)
    _ship(monkeypatch, old, new, other)
    assert model_registry.register_shipped(catalogue) == ["mend@2.0", "sharpen@1.0"]
    assert (_approved(catalogue), _approved(catalogue, "sharpen")) == ("1.0", "1.0")


def test_registering_the_shipped_versions_again_changes_nothing(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ship(monkeypatch, _write(tmp_path, "1.0"))
    model_registry.register_shipped(catalogue)
    assert model_registry.register_shipped(catalogue) == []
    with catalogue.reading() as session:
        events = session.scalars(select(Event).order_by(Event.id)).all()
        assert [event.type for event in events] == [EventType.MODEL_REGISTRATION, EventType.ALIAS_CHANGE]
        assert {event.agent.type for event in events} == {AgentType.SOFTWARE}


def test_an_added_version_is_copied_below_the_home_so_that_its_folder_may_go(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    source = _write(tmp_path, "1.0")
    added = model_registry.add_version(catalogue, source)
    shutil.rmtree(source)
    folder = model_registry.checked_folder(catalogue, added)
    assert folder.path == catalogue.settings.home / "models" / "mend" / "1.0"
    assert folder.weights_path.read_bytes() == b"weights of mend 1.0"
    assert added.folder == "models/mend/1.0"
    assert model_registry.verify_versions(catalogue) == []


def test_adding_a_version_approves_it_only_where_the_model_has_none(catalogue: Catalogue, tmp_path: Path) -> None:
    model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    model_registry.add_version(catalogue, _write(tmp_path, "2.0"))
    assert _approved(catalogue) == "1.0"


def test_adding_the_same_weights_again_brings_a_lost_copy_back(catalogue: Catalogue, tmp_path: Path) -> None:
    source = _write(tmp_path, "1.0")
    added = model_registry.add_version(catalogue, source)
    shutil.rmtree(catalogue.settings.home / "models")
    with pytest.raises(ModelRegistryError, match="archive model add"):
        model_registry.checked_folder(catalogue, added)
    assert model_registry.add_version(catalogue, source).id == added.id
    assert model_registry.checked_folder(catalogue, added).weights_path.exists()


@pytest.mark.parametrize(
    "other",
    [
        {"weights": b"other weights"},
        {"architecture": {"name": "another"}},
        {"parameters": {"strength": {"default": 0.5, "range": [0, 1]}}},
    ],
)
def test_a_registered_version_never_becomes_another_one(
    catalogue: Catalogue, tmp_path: Path, other: dict[str, Any]
) -> None:
    model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    with pytest.raises(ModelRegistryError, match="give the new one a new version"):
        model_registry.add_version(catalogue, _write(tmp_path / "other", "1.0", **other))


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"weights_sha256": "0" * 64}, "not those of mend@1.0"),
        ({"task": "dance"}, "must be restoration or style"),
        ({"version": "1-of-many"}, "must be a number such as"),
    ],
)
def test_a_folder_that_holds_no_valid_version_is_refused(
    catalogue: Catalogue, tmp_path: Path, card: dict[str, Any], message: str
) -> None:
    folder = _write(tmp_path, "1.0")
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(content | card))
    with pytest.raises(ModelRegistryError, match=message):
        model_registry.add_version(catalogue, folder)
    with catalogue.reading() as session:
        assert session.scalars(select(ModelVersion)).all() == []
    assert not (catalogue.settings.home / "models").exists()


def test_a_version_for_another_task_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    with pytest.raises(ModelRegistryError, match="mend is for restoration"):
        model_registry.add_version(catalogue, _write(tmp_path, "2.0", task="style", style={"palette": "toned"}))


def test_a_shipped_version_is_copied_on_first_use(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _write(tmp_path, "1.0")
    _ship(monkeypatch, source)
    model_registry.register_shipped(catalogue)
    with catalogue.reading() as session:
        version = find_version(session, "mend")
    kept = catalogue.settings.home / "models" / "mend" / "1.0"
    assert not kept.exists()
    assert model_registry.checked_folder(catalogue, version).path == kept
    # A later software brings other bytes under the same name: the home's own copy is used.
    (source / "weights.safetensors").write_bytes(b"other")
    assert model_registry.checked_folder(catalogue, version).weights_path.read_bytes() == b"weights of mend 1.0"


def test_a_shipped_version_is_found_where_the_software_was_moved_to(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _write(tmp_path, "1.0")
    _ship(monkeypatch, source)
    model_registry.register_shipped(catalogue)
    moved = source.rename(tmp_path / "moved")
    _ship(monkeypatch, moved)
    with catalogue.reading() as session:
        version = find_version(session, "mend")
    assert model_registry.checked_folder(catalogue, version).weights_path.exists()


def test_changed_weights_are_refused_and_named(catalogue: Catalogue, tmp_path: Path) -> None:
    added = model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    model_registry.add_version(catalogue, _write(tmp_path, "2.0"))
    weights = model_registry.checked_folder(catalogue, added).weights_path
    weights.write_bytes(b"changed")
    with pytest.raises(ModelRegistryError, match=f"{weights} are not those registered"):
        model_registry.checked_folder(catalogue, added)
    (problem,) = model_registry.verify_versions(catalogue)
    assert (problem.reference, problem.path) == ("mend@1.0", weights)
    weights.unlink()
    assert "missing" in model_registry.verify_versions(catalogue)[0].problem


def test_wrong_weights_are_not_copied_into_the_home(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _write(tmp_path, "1.0")
    _ship(monkeypatch, source)
    model_registry.register_shipped(catalogue)
    (source / "weights.safetensors").write_bytes(b"changed since")
    with catalogue.reading() as session:
        version = find_version(session, "mend")
    with pytest.raises(ModelRegistryError):
        model_registry.checked_folder(catalogue, version)
    assert not (catalogue.settings.home / "models" / "mend" / "1.0" / "weights.safetensors").exists()


def test_verify_reports_a_changed_card(catalogue: Catalogue, tmp_path: Path) -> None:
    added = model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    card = model_registry.checked_folder(catalogue, added).path / "card.json"
    card.write_text(card.read_text().replace('"minimum_size_px": 16', '"minimum_size_px": 8'))
    (problem,) = model_registry.verify_versions(catalogue)
    assert (problem.path, problem.problem) == (card, "the card is not the one that was registered")
    # The catalogue's card is the one that counts.
    assert model_registry.checked_folder(catalogue, added).card.suited_to.minimum_size_px == 16


def test_moving_an_alias_is_an_event_of_the_person_who_did_it(catalogue: Catalogue, tmp_path: Path) -> None:
    model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    new = model_registry.add_version(catalogue, _write(tmp_path, "2.0"))
    model_aliases.set_alias(catalogue, "mend", "2.0", "approved", "A. Curator")
    assert _approved(catalogue) == "2.0"
    with catalogue.reading() as session:
        event = session.scalars(select(Event).order_by(Event.id.desc())).first()
        assert event is not None
        assert (event.type, event.detail, event.version_id) == (
            EventType.ALIAS_CHANGE,
            "mend@approved: 1.0 -> 2.0",
            new.id,
        )
        assert (event.agent.type, event.agent.name) == (AgentType.PERSON, "A. Curator")


def test_moving_an_alias_back_is_the_same_command(catalogue: Catalogue, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        model_registry.add_version(catalogue, _write(tmp_path, version))
    for version in ("2.0", "1.0", "1.0"):
        model_aliases.set_alias(catalogue, "mend", version, "approved", "A. Curator")
    assert _approved(catalogue) == "1.0"
    with catalogue.reading() as session:
        moves = session.scalars(select(Event.detail).where(Event.type == EventType.ALIAS_CHANGE).order_by(Event.id))
        assert list(moves) == [
            "mend@approved: nothing -> 1.0",
            "mend@approved: 1.0 -> 2.0",
            "mend@approved: 2.0 -> 1.0",
        ]


def test_a_version_can_have_further_aliases(catalogue: Catalogue, tmp_path: Path) -> None:
    model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    model_aliases.set_alias(catalogue, "mend", "1.0", "trial", "A. Curator")
    with catalogue.reading() as session:
        assert find_version(session, "mend@trial").version == "1.0"
        assert len(session.scalars(select(ModelAlias)).all()) == 2


def test_an_alias_is_removed_by_a_person_but_not_the_approved_one(catalogue: Catalogue, tmp_path: Path) -> None:
    version = model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    model_aliases.set_alias(catalogue, "mend", "1.0", "trial", "A. Curator")
    for refused in (("2.0", "trial", "A. Curator"), ("1.0", "trial", " "), ("1.0", "approved", "A. Curator")):
        with pytest.raises(UsageError):
            model_aliases.remove_alias(catalogue, "mend", *refused)
    with pytest.raises(NotFoundError):
        model_aliases.remove_alias(catalogue, "mend", "1.0", "tried", "A. Curator")

    model_aliases.remove_alias(catalogue, "mend", "1.0", "trial", "A. Curator")

    assert _approved(catalogue) == "1.0"
    with catalogue.reading() as session:
        with pytest.raises(NotFoundError):
            find_version(session, "mend@trial")
        event = session.scalars(select(Event).order_by(Event.id.desc())).first()
        assert event is not None
        assert (event.type, event.detail, event.version_id) == (
            EventType.ALIAS_CHANGE,
            "mend@trial: 1.0 -> nothing",
            version.id,
        )
        assert event.agent.name == "A. Curator"


@pytest.mark.parametrize(
    ("version", "alias", "person", "error"),
    [
        ("1.0", "2nd", "A. Curator", UsageError),
        ("1.0", "", "A. Curator", UsageError),
        ("1.0", "a@b", "A. Curator", UsageError),
        ("1.0", "aproved", "A. Curator", UsageError),
        ("1.0", "trial", " ", UsageError),
        ("3.0", "trial", "A. Curator", NotFoundError),
        ("approved", "trial", "A. Curator", UsageError),
    ],
)
def test_an_alias_that_can_not_be_set_is_refused(
    catalogue: Catalogue, tmp_path: Path, version: str, alias: str, person: str, error: type[Exception]
) -> None:
    model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    with pytest.raises(error):
        model_aliases.set_alias(catalogue, "mend", version, alias, person)


def test_a_card_that_this_software_does_not_understand_is_one_of_the_archives_errors(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    version = model_registry.add_version(catalogue, _write(tmp_path, "1.0"))
    with catalogue.session() as session:
        session.get_one(ModelVersion, version.id).card = {"name": "mend"}
    with catalogue.reading() as session, pytest.raises(ModelRegistryError, match="card of the version from"):
        model_registry.checked_folder(catalogue, find_version(session, "mend"))
    with pytest.raises(ModelRegistryError, match="card of the version from"):
        model_registry.verify_versions(catalogue)
