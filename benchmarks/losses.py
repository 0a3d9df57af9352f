"""Speed and memory of the losses beside pytorch-metric-learning's: ``python -m benchmarks.losses``.

One process; forward and backward of a batch of random embeddings. The classes have 12 members each;
the tuple layout is 6 + 6. Times are medians; memory is the peak of what PyTorch allocates on top of
the embeddings. Ratios are to the floor of the same batch, which reads the embeddings and writes one
gradient: the summed squared distance to each tuple's mean.

A case that needs more than ``--memory-gb``, or that would take longer than ``--patience`` seconds
by what its smaller batch took, is named and left out.
"""

import argparse
import functools
import resource
import statistics
import time
from collections.abc import Callable

import torch
from pytorch_metric_learning import losses as pml
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import nmloss
from nmloss import TupleIndices, tuple_indices

POSITIVES = NEGATIVES = 6
SIZE = POSITIVES + NEGATIVES
# Called with embeddings, labels and the layout.
Case = Callable[[Tensor, Tensor, TupleIndices], Tensor]


def floor(embeddings: Tensor, _: Tensor, layout: TupleIndices) -> Tensor:
    members = embeddings.float().reshape(layout.num_tuples, SIZE, -1)
    return (members - members.mean(dim=1, keepdim=True)).square().sum()


def laid_out(loss_fn: Callable[..., Tensor]) -> Case:
    return lambda embeddings, labels, layout: loss_fn(embeddings, labels, layout)


def listed(loss_fn: Callable[..., Tensor]) -> Case:
    return lambda embeddings, labels, layout: loss_fn(embeddings, labels, tuple(layout))


def all_pairs(loss_fn: Callable[..., Tensor]) -> Case:
    return lambda embeddings, labels, _: loss_fn(embeddings, labels)


def cases(dim: int, device: str) -> dict[str, Case]:
    """The eager cases by name; the first is the floor."""
    ours = {
        "NMTupleClusters": nmloss.NMTupleClustersLoss(),
        "AdaptiveNMTupleClusters": nmloss.AdaptiveNMTupleClustersLoss(dim).to(device),
        "NPlusOneTuplet": nmloss.NPlusOneTupletLoss(),
        "CoupledClusters": nmloss.CoupledClustersLoss(),
    }
    theirs = {
        "Contrastive": pml.ContrastiveLoss(),
        "NPairs": pml.NPairsLoss(),
        "SupCon": pml.SupConLoss(),
        "MultiSimilarity": pml.MultiSimilarityLoss(),
        "Circle": pml.CircleLoss(),
        "TripletMargin, 100 an anchor": pml.TripletMarginLoss(triplets_per_anchor=100),
        "TripletMargin, all": pml.TripletMarginLoss(),
        "TupletMargin": pml.TupletMarginLoss(),
        "LiftedStructure": pml.LiftedStructureLoss(),
        "NTXent": pml.NTXentLoss(),
    }
    found: dict[str, Case] = {"floor": floor}
    for kind, form in (("tuples", laid_out), ("4-tuple", listed), ("all pairs", all_pairs)):
        found |= {f"{name}, {kind}": form(loss_fn) for name, loss_fn in ours.items()}
    return found | {f"PML {name}": all_pairs(loss_fn) for name, loss_fn in theirs.items()}


def compiled(case: Case) -> Case:
    """The case compiled anew, without what other shapes left behind."""
    torch.compiler.reset()
    return torch.compile(case, fullgraph=True, dynamic=False)


def seconds(run: Callable[[], None], device: str, patience: float) -> float:
    """Median time; fewer repetitions of what is slow."""
    run()
    taken: list[float] = []
    while len(taken) < 3 or (len(taken) < 41 and sum(taken) < min(1.0, patience)):
        if device == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            taken.append(start.elapsed_time(end) / 1e3)
        else:
            begin = time.perf_counter()
            run()
            taken.append(time.perf_counter() - begin)
        if taken[-1] > patience / 3:
            break
    return statistics.median(taken)


