"""Partial FC: a classifier of millions of identities, shared out over ranks and sampled.

Every rank holds the rows of its own classes and sees the embeddings of all ranks. Only the
backbone goes into DistributedDataParallel: each rank's rows are its own, and their gradients are
complete without it. All ranks must bring batches of equal size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist

from models.training.heads.base import Head
from models.training.heads.cosface import default_scale
from models.training.heads.margins import CosineMargin, Margin
from models.training.heads.ranks import own_rank, rank_count
from models.training.heads.rows import INITIAL_SPREAD, cosines_to
from models.training.heads.sharded import gather_labels, gather_rows, sharded_cross_entropy

OPTIMIZER = "optimizer."  # what the optimizer's tensors are named with in a merged state


@dataclass(frozen=True)
class Shard:
    """The classes ``first`` to ``first + count - 1``, which one rank owns."""

    first: int
    count: int


def shard_of(classes: int, *, rank: int, ranks: int) -> Shard:
    """What ``rank`` of ``ranks`` owns: consecutive classes, the lower ranks one more if uneven."""
    share, left = divmod(classes, ranks)
    return Shard(first=share * rank + min(rank, left), count=share + (rank < left))


def sample_classes(positives: Tensor, *, count: int, rate: float) -> Tensor:
    """Sorted int64 row numbers out of ``count``: all positives and random others.

    As many as ``rate * count``, or the positives alone if they are more; at least one.
    """
    scores = torch.rand(count, device=positives.device)
    distinct = torch.unique(positives)
    scores[distinct] = 2.0
    wanted = max(int(rate * count), len(distinct), 1)
    return scores.topk(wanted).indices.sort().values


class PartialFC(Head):
    """Partial FC (An et al., CVPR 2022, https://arxiv.org/abs/2203.15565) for any ``Margin``.

    Softmax cross-entropy over the classes of all ranks, where each rank takes part with the
    classes that occur in the batch and random others, ``rate`` of its classes in all. The loss is
    the mean over the batches of all ranks, the same number everywhere. Gradients of embeddings
    are multiplied by the number of ranks, since DistributedDataParallel divides by it.

    Sampled rows are indexed differentiably, so the optimizer sees a dense gradient with zeros
    for the rest, and momentum and weight decay go on moving rows that were not drawn. That is
    accepted: what momentum adds is the tail of earlier gradients, decay changes only the length
    of a row, which is normalised before use, and the optimizer stays an ordinary one. The
    alternative, momentum sliced and written back each step, needs an optimizer of its own.

    A rank's ``state_dict`` has its own rows only; use ``merged_state`` for checkpoints.
    ``scale=None`` stands for CosFace's ``default_scale`` with its margin of .2.
    """

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        margin: Margin = CosineMargin(0.2),  # noqa: B008 - frozen, safe to share
        scale: float | None = None,
        rate: float = 1.0,
    ) -> None:
        if not 0 < rate <= 1:
            raise ValueError(f"the rate of sampled classes lies in (0, 1], got {rate}")
        if classes < max(2, rank_count()):
            raise ValueError(
                f"Partial FC needs 2 classes and one per rank, got {classes} classes "
                f"for {rank_count()} ranks"
            )
        super().__init__(dimension=dimension, classes=classes)
        self.margin = margin
        self.scale = default_scale(classes, 0.2) if scale is None else scale
        self.rate = rate
        self.shard = shard_of(classes, rank=own_rank(), ranks=rank_count())
        # Ranks are often seeded alike; their rows must not be.
        own = torch.Generator().manual_seed((torch.initial_seed() + own_rank()) % 2**63)
        rows = torch.empty(self.shard.count, dimension)
        self.weight = nn.Parameter(rows.normal_(std=INITIAL_SPREAD, generator=own))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        rows = gather_rows(embeddings)
        local = gather_labels(labels) - self.shard.first
        (owned,) = torch.nonzero((local >= 0) & (local < self.shard.count), as_tuple=True)
        weight, columns = self._sample(local[owned])
        logits = cosines_to(weight, rows)
        targets = self.margin(logits[owned, columns], self.margin_share)
        logits = self.scale * logits.index_put((owned, columns), targets)
        return sharded_cross_entropy(logits, owned, columns)

    def _sample(self, positives: Tensor) -> tuple[Tensor, Tensor]:
        """Rows that take part [S, D], and for each positive [P] its place among them [P]."""
        if self.rate == 1.0:
            return self.weight, positives
        drawn = sample_classes(positives, count=self.shard.count, rate=self.rate)
        return self.weight[drawn], torch.searchsorted(drawn, positives)

    def merged_state(self, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Tensor]:
        """State of all ranks for ``load_merged`` on any number of them; all ranks have to call.

        On rank 0 the rows of all classes, ``margin_share`` and, with an optimizer, what it keeps
        of the weight (momentum), in main memory; empty on the others.
        """
        tensors = {"weight": self.weight.detach(), "margin_share": self.margin_share}
        if optimizer is not None:
            kept = optimizer.state.get(self.weight, {})
            tensors |= {
                OPTIMIZER + name: value
                for name, value in sorted(kept.items())
                if isinstance(value, Tensor)
            }
        merged = {
            name: self._merge(tensor) if tensor.shape == self.weight.shape else tensor.cpu().clone()
            for name, tensor in tensors.items()
        }
        return merged if own_rank() == 0 else {}

    def load_merged(
        self, state: dict[str, Tensor], optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Take this rank's part of a merged state; ValueError if it is of another shape.

        Every rank has to be given the state that rank 0 got from ``merged_state``.
        """
        whole = (self.classes, self.dimension)
        if state["weight"].shape != whole:
            raise ValueError(
                f"the checkpoint holds class rows {tuple(state['weight'].shape)} but this head "
                f"has {whole}: train with the data and the dimension it was made with"
            )
        own = slice(self.shard.first, self.shard.first + self.shard.count)
        with torch.no_grad():
            self.weight.copy_(state["weight"][own])
            self.margin_share.copy_(state["margin_share"])
        if optimizer is None:
            return
        for name, value in state.items():
            if name.startswith(OPTIMIZER):
                part = value[own] if value.shape == whole else value
                key = name.removeprefix(OPTIMIZER)
                optimizer.state[self.weight][key] = part.to(self.weight.device, copy=True)

    def _merge(self, rows: Tensor) -> Tensor:
        """Rows of all ranks, one rank at a time so that no accelerator has to hold them all."""
        if rank_count() == 1:
            return rows.cpu().clone()
        parts = []
        for rank in range(rank_count()):
            count = shard_of(self.classes, rank=rank, ranks=rank_count()).count
            part = (
                rows.contiguous() if rank == own_rank() else rows.new_empty(count, self.dimension)
            )
            dist.broadcast(part, src=rank)
            if own_rank() == 0:
                parts.append(part.cpu())
        return torch.cat(parts) if parts else rows.new_empty(0)
