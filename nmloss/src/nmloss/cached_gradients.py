"""Batches larger than memory: the gradient at the embeddings is kept, and the encoder runs twice.

Gao, Zhang, Han and Callan, Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup, RepL4NLP 2021 (https://doi.org/10.18653/v1/2021.repl4nlp-1.31).
"""

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import get_device_states, set_device_states

from nmloss.arguments import whole

# Between two passes that a device rounds differently; other random numbers differ by far more.
_TOLERANCE = 0.02


def cached_backward(
    encoder: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    images: Tensor | Sequence[Any],
    *,
    chunk_size: int | None = None,
) -> Tensor:
    """What ``loss_of(encoder(images)).backward()`` does, with the graph of one chunk in memory.

    All chunks are embedded without a graph; the loss of all embeddings gives its gradient at each;
    then each chunk is embedded again, with a graph, and its gradient is carried on. That is one
    forward pass more. Gradients are added to ``.grad`` as ever, those of the loss's own parameters
    too, and of images that need one.

    - *Random numbers of PyTorch*, as of dropout, are the same in both passes. An encoder that draws
      others is refused.
    - *Batch normalisation* in training takes its statistics from each chunk, not from the batch:
      another network than without chunks. Running statistics, as all buffers, change once a chunk
      and not in the first pass.
    - *Autocast* around the call holds for both passes. With a ``GradScaler``, scale in ``loss_of``.
    - *DistributedDataParallel*: the gradients of the encoder are averaged once, after the last
      chunk; the processes may have unequally many. A loss with parameters needs one of its own.

    Args:
        encoder: Embeds a chunk as (b, D).
        loss_of: From all embeddings, (B, D), to a scalar; mine, and hand labels on, in here.
        images: (B, ...), cut into chunks; or the chunks, each what the encoder takes, which are
            read twice and must be the same both times.
        chunk_size: How many images are in a chunk, where ``images`` is a tensor.

    Returns:
        The loss, without a graph.

    Raises:
        ValueError: an argument has another form, an embedding is not one for each image, the loss
            is no scalar or does not depend on anything that is learned.
        RuntimeError: the encoder gave a chunk other embeddings the second time.

    >>> from nmloss import NMTupleClustersLoss
    >>> encoder, loss_fn = nn.Linear(64, 16), NMTupleClustersLoss()
    >>> images, labels = torch.randn(100, 64), torch.arange(100) % 7
    >>> loss = cached_backward(encoder, lambda f: loss_fn(f, labels), images, chunk_size=32)
    >>> encoder.weight.grad.shape
    torch.Size([16, 64])
    """
    chunks = _chunks(images, chunk_size)
    weights = list(encoder.parameters())
    if not torch.is_grad_enabled():
        raise ValueError("encoder: gradients are switched off here, there is nothing to carry on")
    states, rows = list[_RandomState](), _Rows()
    with torch.no_grad(), _without_sync(encoder), _buffers_kept(encoder):
        for chunk in chunks:
            states.append(_RandomState.now(weights))
            rows.append(_embedded(encoder, chunk))
    torch.clear_autocast_cache()  # weights that it cast without a graph would have no gradient
    embeddings = rows.all().requires_grad_()
    loss = loss_of(embeddings)
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        shape = tuple(getattr(loss, "shape", ()))
        raise ValueError(
            f"loss_of: needed is a scalar with a gradient, got {type(loss).__name__} of shape "
            f"{shape}, {'with' if getattr(loss, 'requires_grad', False) else 'without'} a gradient"
        )
    loss.backward()  # type: ignore[no-untyped-call]
    found = torch.zeros_like(embeddings) if embeddings.grad is None else embeddings.grad
    parts, gradients = (torch.split(each, rows.counts) for each in (embeddings.detach(), found))
    last = len(parts) - 1
    with torch.random.fork_rng(states[0].devices, device_type=_kind(weights)):
        for index, chunk in enumerate(chunks):
            with nullcontext() if index == last else _without_sync(encoder):
                states[index].restore()
                again = _embedded(encoder, chunk)
                _check_same(index, again, parts[index])
                again.backward(gradients[index])  # type: ignore[no-untyped-call]
    return loss.detach()


