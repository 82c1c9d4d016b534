"""Two versions compared: whose derivatives are paired, what is left out, and what the differences say."""

from __future__ import annotations

import json
import statistics
from typing import Any

import pytest
from sqlalchemy.orm import Session

from archive.catalogue import Catalogue
from archive.catalogue.listings import compare_versions
from archive.catalogue.schema.tables import Derivative, Master, ModelVersion
from archive.catalogue.schema.vocabularies import Decision, StageTask
from archive.errors import NotFoundError, QueryError, UsageError
from tests.catalogue_rows import add_derivative, add_item, add_master, add_review, add_version

A, B = "denoise-deblur@1.0", "denoise-deblur@2.0"


def _versions(session: Session) -> tuple[ModelVersion, ModelVersion]:
    return add_version(session, A, approved=True), add_version(session, B)


def _found(catalogue: Catalogue, query: str | None = None, *, a: str = A, b: str = B) -> dict[str, Any]:
    with catalogue.reading() as session:
        return compare_versions(session, a, b, query)


def _score(found: dict[str, Any], metric: str, compared_with: str | None = "reference") -> dict[str, Any]:
    (score,) = [each for each in found["scores"] if (each["metric"], each["compared_with"]) == (metric, compared_with)]
    return dict(score)


def test_differences_are_b_minus_a_master_by_master(catalogue: Catalogue) -> None:
    before, after = [30.0, 25.5, 28.0, 31.25], [31.5, 25.0, 28.0, 33.0]
    with catalogue.session() as session:
        old, new = _versions(session)
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            (master,) = add_item(session, f"1906.{number}").masters
            # In the other order for every second one: the order of making says nothing.
            made = [(old, one), (new, other)]
            for version, psnr in made if number % 2 else reversed(made):
                add_derivative(session, master, version, psnr_reference=psnr)
    found = _found(catalogue)
    score = _score(found, "psnr")
    differences = [1.5, -0.5, 0.0, 1.75]

    assert (found["a"], found["b"], found["query"]) == (A, B, None)
    assert (found["masters"], found["masters_a"], found["masters_b"]) == (4, 4, 4)
    assert (score["n"], score["left_out"]) == (4, 0)
    assert score["mean"] == pytest.approx(statistics.fmean(differences))
    assert score["median"] == statistics.median(differences)
    assert score["standard_deviation"] == pytest.approx(statistics.stdev(differences))
    assert score["mean_a"] == pytest.approx(statistics.fmean(before))
    assert score["mean_b"] == pytest.approx(statistics.fmean(after))
    assert (score["better"], score["share_better"], score["share_worse"]) == ("higher", 0.5, 0.25)
    assert score["worst"][0] == {"accession_number": "1906.1", "sequence": 1, "a": 25.5, "b": 25.0, "difference": -0.5}
    assert [each["difference"] for each in score["worst"]] == sorted(differences)
    json.dumps(found, allow_nan=False)


