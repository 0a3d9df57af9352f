from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from ferlit.data.records import SequenceRule
from ferlit.evaluation.metrics import Predictions, SequenceAccuracy, sequence_predictions

LENGTHS = [3, 1, 4, 3, 2, 3]


def faces() -> tuple[Tensor, Tensor, Tensor]:
    """Shuffled images of six sequences: probabilities, labels, numbers of the sequences."""
    generator = torch.Generator().manual_seed(0)
    sequences = torch.repeat_interleave(torch.tensor([7, 3, 11, 0, 5, 20]), torch.tensor(LENGTHS))
    order = torch.randperm(len(sequences), generator=generator)
    sequences = sequences[order]
    probabilities = torch.rand(len(order), 4, generator=generator).softmax(1)
    labels = sequences % 4
    return probabilities, labels, sequences


def loop(probabilities: Tensor, sequences: Tensor, rule: str) -> dict[int, int]:
    voted = {}
    for number in sorted(set(sequences.tolist())):
        rows = [
            p
            for p, s in zip(probabilities.tolist(), sequences.tolist(), strict=True)
            if s == number
        ]
        scores = [max(c) if rule == "max" else sum(c) / len(c) for c in zip(*rows, strict=True)]
        voted[number] = scores.index(max(scores))
    return voted


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_the_votes_match_the_loop(rule: SequenceRule) -> None:
    probabilities, labels, sequences = faces()
    expected = loop(probabilities, sequences, rule)
    numbers, predicted = sequence_predictions(probabilities, sequences, rule)
    assert dict(zip(numbers.tolist(), predicted.tolist(), strict=True)) == expected
    metric = SequenceAccuracy(rule)
    for part in range(3):  # frames of a sequence come in different batches
        metric.update(probabilities[part::3], labels[part::3], sequences[part::3])
    right = sum(number % 4 == voted for number, voted in expected.items())
    assert metric.compute().item() == pytest.approx(right / len(LENGTHS))


def test_the_rules_differ_where_one_frame_is_sure() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    sequence = torch.zeros(3, dtype=torch.long)
    assert sequence_predictions(probabilities, sequence, "max")[1].tolist() == [0]
    assert sequence_predictions(probabilities, sequence, "mean")[1].tolist() == [1]


def test_predictions_come_once_each_in_the_order_of_the_table() -> None:
    metric = Predictions()
    metric.update(torch.tensor([5, 2]), torch.tensor([[0.5], [0.2]]), torch.tensor([1, 0]))
    metric.update(torch.tensor([2, 9]), torch.tensor([[0.2], [0.9]]), torch.tensor([0, 1]))
    rows, probabilities, labels = metric.compute()
    assert rows.tolist() == [2, 5, 9]
    assert probabilities.flatten().tolist() == pytest.approx([0.2, 0.5, 0.9])
    assert labels.tolist() == [0, 1, 1]


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="rule='median'"):
        SequenceAccuracy("median")  # type: ignore[arg-type]


def shard(rank: int, store: str, results: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    probabilities, labels, sequences = faces()
    mine = slice(0, 5) if rank == 0 else slice(5, None)  # uneven, and sequences are cut in two
    accuracy, predictions = SequenceAccuracy("max"), Predictions()
    accuracy.update(probabilities[mine], labels[mine], sequences[mine])
    predictions.update(torch.arange(len(labels))[mine], probabilities[mine], labels[mine])
    torch.save((accuracy.compute(), *predictions.compute()), f"{results}/{rank}")
    dist.destroy_process_group()


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    mp.spawn(shard, (str(tmp_path / "store"), str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]
    probabilities, labels, sequences = faces()
    alone = SequenceAccuracy("max")
    alone.update(probabilities, labels, sequences)
    for rank in range(2):
        accuracy, rows, gathered, gathered_labels = torch.load(tmp_path / str(rank))
        assert accuracy == alone.compute()
        assert rows.tolist() == list(range(len(labels)))
        assert torch.equal(gathered, probabilities)
        assert torch.equal(gathered_labels, labels)
