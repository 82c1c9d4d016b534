"""A training with a time limit fits its phases and its release into it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from restoration.errors import TrainingError
from restoration.training import release, train, trainer
from restoration.training.aged_pairs import find_pictures
from restoration.training.evaluation import Row
from restoration.training.restoration_gan import RestorationGAN
from tests.tiny_training import CPU, TINY, write_training_pictures

pytestmark = pytest.mark.slow


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four clean photographs and a damage mask, in the folder layout of training data."""
    return write_training_pictures(tmp_path / "data")


def test_both_phases_and_the_release_fit_into_the_time_limit(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(step=0.5)  # a clock on which a pixel step takes 0.5 s, whatever the machine
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(trainer, "minimum_release_seconds", lambda *_: 6.0)
    settings = replace(TINY, pixel_steps=100_000, adversarial_steps=20_000, validate_every=100, checkpoint_every=100)
    folder = train(tmp_path / "out", data=pictures, settings=settings, minutes=0.5, execution=CPU, workers=0)
    stored = folder.card.content["training"]["settings"]
    assert 17 < next(seconds) <= 24.5
    assert stored["adversarial_steps"] / stored["pixel_steps"] == pytest.approx(0.2, rel=0.5)


def test_a_time_limit_without_room_for_the_release_is_refused(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "minimum_release_seconds", lambda *_: 100.0)
    with pytest.raises(TrainingError, match=r"takes 1\.7 minutes here\. Allow at least 5 minutes"):
        train(tmp_path / "out-1.0", data=pictures, settings=TINY, minutes=3, execution=CPU, workers=0)


def _evaluate_nothing(_restorations: object, pictures: list[object], *, with_baselines: bool) -> list[Row]:
    """Stands for the evaluation where a test needs only the number of pictures."""
    assert not with_baselines
    return [Row(case="clean", method="input", pictures=len(pictures), metrics={"psnr": None})]


def test_a_release_evaluates_as_many_photographs_as_its_time_allows(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_pictures(pictures)
    three = replace(found, validation=found.validation * 3)
    monkeypatch.setattr(trainer, "find_pictures", lambda _: three)
    monkeypatch.setattr(release, "evaluate", _evaluate_nothing)
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: 0.0))  # only the release takes time
    evaluated = []
    for seconds_per_evaluation, minutes in [(10.0, 1.0), (10.0, 0.5)]:
        now = itertools.count(step=seconds_per_evaluation)
        monkeypatch.setattr(release, "time", SimpleNamespace(monotonic=lambda now=now: next(now)))
        monkeypatch.setattr(trainer, "minimum_release_seconds", lambda *_: 12.0)
        out = tmp_path / f"out-{minutes}"
        folder = train(out, data=pictures, settings=TINY, minutes=minutes, execution=CPU, workers=0)
        evaluated.append(folder.card.content["evaluation"][0]["pictures"])
    assert evaluated == [3, 1]


def test_an_interrupted_release_is_repeated_on_resume(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = []

    def interrupted(_output: Path, gan: RestorationGAN, **_: object) -> None:
        released.append({name: weight.clone() for name, weight in gan.ema.weights.items()})
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "release", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "out", data=pictures, settings=TINY, execution=CPU, workers=0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "out", data=None, resume=True, execution=CPU, workers=0)
    first, second = released
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_phases_are_fitted_to_the_remaining_time() -> None:
    settings = replace(TINY, pixel_steps=1000, adversarial_steps=100)
    fitted = settings.fitted_to_time(400, seconds_left=600, seconds_per_step=1)
    assert fitted.pixel_steps - 400 + 1.3 * fitted.adversarial_steps == pytest.approx(600, abs=3)
    assert fitted.adversarial_steps == pytest.approx(fitted.pixel_steps / 10, abs=1)
    without = replace(settings, adversarial_steps=0)
    assert without.fitted_to_time(400, seconds_left=600, seconds_per_step=1).adversarial_steps == 0
    assert without.fitted_to_time(1000, seconds_left=600, seconds_per_step=1) == without
    late = fitted.fitted_to_time(fitted.pixel_steps + 20, seconds_left=30, seconds_per_step=2)
    assert (late.pixel_steps, late.adversarial_steps) == (fitted.pixel_steps, 35)