def peak_megabytes(run: Callable[[], None], device: str) -> float:
    """Peak of what PyTorch holds during the run on top of what it held before."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    most = 0
    for _ in range(3):  # the profiler loses events now and then
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            run()
        held = 0
        for event in recorded.profiler.kineto_results.events():
            if event.name() == "[memory]":
                held += event.nbytes()
                most = max(most, held)
    return most / 2**20


def launches(run: Callable[[], None]) -> int:
    """Kernels that a run starts on a GPU."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        run()
        torch.cuda.synchronize()
    return sum(event.count for event in recorded.key_averages() if "LaunchKernel" in event.key)


def measure(
    case: Case, batch: int, dim: int, given: argparse.Namespace
) -> tuple[float, float, int]:
    """Seconds, peak megabytes and kernel launches."""
    device, dtype = given.device, getattr(torch, given.dtype)
    embeddings = torch.randn(batch, dim, device=device, dtype=dtype, requires_grad=True)
    labels = torch.arange(batch // SIZE, device=device).repeat_interleave(SIZE)
    layout = tuple_indices(batch // SIZE, POSITIVES, NEGATIVES, device=device)

    def run() -> None:
        embeddings.grad = None
        case(embeddings, labels, layout).backward()

    taken = seconds(run, device, given.patience)
    return taken, peak_megabytes(run, device), launches(run) if device == "cuda" else 0


def row(
    make: Callable[[], Case], floors: dict[int, float], dim: int, given: argparse.Namespace
) -> list[str]:
    """The cells of a row of the table; ``make`` gives the case anew for each batch."""
    cells: list[str] = []
    last, last_batch = 0.0, 1
    for batch in given.batches:
        # Work on pairs grows with the square of the batch, on triplets faster still.
        if last * (batch / last_batch) ** 2 > given.patience:
            cells.append("not tried")
            continue
        try:
            last, memory, kernels = measure(make(), batch, dim, given)
        except RuntimeError as error:
            if "allocate" not in str(error) and "out of memory" not in str(error):
                raise
            last = float("inf")
            cells.append("out of memory")
            continue
        last_batch = batch
        floors.setdefault(batch, last)
        cell = f"{1e3 * last:.2f} ms ({last / floors[batch]:.1f}) {memory:.1f} MB"
        cells.append(cell + (f" {kernels} launches" if kernels else ""))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[144, 576, 2304, 4608])
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-gb", type=float, default=8, help="that the process may use")
    parser.add_argument("--patience", type=float, default=30, help="seconds that a case may take")
    parser.add_argument("--only", default="", help="the cases whose name has this, and the floor")
    given = parser.parse_args()
    if any(batch % SIZE for batch in given.batches):
        parser.error(f"--batches: multiples of {SIZE} are needed")
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    limit = int(given.memory_gb * 2**30)
    if given.device == "cpu":
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    for dim in given.dims:
        makers: dict[str, Callable[[], Case]] = {}
        for name, case in cases(dim, given.device).items():
            makers[name] = functools.partial(lambda case: case, case)
            if not name.startswith("PML") and "4-tuple" not in name:
                makers[f"{name}, compiled"] = functools.partial(compiled, case)
        table = Table(
            title=f"dimension {dim}, {given.dtype} on {given.device}, {given.threads} thread(s): "
            "time (ratio to the floor), peak memory"
        )
        for column in ("", *(f"batch {batch}" for batch in given.batches)):
            table.add_column(column, no_wrap=True)
        floors: dict[int, float] = {}
        for name, make in track(makers.items(), f"dimension {dim}", console=Console(stderr=True)):
            if name == "floor" or given.only in name:
                table.add_row(name, *row(make, floors, dim, given))
        Console(width=36 + 40 * len(given.batches)).print(table)


if __name__ == "__main__":
    main()
