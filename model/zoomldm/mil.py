"""Attention-based multiple-instance learning (Ilse et al., 2018): a slide's label from the features of its patches.

What the paper asks of a diffusion model's features: that patches, seen by the frozen denoiser, predict a slide's label.
Slides of one case are never on both sides of a split, and the interval of the AUC is over cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional as F

from everslide.model.errors import DataError

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Bag:
    """A slide: features (n, C) of its patches, its label, 0 or 1, and the case it is of."""

    features: Tensor
    label: int
    case: str


@dataclass(frozen=True)
class MILSettings:
    """hidden: width of the attention. steps: of AdamW, a slide each; rate, decay: its learning rate and weight decay.
    folds: of the cross-validation. seed: of weights, order and folds."""

    hidden: int = 128
    steps: int = 600
    rate: float = 2e-4
    decay: float = 1e-3
    folds: int = 5
    seed: int = 1


@dataclass(frozen=True)
class Auc:
    """Area under the receiver operating characteristic curve of held-out slides.

    low, high: its 95 % interval over cases.
    """

    auc: float
    low: float
    high: float
    slides: int
    cases: int


class AttentionMIL(nn.Module):
    """Features (n, C) of a slide -> logit of its label, and attention (n,) of its patches (Eq. 9, gated)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.tanh, self.gate = nn.Linear(channels, hidden), nn.Linear(channels, hidden)
        self.weight, self.label = nn.Linear(hidden, 1), nn.Linear(channels, 1)

    def forward(self, bag: Tensor) -> tuple[Tensor, Tensor]:
        h = self.norm(bag)
        attention = self.weight(torch.tanh(self.tanh(h)) * torch.sigmoid(self.gate(h))).squeeze(1).softmax(0)
        logit: Tensor = self.label(attention[None] @ h)[0, 0]
        return logit, attention


def train_mil(bags: Sequence[Bag], settings: MILSettings, device: torch.device) -> AttentionMIL:
    """A network trained to predict the labels of these slides, drawn from both labels in turn."""
    torch.manual_seed(settings.seed)
    network = AttentionMIL(bags[0].features.shape[1], settings.hidden).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.decay)
    rng = np.random.default_rng(settings.seed)
    by_label = [[bag for bag in bags if bag.label == label] for label in (0, 1)]
    for step in range(settings.steps):  # both labels in turn: slides are seldom as many of each
        side = by_label[step % 2]
        bag = side[int(rng.integers(len(side)))]
        logit, _ = network(bag.features.to(device))
        loss = F.binary_cross_entropy_with_logits(logit, torch.tensor(float(bag.label), device=device))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval()


def cross_validated(
    bags: Sequence[Bag], settings: MILSettings, device: torch.device, report: Callable[[int], None] = lambda fold: None
) -> Auc:
    """The AUC of slides, each scored by a network that has seen none of its case; report(fold): after every fold.

    Raises DataError where there are fewer cases of a label than folds.
    """
    cases = sorted({bag.case for bag in bags})
    folds = _folds(bags, cases, settings)
    scores = np.zeros(len(bags))
    for fold in range(settings.folds):
        training = [bag for bag in bags if folds[bag.case] != fold]
        if {bag.label for bag in training} != {0, 1}:
            raise DataError(f"expected slides of both labels outside of each fold, found too few of {len(cases)} cases")
        network = train_mil(training, settings, device)
        with torch.inference_mode():
            for i, bag in enumerate(bags):
                if folds[bag.case] == fold:
                    scores[i] = float(network(bag.features.to(device))[0])
        report(fold)
    labels = np.array([bag.label for bag in bags])
    low, high = auc_interval(scores, labels, [bag.case for bag in bags], settings.seed)
    return Auc(auc(scores, labels), low, high, len(bags), len(cases))


def _folds(bags: Sequence[Bag], cases: list[str], settings: MILSettings) -> dict[str, int]:
    """Fold of each case, labels spread evenly."""
    label = {bag.case: bag.label for bag in bags}
    counts = [sum(value == side for value in label.values()) for side in (0, 1)]
    if min(counts) < settings.folds:
        raise DataError(f"expected at least {settings.folds} cases of each label, found {counts[0]} and {counts[1]}")
    rng, out = np.random.default_rng(settings.seed), {}
    for side in (0, 1):
        order = rng.permutation([case for case in cases if label[case] == side])
        out.update({str(case): i % settings.folds for i, case in enumerate(order)})
    return out


def auc(scores: Doubles, labels: NDArray[np.integer]) -> float:
    """Probability that a positive slide scores higher than a negative one, ties half (Mann and Whitney, 1947).

    scores (n,); labels (n,) of 0 and 1. Raises ValueError where one of them is missing.
    """
    positive = labels == 1
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        raise ValueError("expected slides of both labels")
    return float((rankdata(scores)[positive].sum() - count * (count + 1) / 2) / (count * others))


def auc_interval(
    scores: Doubles, labels: NDArray[np.integer], cases: Sequence[str], seed: int, draws: int = 1000
) -> tuple[float, float]:
    """2.5 and 97.5 % quantiles of the AUC over `draws` bootstrap samples of whole cases; cases: of each slide."""
    names = sorted(set(cases))
    rows = {name: [i for i, case in enumerate(cases) if case == name] for name in names}
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        chosen = [i for name in rng.choice(names, len(names)) for i in rows[str(name)]]
        if len(set(labels[chosen].tolist())) == 2:
            found.append(auc(scores[chosen], labels[chosen]))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))
