"""Partial FC: equal to the plain loss at rate 1, alone and with two processes; its checkpoints."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

from models.training.heads.adaface import AdaFace
from models.training.heads.arcface import ArcFace
from models.training.heads.cosface import CosFace
from models.training.heads.margins import AngularMargin, CosineMargin
from models.training.heads.partial_fc import PartialFC, sample_classes, shard_of

CLASSES = 11
DIMENSION = 8
EACH = 6  # samples of each rank


def batch(samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    own = torch.Generator().manual_seed(seed)
    return (
        torch.randn(samples, DIMENSION, generator=own),
        torch.randint(CLASSES, (samples,), generator=own),
    )


def whole_state() -> dict[str, Tensor]:
    """Rows of all classes, and momentum, as a merged state."""
    own = torch.Generator().manual_seed(5)
    rows = torch.randn(2, CLASSES, DIMENSION, generator=own)
    return {
        "weight": rows[0],
        "optimizer.momentum_buffer": rows[1],
        "margin_share": torch.tensor(0.75),
    }


def momentum_sgd(head: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def stepped(head: PartialFC, embeddings: Tensor, labels: Tensor) -> dict[str, Any]:
    """Loss and gradients at ``whole_state``, and the merged state after an optimizer's step."""
    optimizer = momentum_sgd(head)
    head.load_merged(whole_state(), optimizer)
    embeddings.requires_grad_()
    loss = head(embeddings, labels)
    loss.backward()
    assert embeddings.grad is not None and head.weight.grad is not None
    weight_gradient = head.weight.grad.clone()
    optimizer.step()
    return {
        "loss": loss.item(),
        "embedding gradient": embeddings.grad.clone(),
        "weight gradient": weight_gradient,
        "shard": (head.shard.first, head.shard.count),
        "merged": head.merged_state(optimizer),
    }


def plain_step(samples: int) -> dict[str, Any]:
    """The same by CosFace in one process."""
    head = CosFace(dimension=DIMENSION, classes=CLASSES, margin=0.2)
    state = whole_state()
    head.load_state_dict({"weight": state["weight"], "margin_share": state["margin_share"]})
    optimizer = momentum_sgd(head)
    optimizer.state[head.weight]["momentum_buffer"] = state["optimizer.momentum_buffer"]
    embeddings, labels = batch(samples)
    embeddings.requires_grad_()
    loss = head(embeddings, labels)
    loss.backward()
    assert embeddings.grad is not None and head.weight.grad is not None
    weight_gradient = head.weight.grad.clone()
    optimizer.step()
    return {
        "loss": loss.item(),
        "embedding gradient": embeddings.grad.clone(),
        "weight gradient": weight_gradient,
        "weight": head.weight.detach(),
        "momentum": optimizer.state[head.weight]["momentum_buffer"],
    }


