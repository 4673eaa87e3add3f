"""Autograd across ranks: gathered batches, and softmax over classes that ranks share out."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from models.training.heads.ranks import own_rank, rank_count


class _GatherRows(torch.autograd.Function):
    """All ranks' rows in rank order; backward sums each rank's gradients of this rank's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(rank_count())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        # DistributedDataParallel will divide by the number of ranks.
        return total.chunk(rank_count())[own_rank()] * rank_count()


class _ShardedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of logits [B, S], whose other classes lie on other ranks."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, owned: Tensor, columns: Tensor) -> Tensor:
        largest = logits.max(dim=1).values
        if rank_count() > 1:
            dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        shifted = logits - largest[:, None]
        # The target's logit and not its probability, which would underflow where the loss is
        # large. Each is on one rank only, the others add 0.
        targets = torch.zeros_like(largest).index_put((owned,), shifted[owned, columns])
        parts = shifted.exp_()
        sums = torch.stack([parts.sum(dim=1), targets])
        if rank_count() > 1:
            dist.all_reduce(sums)
        ctx.save_for_backward(parts.div_(sums[0, :, None]), owned, columns)
        return (sums[0].log() - sums[1]).mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        probabilities, owned, columns = ctx.saved_tensors
        change = probabilities.clone()
        change[owned, columns] -= 1
        return change.mul_(gradient / len(change)), None, None


def gather_rows(rows: Tensor) -> Tensor:
    """Float [B, D] of each rank to [ranks * B, D], in rank order, differentiably.

    The gradient is the sum over ranks, times the number of ranks. B must be equal on all ranks.
    """
    if rank_count() == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows)  # type: ignore[no-untyped-call]  # untyped in torch
    return gathered


def gather_labels(labels: Tensor) -> Tensor:
    """Int64 [B] of each rank to [ranks * B], in rank order."""
    if rank_count() == 1:
        return labels
    parts = [torch.empty_like(labels) for _ in range(rank_count())]
    dist.all_gather(parts, labels.contiguous())
    return torch.cat(parts)


def sharded_cross_entropy(logits: Tensor, owned: Tensor, columns: Tensor) -> Tensor:
    """Mean cross-entropy over the classes of all ranks, the same scalar on each.

    ``logits`` float32 [B, S] are of this rank's S classes for the samples of all ranks;
    ``owned`` [P] are the samples whose class is here, ``columns`` [P] where. Every sample's class
    is on exactly one rank.
    """
    loss: Tensor = _ShardedCrossEntropy.apply(  # type: ignore[no-untyped-call]  # untyped in torch
        logits, owned, columns
    )
    return loss
