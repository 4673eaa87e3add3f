"""How a training is followed: progress bar, log, curves, and a stop when it is lost."""

import logging
import math
import time
from pathlib import Path
from typing import Final

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from models.training.inference import FAR
from models.training.trainer import Losses, Training

log = logging.getLogger(__name__)

EVERY: Final = 50  # steps between two looks at the loss


class TrainingDiverged(RuntimeError):
    """The loss is no number any more. Says when, and what to change."""


class Watch:
    """Shows how a training goes: progress bar, log lines, TensorBoard curves; stops it at NaN.

    The bar stands on a terminal; where there is none a line a minute goes to the log.
    """

    def __init__(self, training: Training, out: Path) -> None:
        self.training = training
        self.writer = SummaryWriter(str(out / "tensorboard"))
        self.bar = tqdm(total=training.steps, initial=training.done, unit="step", disable=None)
        self.started = self.looked = self.said = time.monotonic()
        self.before = training.done
        self.sums = torch.zeros(3, device=training.world.device)
        self.count = 0

    def saw(self, losses: Losses) -> None:
        """Count one step; look at the sums every now and then, since looking waits for the device.

        Raises:
            TrainingDiverged: the loss is not finite.
        """
        self.sums += torch.stack([losses.total, losses.head, losses.teacher]).detach()
        self.count += 1
        self.bar.update()
        if self.count == EVERY:
            self.look()

    def look(self) -> None:
        """Show the mean since the last look. Raises TrainingDiverged, as ``saw`` does."""
        if not self.count:
            return
        training = self.training
        total, head, teacher = (self.sums / self.count).tolist()
        rate = training.optimizer.param_groups[0]["lr"]
        if not math.isfinite(total):
            raise TrainingDiverged(
                f"the loss is {total} (head {head}, teacher {teacher}) by step {training.done}, "
                f"learning rate {rate:.4g}, margin share {float(training.head.margin_share):.2f}: "
                "lower learning_rate or the head's margin, or raise warm_up; the last checkpoint "
                "is from before"
            )
        now = time.monotonic()
        size = training.recipe.batch * training.world.ranks
        speed = self.count * size / (now - self.looked)
        curves = {
            "loss": total,
            "loss/head": head,
            "loss/teacher": teacher,
            "learning_rate": rate,
            "margin_share": float(training.head.margin_share),
            "images_per_second": speed,
            **{f"head/{name}": value for name, value in training.head.curves().items()},
        }
        for name, value in curves.items():
            self.writer.add_scalar(name, value, training.done)
        self.bar.set_postfix(loss=f"{total:.3f}", images_s=f"{speed:.0f}", refresh=False)
        if self.bar.disable and now - self.said > 60:
            self.said = now
            pace = (now - self.started) / (training.done - self.before)
            log.info(
                "step %d of %d (epoch %.2f): loss %.3f head %.3f teacher %.3f, %.0f images/s, "
                "%.0f minutes left",
                *(training.done, training.steps, training.done / len(training.loader)),
                *(total, head, teacher, speed, pace * (training.steps - training.done) / 60),
            )
        self.sums.zero_()
        self.count = 0
        self.looked = now

    def validated(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(f"tar_at_far_0.001/{name}", value, self.training.done)
        log.info("step %d: TAR at FAR %g: %s", self.training.done, FAR, figures)

    def close(self) -> None:
        self.bar.close()
        self.writer.close()
