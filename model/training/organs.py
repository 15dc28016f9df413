"""Organs of training images: one word for each, and how many cases stand behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from everslide.model.training.prepare import Prepared

KNOWN = (
    "adrenal gland", "appendix", "artery", "bone", "brain", "breast", "colon", "endometrium", "esophagus", "fat",
    "gallbladder", "kidney", "liver", "lung", "lymph node", "oral mucosa", "ovary", "pancreas", "peritoneum",
    "pituitary", "placenta", "prostate", "skin", "small intestine", "soft tissue", "spleen", "stomach",
)  # fmt: skip
SYNONYMS = {
    "adipose": "fat", "omentum": "fat", "duodenum": "small intestine", "bowel": "small intestine",
    "meninges": "brain", "oral": "oral mucosa", "adrenal": "adrenal gland", "carotid": "artery",
}  # fmt: skip

VAGUE = r"\b(tumou?r|tissue|crop|slide|sample|unknown)\b"


def organ_of(description: str) -> str:
    """The organ that a manifest's description begins with: "colon biopsy, melanosis coli, H&E" -> "colon".

    What comes after the first comma is a diagnosis. A description that begins with none of `KNOWN` or SYNONYMS is
    taken as it is where it is one or two plain words, else nothing is known: "".
    """
    head = re.split(r"[,:(]", description.lower())[0].strip()
    names = {**{name: name for name in KNOWN}, **SYNONYMS}
    found = [(head.find(word), -len(word), organ) for word, organ in names.items() if re.search(rf"\b{word}s?\b", head)]
    if found:
        return min(found)[2]
    plain = re.fullmatch(r"[a-z]+( [a-z]+)?", head) and not re.search(VAGUE, head)
    return head if plain else ""


def case_of(image: Prepared) -> str:
    """The case of an image: as given, else its name without a prefix F_, M_ or W_, and without row and column."""
    return image.case or re.sub(r"_r\d+c\d+$", "", re.sub(r"^[fmw]_", "", image.name.lower()))


def cases_by_organ(images: Iterable[Prepared]) -> dict[str, int]:
    """How many training cases each organ has, in alphabetical order."""
    cases: dict[str, set[str]] = {}
    for image in images:
        organ = organ_of(image.organ)
        if image.split == "train" and image.kind == "field" and organ:
            cases.setdefault(organ, set()).add(case_of(image))
    return {organ: len(names) for organ, names in sorted(cases.items())}
