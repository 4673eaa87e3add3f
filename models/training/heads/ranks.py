"""The processes that train together; a process without torch.distributed is the only one."""

import torch
from torch import Tensor
from torch import distributed as dist


def rank_count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own_rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if rank_count() > 1 else 0


@torch.no_grad()
def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of one float tensor over all ranks, detached; every rank has to call."""
    mean = value.detach().clone()
    if rank_count() > 1:
        dist.all_reduce(mean)
        mean /= rank_count()
    return mean
