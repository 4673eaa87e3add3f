"""One training: student, head, average and optimizers, step by step."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from models.training import checkpoint
from models.training.build import backbone_of, head_of, moving_average, optimizer_for
from models.training.data.faces import inner
from models.training.distil import Distillation
from models.training.heads.partial_fc import PartialFC
from models.training.inference import embed, settle_statistics
from models.training.loader import Batch, Loader, People
from models.training.provenance import commit
from models.training.recipes import Recipe
from models.training.schedule import learning_rate_at, margin_share_at

SETTLING: Final = 4096  # crops over which the averaged network's statistics are taken


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that train together, and this one's device."""

    rank: int
    ranks: int
    device: torch.device


@dataclass(frozen=True, kw_only=True)
class Losses:
    """One step's losses: float32 scalars, with gradient."""

    total: Tensor
    head: Tensor
    teacher: Tensor


class Training:
    """What changes while training: student, head, their average, the optimizer, the step.

    ``targets`` are the teacher's embeddings float32 [n, T] where the recipe has a teacher.
    ``about`` is what the checkpoint says of data and teacher.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: People,
        world: World,
        targets: Tensor | None = None,
        *,
        about: dict[str, str] | None = None,
    ) -> None:
        if (targets is None) != (recipe.teacher_weight == 0):
            raise ValueError(f"recipe {recipe.name}: teacher_weight and a teacher go together")
        if (data.labels < 0).any() and (targets is None or recipe.sample_rate or world.ranks > 1):
            # Ranks would wait for the gradients of one whose batch has nobody with a label.
            raise ValueError(
                "faces without labels need a teacher, one process and a head that is not sharded"
            )
        self.recipe = recipe
        self.data = data
        self.world = world
        self.about = about or {}
        torch.manual_seed(recipe.seed)
        self.backbone = backbone_of(recipe).to(world.device)
        self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
        self.head = head_of(recipe, len(data.identities)).to(world.device)
        self.distillation = None
        if targets is not None:
            shape = {"dimension": recipe.dimension, "teacher_dimension": targets.shape[1]}
            self.distillation = Distillation(**shape).to(world.device)
            targets = targets.to(world.device)
        self.targets = targets
        self.average = AveragedModel(self.backbone, multi_avg_fn=moving_average(recipe.ema_decay))
        learners = [self.backbone, *([self.distillation] if self.distillation else [])]
        self.optimizer = optimizer_for(recipe, learners)
        # Apart: a sharded head's momentum is gathered from all ranks, with its rows.
        self.head_optimizer = optimizer_for(recipe, [self.head])
        self.loader = Loader(
            data,
            batch=recipe.batch,
            seed=recipe.seed,
            device=world.device,
            rank=world.rank,
            ranks=world.ranks,
        )
        if not len(self.loader):
            raise ValueError(
                f"{len(data.labels)} pictures do not fill one batch of {recipe.batch} for each of "
                f"{world.ranks} processes: --set batch=N"
            )
        self.steps = max(1, round(recipe.epochs * len(self.loader)))
        self.done = 0
        self.minutes = 0.0
        self.earlier: list[dict[str, Any]] = []
        self._forward = self._wrapped()

    def _wrapped(self) -> list[nn.Module]:
        """Student, head and distillation as they are called: compiled, gradients shared."""
        modules: list[nn.Module] = [self.backbone, self.head]
        if self.recipe.compiled:
            modules[0] = cast(nn.Module, torch.compile(self.backbone))
        if self.distillation:
            modules.append(self.distillation)
        if self.world.ranks == 1:
            return modules
        # A sharded head shares what it must by itself; each rank's shard is its own.
        return [
            module if isinstance(module, PartialFC) else DistributedDataParallel(module)
            for module in modules
        ]

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        return self.done / self.steps

    def batches(self) -> Iterator[Batch]:
        """What is left to train on, in training mode; each is to be given to ``step``."""
        while self.done < self.steps:
            epoch, first = divmod(self.done, len(self.loader))
            for batch in self.loader.epoch(epoch, self.recipe.views, first):
                self.backbone.train()
                yield batch
                if self.done == self.steps:
                    return

    def losses(self, batch: Batch) -> Losses:
        """Forward pass of a batch."""
        device = self.world.device.type
        low = self.recipe.precision == "bfloat16" and device != "cpu"
        with torch.autocast(device, torch.bfloat16, enabled=low):
            embeddings = self._forward[0](batch.views)
        known = batch.labels >= 0
        head = torch.zeros((), device=batch.views.device)
        if known.all():
            head = self._forward[1](embeddings, batch.labels)
        elif known.any():
            head = self._forward[1](embeddings[known], batch.labels[known])
        teacher = torch.zeros((), device=batch.views.device)
        if self.targets is not None:
            teacher = self._forward[2](embeddings, self.targets[batch.rows])
        total = self.recipe.head_weight * head + self.recipe.teacher_weight * teacher
        return Losses(total=total, head=head, teacher=teacher)

    def step(self, batch: Batch) -> Losses:
        """One step of the optimizer."""
        for optimizer in (self.optimizer, self.head_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(self.recipe, self.progress)
        self.head.margin_share.fill_(margin_share_at(self.recipe, self.progress))
        losses = self.losses(batch)
        self.optimizer.zero_grad()
        self.head_optimizer.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        nn.utils.clip_grad_norm_(self.backbone.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.head_optimizer.step()
        self.average.update_parameters(self.backbone)
        self.done += 1
        return losses

    def settled(self) -> nn.Module:
        """The averaged backbone with statistics of its own, in evaluation mode.

        Averaged weights never saw the running statistics that they were averaged with. Without
        averaging it is the backbone as it stands.
        """
        if not self.recipe.ema_decay:
            self.backbone.eval()
            return self.backbone
        random = np.random.default_rng(self.recipe.seed)
        count = min(SETTLING, len(self.data.labels))
        rows = random.choice(len(self.data.labels), count, replace=False)
        average: nn.Module = self.average.module
        settle_statistics(average, inner(self.data.batch(np.sort(rows))), self.world.device)
        return average

    def snapshot(self, backbone: nn.Module, validation: dict[str, float]) -> checkpoint.Checkpoint:
        """Everything that a pack, or the next hour of training, is made from."""
        return checkpoint.Checkpoint(
            backbone_name=self.recipe.backbone,
            dimension=self.recipe.dimension,
            backbone_state=backbone.state_dict(),
            training={
                "recipe": plain(asdict(self.recipe)),
                "data_fingerprint": self.data.fingerprint,
                "images": len(self.data.labels),
                "identities": len(self.data.identities),
                "epochs": round(self.done / len(self.loader), 2),
                "minutes": round(self.minutes, 1),
                "ranks": self.world.ranks,
                "device": self.world.device.type,
                "torch": str(torch.__version__),
                "commit": commit(),
                "validation": validation,
                "earlier": self.earlier,
                **self.about,
            },
            resume={
                "backbone": self.backbone.state_dict(),
                "head": self._head_state(),
                "distillation": self.distillation.state_dict() if self.distillation else {},
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random": torch.get_rng_state(),
                "random_on_device": self._device_random(),
                "progress": self.progress,
                "minutes": self.minutes,
            },
        )

    def _device_random(self) -> Tensor:
        """State of the accelerator's generator, empty on a CPU."""
        if self.world.device.type != "cuda":
            return torch.empty(0, dtype=torch.uint8)
        return torch.cuda.get_rng_state(self.world.device)

    def _head_state(self) -> dict[str, Any]:
        """State of the head and its optimizer; of a sharded one, of all ranks together."""
        if isinstance(self.head, PartialFC):
            return dict(self.head.merged_state(self.head_optimizer))
        return {"head": self.head.state_dict(), "optimizer": self.head_optimizer.state_dict()}

    def resume(self, kept: checkpoint.Checkpoint) -> None:
        """Go on where ``kept`` stopped.

        Raises:
            ValueError: it is of other data or another recipe, and the trace would be another's.
        """
        mine = {"recipe": plain(asdict(self.recipe)), "data_fingerprint": self.data.fingerprint}
        for key, value in mine.items():
            if kept.training[key] != value:
                raise ValueError(
                    f"the checkpoint has another {key}: train into another folder, or start "
                    "from it with --start-from"
                )
        self.backbone.load_state_dict(kept.resume["backbone"])
        if isinstance(self.head, PartialFC):
            self.head.load_merged(kept.resume["head"], self.head_optimizer)
        else:
            self.head.load_state_dict(kept.resume["head"]["head"])
            self.head_optimizer.load_state_dict(kept.resume["head"]["optimizer"])
        if self.distillation:
            self.distillation.load_state_dict(kept.resume["distillation"])
        self.average.load_state_dict(kept.resume["average"])
        self.optimizer.load_state_dict(kept.resume["optimizer"])
        torch.set_rng_state(kept.resume["random"])
        if self.world.device.type == "cuda" and len(kept.resume["random_on_device"]):
            torch.cuda.set_rng_state(kept.resume["random_on_device"], self.world.device)
        # A share, not steps: another number of processes takes another number of them.
        self.done = round(float(kept.resume["progress"]) * self.steps)
        self.minutes = float(kept.resume["minutes"])
        self.earlier = kept.training["earlier"]

    def start_from(self, kept: checkpoint.Checkpoint) -> None:
        """Take over the averaged backbone of an earlier training, with a schedule of its own.

        The head starts at the centres of its classes: one that has learnt nothing would pull the
        backbone back to nothing.
        """
        said = ("epochs", "minutes", "validation", "data_fingerprint")
        this = {key: kept.training[key] for key in said}
        name = kept.training["recipe"]["name"]
        self.earlier = [*kept.training["earlier"], {"recipe": name, **this}]
        self.backbone.load_state_dict(kept.backbone_state)
        if self.distillation and kept.resume["distillation"]:
            self.distillation.load_state_dict(kept.resume["distillation"])
        embeddings = embed(self.backbone, self.data, self.world.device).cpu()
        centres = torch.zeros(len(self.data.identities), self.recipe.dimension)
        labels = torch.from_numpy(self.data.labels)
        centres.index_add_(0, labels[labels >= 0], embeddings[labels >= 0])
        weight = self.head.weight
        if isinstance(weight, Tensor) and weight.shape == centres.shape:
            weight.data.copy_(F.normalize(centres))
        self.average.module.load_state_dict(kept.backbone_state)


def plain(value: Any) -> Any:
    """Tuples as lists, all the way down: what JSON and checkpoints give back."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
