"""Organs of training images and their cases, as manifests describe them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from everslide.model.training.organs import case_of, cases_by_organ, organ_of
from everslide.model.training.prepare import Prepared


def image(name: str, organ: str = "", split: str = "train", kind: str = "field") -> Prepared:
    return Prepared(name, split, kind, 0, 4, organ)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("description", "organ"),
    [
        ("colon biopsy, melanosis coli, H&E", "colon"),
        ("Colon", "colon"),
        ("fat and lymph nodes, carcinoma", "fat"),
        ("thoracic lymph node, anthracosis", "lymph node"),
        ("liver core biopsy (organ judged by eye), H&E", "liver"),
        ("duodenum biopsy, celiac disease", "small intestine"),
        ("bone infiltrated by meningioma", "bone"),
        ("adrenal gland invaded by pancreatic ductal adenocarcinoma", "adrenal gland"),
        ("thyroid", "thyroid"),
        ("tumour crop, OS-1", ""),
        ("skinny", "skinny"),
        ("CMU-1 slide fragment (organ not stated)", ""),
        ("", ""),
    ],
)
def test_the_organ_that_a_description_begins_with(description: str, organ: str) -> None:
    assert organ_of(description) == organ


def test_images_of_one_case() -> None:
    assert case_of(image("F_BS17")) == case_of(image("w_bs17")) == "bs17" != case_of(image("bs18"))
    assert case_of(image("1009009_r27c10")) == case_of(image("1009009_r4c5")) == "1009009"
    assert case_of(replace(image("10011"), case="series 3")) == "series 3"


def test_cases_are_those_of_training() -> None:
    images = [
        image("f_a", "colon, polyp"), image("w_a", "colon, polyp, whole section"), image("b", "Colon"),
        image("c", "liver"), image("d", "skin", "held-out"), image("scene", "colon", kind="scene"), image("e", ""),
    ]  # fmt: skip
    assert cases_by_organ(images) == {"colon": 2, "liver": 1}
