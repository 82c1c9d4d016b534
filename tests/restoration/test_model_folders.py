"""Model cards state parameters and suitability; weights are used only if they match the card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from restoration.errors import CardError, ModelError, RecipeError, WeightsError
from restoration.model_folders import CARD_NAME, WEIGHTS_NAME, ModelFolder, parse_card, shipped, shipped_versions
from tests.small_archive import MODEL, write_model

WEIGHTS = safetensors.torch.save({"a": torch.arange(4.0)})


def card(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": "denoise-deblur",
        "version": "1.0",
        "task": "restoration",
        "architecture": {"name": "residual-unet", "widths": [8], "blocks": [1]},
        "parameters": {
            "strength": {"default": 1.0, "range": [0, 1], "description": "how much of the change to keep"},
            "repair": {"default": ["noise"], "choices": ["noise", "softness", "damage"]},
        },
        "suited_to": {"polarity": ["positive"], "unsuited_processes": ["halftone"], "minimum_size_px": 64},
        "weights_sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "training": {"steps": 1},
        "evaluation": {},
    }
    return content | changes


def folder(path: Path, *, content: Any = None, weights: bytes | None = WEIGHTS) -> Path:
    (path / CARD_NAME).write_text(json.dumps(card() if content is None else content))
    if weights is not None:
        (path / WEIGHTS_NAME).write_bytes(weights)
    return path


def test_a_stage_has_every_parameter_written_out() -> None:
    stage = parse_card(card()).stage({"strength": 0})
    assert stage.parameters == {"strength": 0.0, "repair": ("noise",)}
    assert (stage.model, stage.version, stage.task) == ("denoise-deblur", "1.0", "restoration")


def test_choices_are_kept_in_the_card_s_order() -> None:
    stage = parse_card(card()).stage({"repair": ["damage", "noise"]})
    assert stage.parameters["repair"] == ("noise", "damage")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"strength": 1.1}, "between 0 and 1"),
        ({"strength": "much"}, "must be a number"),
        ({"strength": True}, "must be a number"),
        ({"repair": ["noise", "age"]}, "age"),
        ({"texture": 1}, "has no parameter texture; it has strength, repair"),
    ],
)
def test_a_parameter_that_the_card_does_not_allow_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        parse_card(card()).stage(given)


@pytest.mark.parametrize(
    ("facts", "objection"),
    [
        ({}, None),
        ({"polarity": "positive", "process": "gelatin silver print"}, None),
        ({"polarity": "negative"}, "negative polarity"),
        ({"process": "Halftone reproduction"}, "process halftone"),
        ({"height": 63}, "smaller than 64 px"),
    ],
)
def test_a_card_states_what_its_model_is_not_suited_to(facts: dict[str, Any], objection: str | None) -> None:
    known = {"polarity": None, "process": None, "width": 100, "height": 100} | facts
    assert parse_card(card()).suited_to.objection(**known) == objection


@pytest.mark.parametrize("entry", sorted(card()))
def test_a_card_without_an_entry_is_refused_by_its_name(entry: str) -> None:
    content = card()
    del content[entry]
    with pytest.raises(CardError, match=entry):
        parse_card(content)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "Denoise Deblur"}, "lower-case"),
        ({"name": "../../etc"}, "lower-case"),
        ({"version": "approved"}, "start with a digit"),
        ({"version": "1/../.."}, "start with a digit"),
        ({"task": "colourise"}, "restoration or style"),
        ({"weights_sha256": "1234"}, "64 hex digits"),
        ({"parameters": {"strength": {"default": 2, "range": [0, 1]}}}, "default"),
        ({"parameters": {"strength": {"default": 1, "range": 1}}}, "wrong type"),
        ({"architecture": "residual-unet"}, "wrong type"),
    ],
)
def test_a_card_with_a_wrong_entry_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CardError, match=reason):
        parse_card(card(**changes))


def test_weights_are_loaded_if_they_match_the_card(tmp_path: Path) -> None:
    version = ModelFolder.open(folder(tmp_path))
    version.check_weights()
    assert version.load_weights()["a"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("weights", [None, WEIGHTS[:-1], WEIGHTS + b"\0", b""])
def test_other_weights_are_refused(tmp_path: Path, weights: bytes | None) -> None:
    version = ModelFolder.open(folder(tmp_path, weights=weights))
    for use in (version.check_weights, version.load_weights):
        with pytest.raises(WeightsError, match=WEIGHTS_NAME):
            use()


def test_a_pickle_is_never_loaded_even_with_the_right_digest(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(4.0)}, tmp_path / WEIGHTS_NAME)
    pickle = (tmp_path / WEIGHTS_NAME).read_bytes()
    content = card(weights_sha256=hashlib.sha256(pickle).hexdigest())
    version = ModelFolder.open(folder(tmp_path, content=content, weights=pickle))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        version.load_weights()


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "has no card"), ("{", "can't be read"), ("[]", "not contain a JSON object")]
)
def test_a_folder_without_a_readable_card_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / CARD_NAME).write_text(text)
    with pytest.raises(CardError, match=reason):
        ModelFolder.open(tmp_path)


def test_the_shipped_versions_have_valid_cards_and_their_own_weights() -> None:
    for version in shipped_versions():
        version.check_weights()
        assert version.path.name.startswith(version.card.name)


def test_the_newest_shipped_version_is_found_by_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restoration.model_folders.SHIPPED", tmp_path)
    for version in ("9.0", "10.0", "2.1"):
        write_model(tmp_path / f"{MODEL}-{version}", version=version)
    assert [folder.card.version for folder in shipped_versions()] == ["2.1", "9.0", "10.0"]
    assert shipped(MODEL).card.version == "10.0"
    assert shipped(f"{MODEL}@2.1").card.version == "2.1"
    with pytest.raises(ModelError, match=rf"{MODEL}@3\.0 isn't among the shipped versions: .*{MODEL}@10\.0"):
        shipped(f"{MODEL}@3.0")