class _Rows:
    """The embeddings of all chunks, in one tensor.

    Small tensors kept between the large ones of an encoder would have the allocator of the CPU ask
    for ever more memory.
    """

    def __init__(self) -> None:
        self.counts: list[int] = []
        self._table: Tensor | None = None

    def append(self, part: Tensor) -> None:
        start = sum(self.counts)
        if self._table is None:
            self._table = part.clone()
        elif self._table.shape[1:] != part.shape[1:] or self._table.dtype != part.dtype:
            raise ValueError(
                f"encoder: embeddings of shape {tuple(part.shape)} and {part.dtype} after those of "
                f"shape {tuple(self._table.shape)} and {self._table.dtype}"
            )
        elif start + len(part) > len(self._table):
            room = self._table.new_empty(max(start, len(part)), *part.shape[1:])
            self._table = torch.cat([self._table[:start], room])
        self._table[start : start + len(part)] = part
        self.counts.append(len(part))

    def all(self) -> Tensor:
        assert self._table is not None  # there is a chunk
        return self._table[: sum(self.counts)]


class _RandomState(NamedTuple):
    """Of PyTorch's generators, on the CPU and where the encoder is."""

    cpu: Tensor
    devices: list[int]
    on_devices: list[Tensor]
    kind: str

    @classmethod
    def now(cls, weights: list[nn.Parameter]) -> "_RandomState":
        one_each = list({weight.device: weight for weight in weights}.values())
        return cls(torch.get_rng_state(), *get_device_states(*one_each), _kind(weights))

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        set_device_states(self.devices, self.on_devices, device_type=self.kind)


def _kind(weights: list[nn.Parameter]) -> str:
    return next((weight.device.type for weight in weights if weight.device.type != "cpu"), "cuda")


def _chunks(images: Tensor | Sequence[Any], chunk_size: int | None) -> Sequence[Any]:
    if isinstance(images, Tensor):
        if chunk_size is None or images.ndim == 0:
            raise ValueError(
                f"images of shape {tuple(images.shape)} and chunk_size={chunk_size}: "
                "needed is (B, ...), and how many of them fit into memory"
            )
        return torch.split(images, whole("chunk_size", chunk_size, 1))
    if chunk_size is not None:
        raise ValueError(f"chunk_size={chunk_size}: images are chunks already")
    if not isinstance(images, Sequence) or isinstance(images, str) or len(images) == 0:
        size = f" of {len(images)}" if isinstance(images, Sized) else ""
        raise ValueError(
            f"images: needed is a tensor or a list of chunks, which can be read twice, got "
            f"{type(images).__name__}{size}"
        )
    return images


def _embedded(encoder: nn.Module, chunk: Any) -> Tensor:
    found = encoder(chunk)
    if not isinstance(found, Tensor) or found.ndim == 0:
        raise ValueError(f"encoder: needed are embeddings (b, D), got {type(found).__name__}")
    if isinstance(chunk, Tensor) and len(found) != len(chunk):
        raise ValueError(f"encoder: {len(found)} embeddings for a chunk of {len(chunk)} images")
    if torch.is_grad_enabled() and not found.requires_grad:
        raise ValueError("encoder: its embeddings have no gradient, is all of it frozen?")
    return found


def _check_same(index: int, again: Tensor, first: Tensor) -> None:
    """Refuse embeddings that differ from those whose gradient is known.

    Raises:
        RuntimeError: they differ.
    """
    if again.shape == first.shape and again.numel() > 0:
        difference = (again.detach() - first).abs().amax()
        if not bool(difference > _TOLERANCE * first.abs().amax()):  # NaN both times is the same
            return
    elif again.shape == first.shape:
        return
    raise RuntimeError(
        f"encoder: other embeddings for chunk {index} the second time, their gradient is not "
        "known. It may draw random numbers from elsewhere than PyTorch, or the chunk has changed. "
        "What gradients there are now are not whole: zero them"
    )


def _without_sync(encoder: nn.Module) -> Any:
    """In which DistributedDataParallel, and what is like it, exchanges no gradients."""
    no_sync = getattr(encoder, "no_sync", nullcontext)
    return no_sync()


@contextmanager
def _buffers_kept(encoder: nn.Module) -> Iterator[None]:
    """As they are when the encoder first runs, which is after DDP has sent them around."""
    kept: list[tuple[nn.Module, str, Tensor, Tensor]] = []
    inner = encoder.module if isinstance(encoder, DistributedDataParallel) else encoder

    def keep(*_: Any) -> None:
        hook.remove()
        kept.extend(
            (module, name, buffer, buffer.clone())
            for module in inner.modules()
            for name, buffer in module.named_buffers(recurse=False)
        )

    hook = inner.register_forward_pre_hook(keep)
    try:
        yield
    finally:
        hook.remove()
        for module, name, buffer, before in kept:
            module._buffers[name] = buffer.copy_(before)
