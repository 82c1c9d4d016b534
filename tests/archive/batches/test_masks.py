"""Masks: a style for a part of each picture, in files that are named after the masters."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from archive.batches.planning.planner import Plan, StyleRequest
from archive.batches.planning.sampling import Sample
from archive.batches.recipe_rows import read_recipe
from archive.catalogue.schema.tables import Recipe
from archive.catalogue.schema.vocabularies import View
from archive.errors import UsageError
from archive.report import write_contact_sheets

# `workshop` is made in conftest.py.

HALF = np.repeat([[0] * 20 + [255] * 20], 32, axis=0).astype(np.uint8)  # as large as masters are


def _plan(workshop: Any, masks: Path, **options: Any) -> Plan:
    plan: Plan = workshop.plan(
        model="none", style_request=StyleRequest(styles=(("simulated-silver", 1.0),), masks=masks), **options
    )
    return plan


@pytest.fixture
def styled(workshop: Any) -> Any:
    """A workshop with a neutral style."""
    workshop.style("simulated-silver", palette="neutral")
    return workshop


def test_a_look_stays_within_its_mask(styled: Any) -> None:
    master = styled.master("A")
    folder = styled.mask("A", HALF)
    styled.run(_plan(styled, folder).batch_id)
    (derivative,) = styled.derivatives()
    before = tifffile.imread(styled.path_of(master))
    after = tifffile.imread(styled.catalogue.settings.home / derivative.path)
    assert np.array_equal(after[:, :20], before[:, :20])
    assert np.allclose(after[:, 20:], before[:, 20:] * 0.75, atol=1)


def test_each_mask_is_a_recipe_of_its_own_and_is_kept_below_the_home(styled: Any) -> None:
    for number in ("A", "B", "C"):
        styled.master(number)
    folder = styled.mask("A", HALF)
    styled.mask("B", HALF)
    styled.mask("C", 255 - HALF)
    plan = _plan(styled, folder)
    assert (plan.tasks, list(plan.recipes.values())) == (3, [3])
    shutil.rmtree(folder)
    assert styled.run(plan.batch_id).done == 3
    with styled.catalogue.reading() as session:
        named = [
            read_recipe(session.get_one(Recipe, derivative.recipe_id)).mask_sha256
            for derivative in styled.derivatives()
        ]
    assert (len(named), len(set(named)), named[0]) == (3, 2, named[1])
    kept = sorted((styled.catalogue.settings.home / "masks").iterdir())
    assert [path.name for path in kept] == sorted(f"{sha256}.png" for sha256 in set(named))
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in kept] == [path.stem for path in kept]


def test_masters_without_a_fitting_mask_are_left_out_with_the_reason(styled: Any) -> None:
    for number in ("A", "B", "C", "D", "E"):
        styled.master(number)
    styled.master("A", view=View.DETAIL)
    folder = styled.mask("A", HALF, sequence=2)
    styled.mask("B", HALF[:, :30])
    styled.mask("C", np.stack([HALF] * 3, axis=2))
    styled.mask("D", HALF.astype(np.uint16) * 257)
    (folder / "E_001.png").write_bytes(b"no picture")
    tried, done = _plan(styled, folder, dry_run=True), _plan(styled, folder)
    assert (tried.tasks, tried.exclusions) == (done.tasks, done.exclusions)
    assert done.tasks == 1
    assert {reason: each.examples for reason, each in done.exclusions.items()} == {
        f"no mask in {folder}": ["A (1)"],
        "the mask is not an 8-bit greyscale PNG": [
            "C (1): PNG of 8-bit RGB",
            "D (1): PNG of 16-bit grey",
        ],
        "the mask does not have the upright master's size": ["B (1): 30x32 px for 40x32 px"],
        "the mask can't be read": [
            f"E (1): {folder}/E_001.png: its first bytes aren't those of an image",
        ],
    }
    assert [master.refusal for master in styled.masters()] == [None] * 6  # nothing is wrong with them


def test_a_dry_run_keeps_no_mask_and_what_is_made_is_not_made_again(styled: Any) -> None:
    styled.master("A")
    folder = styled.mask("A", HALF)
    assert _plan(styled, folder, dry_run=True).tasks == 1
    assert not (styled.catalogue.settings.home / "masks").exists()
    styled.run(_plan(styled, folder).batch_id)
    again = _plan(styled, folder)
    assert (again.tasks, again.already_made) == (0, 1)
    styled.mask("A", 255 - HALF)
    assert _plan(styled, folder).tasks == 1


def test_a_kept_mask_that_was_changed_fails_its_master(styled: Any) -> None:
    styled.master("A")
    batch_id = _plan(styled, styled.mask("A", HALF)).batch_id
    (kept,) = (styled.catalogue.settings.home / "masks").iterdir()
    kept.write_bytes(kept.read_bytes() + b"?")
    result = styled.run(batch_id)
    assert "isn't the file asked for" in result.failures[0].reason
    assert styled.files() == []


def test_an_absent_folder_of_masks_is_wrong_usage(styled: Any) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        _plan(styled, styled.scans / "nowhere")


def test_a_sample_within_masks_has_one_contact_sheet(styled: Any) -> None:
    styled.master("A")
    styled.master("B")
    folder = styled.mask("A", HALF)
    styled.mask("B", 255 - HALF)
    batch_id = _plan(styled, folder, sample=Sample(size=2)).batch_id
    assert batch_id is not None
    styled.run(batch_id)
    (sheet,) = write_contact_sheets(styled.catalogue, batch_id)
    assert sheet.masters == 2
    assert "on which a look was simulated" in sheet.path.read_text(encoding="utf-8")
