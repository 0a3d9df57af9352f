"""What the softmax loss learns, against loops written from the formulas."""

import math

import numpy as np
import pytest
import torch

from ferlit.data.loading.dataset import Batch
from ferlit.errors import FerlitError, UsageError
from ferlit.training import ExpressionModule, JointModule
from ferlit.training.targets import logit_adjustment, mixup, multi_target_loss, softmax_loss
from nmloss import NMTupleClustersLoss
from tests.ferlit.tiny import TinyBackbone

K = 4
LOGITS = torch.randn(5, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABEL = torch.tensor([0, 1, 2, 3, 1])
SHARES = torch.rand(5, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SHARES = SHARES / SHARES.sum(1, keepdim=True)


def batch(target: torch.Tensor | None = None) -> Batch:
    row = torch.arange(5)
    image = torch.randn(5, 1, 48, 48, generator=torch.Generator().manual_seed(2))
    return Batch(image, LABEL, row, row, None, target)


def log_probability(row: int, column: int) -> float:
    exponentials = [math.exp(value) for value in LOGITS[row].tolist()]
    return math.log(exponentials[column] / sum(exponentials))


def test_shares_are_learned_by_cross_entropy() -> None:
    rows, columns = range(5), range(K)
    loop = -sum(SHARES[i, k].item() * log_probability(i, k) for i in rows for k in columns) / 5
    assert softmax_loss(LOGITS, batch(SHARES), "crossentropy").item() == pytest.approx(loop)


def test_of_several_right_classes_the_most_probable_counts() -> None:
    targets = torch.tensor([[1, 1, 0.001, 0.001]] * 5, dtype=torch.float64)
    loop = 0.0
    for i in range(5):
        products = [targets[i, k].item() * math.exp(log_probability(i, k)) for k in range(K)]
        loop -= math.log(max(products)) / 5
    assert multi_target_loss(LOGITS, targets).item() == pytest.approx(loop)
    assert softmax_loss(LOGITS, batch(targets), "multi_target").item() == pytest.approx(loop)


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    smooth = torch.full((5, K), 0.1 / K, dtype=torch.float64)
    smooth[range(5), LABEL] += 0.9
    expected = softmax_loss(LOGITS, batch(smooth))
    assert softmax_loss(LOGITS, batch(), label_smoothing=0.1).item() == pytest.approx(
        expected.item()
    )


def test_mixup_mixes_image_and_target_by_one_share() -> None:
    plain = batch()
    mixed = mixup(plain, K, 0.4, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    share, partner = rng.beta(0.4, 0.4), rng.permutation(5)
    for i in range(5):
        image = share * plain.image[i] + (1 - share) * plain.image[partner[i]]
        torch.testing.assert_close(mixed.image[i], image, rtol=0, atol=1e-6)
        target = torch.zeros(K)
        target[LABEL[i]] += share
        target[LABEL[partner[i]]] += 1 - share
        torch.testing.assert_close(mixed.target[i], target)  # type: ignore[index]


def module(**options: object) -> ExpressionModule:
    torch.manual_seed(0)
    return ExpressionModule(list("abcd"), backbone=TinyBackbone(), **options)  # type: ignore[arg-type]


def test_flip_averaging_does_not_tell_a_face_from_its_mirror_image() -> None:
    image = batch().image
    averaging = module(flip_average=True).eval()
    plain = module().eval()
    both = (plain.probabilities(image) + plain.probabilities(image.flip(3))) / 2
    torch.testing.assert_close(averaging.probabilities(image), both)
    torch.testing.assert_close(averaging.probabilities(image.flip(3)), both)


@pytest.mark.parametrize("options", [{"label_smoothing": 1.0}, {"mixup": -1.0}])
def test_a_share_out_of_range_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(FerlitError, match=f"{next(iter(options))}="):
        module(**options)


def test_mixup_is_refused_where_it_has_no_meaning() -> None:
    with pytest.raises(FerlitError, match="tuples cannot be mixed"):
        JointModule(list("abcd"), NMTupleClustersLoss(), backbone=TinyBackbone(), mixup=0.2)
    with pytest.raises(FerlitError, match="several of which are right"):
        module(mixup=0.2, target_rule="multi_target")


def test_an_adjusted_loss_is_that_of_logits_and_logarithms_of_shares() -> None:
    """Menon et al. 2021, Eq. 10, with tau = 1.5."""
    shares, tau = [0.6, 0.3, 0.09, 0.01], 1.5
    loop = 0.0
    for row, label in enumerate(LABEL.tolist()):
        powers = [
            math.exp(value) * share**tau
            for value, share in zip(LOGITS[row].tolist(), shares, strict=True)
        ]
        loop -= math.log(powers[label] / sum(powers)) / len(LABEL)
    adjustment = logit_adjustment(shares, tau).double()
    assert softmax_loss(LOGITS, batch(), adjustment=adjustment).item() == pytest.approx(loop)


def test_equal_shares_adjust_nothing() -> None:
    adjustment = logit_adjustment([0.25] * K).double()
    adjusted = softmax_loss(LOGITS, batch(), adjustment=adjustment)
    assert adjusted.item() == pytest.approx(softmax_loss(LOGITS, batch()).item())


def test_a_class_without_training_images_gives_a_finite_loss() -> None:
    adjustment = logit_adjustment([0.5, 0.3, 0.2, 0.0]).double()
    loss = softmax_loss(LOGITS, batch(), label_smoothing=0.1, adjustment=adjustment)
    assert torch.isfinite(loss)


def test_a_negative_adjustment_is_refused() -> None:
    with pytest.raises(UsageError, match="logit_adjustment=-1"):
        ExpressionModule(["a", "b"], backbone=TinyBackbone(), logit_adjustment=-1)