def test_quality_comes_first_and_only_quality_is_better_or_worse(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        (master,) = add_item(session, "1906.1").masters
        for version, shift in zip(_versions(session), (0.0, 0.25), strict=True):
            add_derivative(
                session,
                master,
                version,
                noise_sigma=0.5,
                psnr_source=30.0 - shift,
                ssim_reference=0.5 - shift,
                psnr_reference=20.0 - shift,
            )
    scores = _found(catalogue)["scores"]

    assert [(score["metric"], score["measure_of"], score["better"]) for score in scores] == [
        ("psnr", "quality", "higher"),
        ("ssim", "quality", "higher"),
        ("psnr", "change", None),
        ("noise_sigma", "derivative", None),
    ]
    assert [score["share_worse"] for score in scores] == [1.0, 1.0, None, None]
    assert all(score["standard_deviation"] is None for score in scores), "a single difference has no deviation"


def test_the_worst_are_few_and_where_nothing_is_better_the_furthest_apart(catalogue: Catalogue) -> None:
    changes = {"A": 0.25, "B": -0.5, "C": 0.125, "D": 0.0, "E": 0.75, "F": 0.5, "G": -0.125}
    with catalogue.session() as session:
        old, new = _versions(session)
        for name, change in changes.items():
            (master,) = add_item(session, name).masters
            add_derivative(session, master, old, contrast=0.5, ssim_reference=0.5)
            add_derivative(session, master, new, contrast=0.5 + change, ssim_reference=0.5 + change)
    found = _found(catalogue)

    named = {
        metric: [each["accession_number"] for each in _score(found, metric, against)["worst"]]
        for metric, against in (("ssim", "reference"), ("contrast", None))
    }
    assert named == {"ssim": ["B", "G", "D", "C", "A"], "contrast": ["E", "B", "F", "A", "C"]}


def test_of_each_version_the_newest_derivative_counts_that_is_not_rejected(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        old, new = _versions(session)
        newest, one_rejected, all_rejected = (add_item(session, name).masters[0] for name in "ABC")
        for master in (newest, one_rejected, all_rejected):
            add_derivative(session, master, old, psnr_reference=20.0)
        made = {
            master: [
                add_derivative(session, master, new, strength=strength, psnr_reference=20.0 + strength)
                for strength in (0.25, 0.5)
            ]
            for master in (newest, one_rejected, all_rejected)
        }
        add_review(session, made[one_rejected][1], Decision.REJECTED)
        add_review(session, made[newest][1], Decision.REJECTED)
        add_review(session, made[newest][1], Decision.ACCEPTED)  # thought better of it
        for derivative in made[all_rejected]:
            add_review(session, derivative, Decision.REJECTED)
    found = _found(catalogue)

    differences = {each["accession_number"]: each["difference"] for each in _score(found, "psnr")["worst"]}
    assert differences == {"A": 0.5, "B": 0.25, "C": 0.5}
    assert found["recipes"] == [
        {"a": "denoise-deblur 1.0 (strength 1)", "b": "denoise-deblur 2.0 (strength 0.5)", "masters": 2},
        {"a": "denoise-deblur 1.0 (strength 1)", "b": "denoise-deblur 2.0 (strength 0.25)", "masters": 1},
    ]


def test_pairs_without_a_value_or_of_two_references_are_left_out_and_counted(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        old, new = _versions(session)
        identical, other_reference, good = (add_item(session, name).masters[0] for name in "ABC")
        pairs = [
            [add_derivative(session, master, version, psnr_reference=30.0, psnr_source=30.0) for version in (old, new)]
            for master in (identical, other_reference, good)
        ]
        for row in pairs[0][1].scores:
            row.value, row.detail = None, "identical"
        for derivative, sha256 in zip(pairs[1], ("0" * 64, "1" * 64), strict=True):
            derivative.environment = {"reference": {"path": "/clean.tif", "sha256": sha256}}
        for derivative in pairs[2]:
            derivative.environment = {"reference": {"path": "/clean.tif", "sha256": "2" * 64}}
    found = _found(catalogue)

    assert (_score(found, "psnr")["n"], _score(found, "psnr")["left_out"]) == (1, 2)
    assert (_score(found, "psnr", "source")["n"], _score(found, "psnr", "source")["left_out"]) == (2, 1)


def test_without_a_pair_of_values_the_average_is_missing(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        (master,) = add_item(session, "A").masters
        for version in _versions(session):
            (row,) = add_derivative(session, master, version, psnr_reference=1.0).scores
            row.value, row.detail = None, "identical"
    score = _score(_found(catalogue), "psnr")

    assert (score["n"], score["left_out"], score["worst"]) == (0, 1, [])
    assert [score[name] for name in ("mean", "median", "mean_a", "share_worse")] == [None] * 4


def test_only_masters_that_both_restored_and_the_query_finds_are_compared(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        old, new = _versions(session)
        style = add_version(session, "autumn@1.0", task=StageTask.STYLE)

        def made(master: Master, *versions: ModelVersion) -> Derivative:
            return add_derivative(session, master, *versions, contrast=0.5)

        both = add_item(session, "both", collection="Trial", masters=1)
        add_master(session, both)
        for master in both.masters:
            made(master, old)
            made(master, new)
        elsewhere = add_item(session, "elsewhere", collection="Other").masters[0]
        made(elsewhere, old)
        made(elsewhere, new)
        made(add_item(session, "old only", collection="Trial").masters[0], old)
        styled = add_item(session, "styled", collection="Trial").masters[0]
        made(styled, old)
        made(styled, new, style)
        together = add_item(session, "together", collection="Trial").masters[0]
        made(together, old, new)

    found = _found(catalogue, "collection:Trial")
    assert (found["masters"], found["masters_a"], found["masters_b"]) == (2, 4, 2)
    assert [(each["accession_number"], each["sequence"]) for each in _score(found, "contrast", None)["worst"]] == [
        ("both", 1),
        ("both", 2),
    ]
    assert _found(catalogue)["masters"] == 3


def test_versions_of_two_models_are_compared_and_named_by_alias_too(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        old = add_version(session, A, approved=True)
        other = add_version(session, "mend@3.1", approved=True)
        (master,) = add_item(session, "A").masters
        for version in (old, other):
            add_derivative(session, master, version, contrast=0.5)
    found = _found(catalogue, a="denoise-deblur@approved", b="mend")

    assert (found["a"], found["b"]) == (A, "mend@3.1")


def test_what_can_not_be_compared_is_refused_with_what_to_do(catalogue: Catalogue) -> None:
    with catalogue.session() as session:
        old, _ = _versions(session)
        add_version(session, "mend@1.0")
        add_version(session, "autumn@1.0", task=StageTask.STYLE)
        add_derivative(session, add_item(session, "A 1").masters[0], old, contrast=0.5)
    for b, query, error, said in (
        ("denoise-deblur@9.0", None, NotFoundError, r"No denoise-deblur@9.0. Known versions"),
        ("denoise-deblur", None, UsageError, r"same version, denoise-deblur@1.0: name two"),
        ("autumn@1.0", None, UsageError, r"autumn@1.0 is a style"),
        (B, "nonsense:1", QueryError, r"No field 'nonsense'"),
        (B, None, NotFoundError, r"both .*@1.0 \(1\) and .*@2.0 \(0\): run `archive rerun --model denoise-deblur@2.0`"),
        (B, 'accession_number:"A 1"', NotFoundError, r"archive rerun 'accession_number:\"A 1\"' --model denoise"),
        ("mend@1.0", None, NotFoundError, r"run `archive restore --model mend@1.0` first"),
        (B, "title:none", NotFoundError, r"neither .* restore title:none --model denoise-deblur@1.0` and `archive"),
    ):
        with pytest.raises(error, match=said):
            _found(catalogue, query, b=b)
    with pytest.raises(NotFoundError, match=r"archive rerun --model denoise-deblur@2.0"):
        _found(catalogue, a=B, b=A)