def join(rank: int, ranks: int, folder: Path) -> tuple[Tensor, Tensor]:
    """Meet the other processes; this one's part of the batch."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting of {ranks}", rank=rank, world_size=ranks
    )
    torch.manual_seed(0)  # the same everywhere, as trainers do
    embeddings, labels = (part.chunk(ranks)[rank].clone() for part in batch(2 * EACH))
    return embeddings, labels


def train(rank: int, folder: Path) -> dict[str, Any]:
    """What one of two processes found."""
    embeddings, labels = join(rank, 2, folder)
    head = PartialFC(dimension=DIMENSION, classes=CLASSES)
    found: dict[str, Any] = {"fresh rows": head.weight.detach().clone()}
    found |= stepped(head, embeddings, labels)

    sampled = PartialFC(dimension=DIMENSION, classes=CLASSES, rate=0.5)
    sampled(embeddings, labels).backward()
    assert sampled.weight.grad is not None
    found["moved"] = sampled.weight.grad.abs().sum(dim=1) > 0

    adaptive = AdaFace(dimension=DIMENSION, classes=CLASSES)
    adaptive(embeddings, labels)
    return found | {"norm mean": adaptive.norm_mean}


def resume(rank: int, folder: Path) -> dict[str, Any]:
    """What one of three processes found that go on from the checkpoint of the two."""
    embeddings, labels = join(rank, 3, folder)
    head = PartialFC(dimension=DIMENSION, classes=CLASSES)
    head.load_merged(torch.load(folder / "merged.pt"))
    return {
        "shard": (head.shard.first, head.shard.count),
        "loss": head(embeddings, labels).item(),
        "merged": head.merged_state(),
    }


def work(rank: int, folder: Path) -> None:
    """One of three processes, the third of which comes for the second half only."""
    torch.set_num_threads(1)
    if rank < 2:
        found = train(rank, folder)
        torch.save(found, folder / f"train {rank}.pt")
        if rank == 0:
            torch.save(found["merged"], folder / "merged.pt")
        dist.destroy_process_group()
    torch.save(resume(rank, folder), folder / f"resume {rank}.pt")
    dist.destroy_process_group()


@given(classes=st.integers(1, 10**7), ranks=st.integers(1, 300))
def test_shards_cover_every_class_once(classes: int, ranks: int) -> None:
    following = 0
    for rank in range(ranks):
        shard = shard_of(classes, rank=rank, ranks=ranks)
        assert shard.first == following
        assert shard.count in {classes // ranks, classes // ranks + 1}
        following += shard.count
    assert following == classes


@given(
    count=st.integers(1, 60),
    rate=st.floats(0.01, 1),
    seeds=st.lists(st.integers(0, 10**6), max_size=80),
)
def test_positives_are_always_sampled(count: int, rate: float, seeds: list[int]) -> None:
    positives = torch.tensor([seed % count for seed in seeds], dtype=torch.int64)
    drawn = sample_classes(positives, count=count, rate=rate).tolist()
    assert drawn == sorted(set(drawn))
    assert set(positives.tolist()) <= set(drawn) <= set(range(count))
    assert len(drawn) == max(int(rate * count), len(set(positives.tolist())), 1)


def test_rate_1_is_cosface() -> None:
    ours = stepped(PartialFC(dimension=DIMENSION, classes=CLASSES), *batch(2 * EACH))
    plain = plain_step(2 * EACH)
    assert ours["loss"] == pytest.approx(plain["loss"], rel=1e-6)
    assert torch.allclose(ours["embedding gradient"], plain["embedding gradient"], atol=1e-6)
    assert torch.allclose(ours["weight gradient"], plain["weight gradient"], atol=1e-6)
    assert torch.allclose(ours["merged"]["weight"], plain["weight"], atol=1e-6)


def test_rate_1_is_arcface_under_autocast() -> None:
    ours = PartialFC(dimension=DIMENSION, classes=CLASSES, margin=AngularMargin(0.5), scale=64.0)
    plain = ArcFace(dimension=DIMENSION, classes=CLASSES)
    plain.weight.data.copy_(ours.weight.detach())
    embeddings, labels = batch(12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, expected = (head(embeddings.bfloat16(), labels) for head in (ours, plain))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_loss_whose_probability_underflows_keeps_its_gradient() -> None:
    head = PartialFC(dimension=2, classes=2, margin=CosineMargin(0.0), scale=200.0)
    head.weight.data.copy_(torch.tensor([[1.0, 0.2], [-1.0, -0.2]]))
    embeddings = torch.tensor([[-1.0, 0.0]], requires_grad=True)
    loss = head(embeddings, torch.tensor([0]))
    loss.backward()
    assert loss.item() > 300
    assert embeddings.grad is not None and embeddings.grad.abs().max() > 1


def test_sampling_loss_counts_the_drawn_classes_only() -> None:
    torch.manual_seed(4)
    head = PartialFC(dimension=DIMENSION, classes=CLASSES, rate=0.5)
    embeddings, labels = batch(3)
    loss = head(embeddings, labels)
    loss.backward()
    assert head.weight.grad is not None
    drawn = head.weight.grad.abs().sum(dim=1) > 0
    assert drawn.sum() == int(0.5 * CLASSES)
    assert drawn[labels].all()
    part = CosFace(dimension=DIMENSION, classes=int(drawn.sum()), scale=head.scale, margin=0.2)
    part.weight.data.copy_(head.weight.detach()[drawn])
    assert loss.item() == pytest.approx(part(embeddings, drawn.cumsum(0)[labels] - 1).item())


def test_two_processes_do_what_one_does_and_three_go_on(tmp_path: Path) -> None:
    plain = plain_step(2 * EACH)
    spawn(work, (tmp_path,), nprocs=3)
    two = [torch.load(tmp_path / f"train {rank}.pt") for rank in range(2)]
    three = [torch.load(tmp_path / f"resume {rank}.pt") for rank in range(3)]
    assert [part["shard"] for part in two] == [(0, 6), (6, 5)]
    assert [part["loss"] for part in two] == pytest.approx([plain["loss"]] * 2, rel=1e-6)
    # DistributedDataParallel would halve the embeddings' gradients in the backbone.
    by_embedding = torch.cat([part["embedding gradient"] for part in two]) / 2
    assert torch.allclose(by_embedding, plain["embedding gradient"], atol=1e-6)
    by_row = torch.cat([part["weight gradient"] for part in two])
    assert torch.allclose(by_row, plain["weight gradient"], atol=1e-6)
    assert not torch.equal(two[0]["fresh rows"][:5], two[1]["fresh rows"])

    merged = two[0]["merged"]
    assert two[1]["merged"] == {}
    assert torch.allclose(merged["weight"], plain["weight"], atol=1e-6)
    assert torch.allclose(merged["optimizer.momentum_buffer"], plain["momentum"], atol=1e-6)

    labels = batch(2 * EACH)[1]
    assert torch.cat([part["moved"] for part in two])[labels].all()
    norms = batch(2 * EACH)[0].norm(dim=1)
    assert two[0]["norm mean"] == two[1]["norm mean"]
    assert two[0]["norm mean"].item() == pytest.approx(0.99 * 20 + 0.01 * norms.mean().item())

    alone = PartialFC(dimension=DIMENSION, classes=CLASSES)
    alone.load_merged(merged)
    assert alone.margin_share == 0.75
    expected = alone(*batch(2 * EACH)).item()
    assert [part["shard"] for part in three] == [(0, 4), (4, 4), (8, 3)]
    assert [part["loss"] for part in three] == pytest.approx([expected] * 3, rel=1e-6)
    assert torch.allclose(three[0]["merged"]["weight"], merged["weight"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in \(0, 1\], got 0"):
        PartialFC(dimension=4, classes=10, rate=0)
    with pytest.raises(ValueError, match="2 classes and one per rank"):
        PartialFC(dimension=4, classes=1)
    head = PartialFC(dimension=4, classes=10)
    with pytest.raises(ValueError, match=r"class rows \(11, 8\) but this head has \(10, 4\)"):
        head.load_merged(whole_state())
