"""What a similarity means: error rates of a pack, measured, and thresholds for wanted ones.

Words and counts follow ISO/IEC 19795-1: FMR of one comparison, FPIR of one search. A threshold is
always rounded up to four decimals, so that rounding never raises an error rate.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.vision.errors import PackInvalid, TargetUnsupported

Rate = Annotated[float, Field(gt=0, lt=1)]
Similarity = Annotated[float, Field(ge=-1, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FmrRow(_Part):
    """At `threshold`, `errors` of `pairs` non-mated comparisons matched; `interval` is 95 %."""

    fmr: Rate
    threshold: Similarity
    errors: int = Field(ge=0)
    pairs: int = Field(gt=0)
    interval: tuple[float, float]


class FnmrRow(_Part):
    threshold: Similarity
    fnmr: float = Field(ge=0, le=1)


class Mated(_Part):
    pairs: int = Field(ge=0)
    fnmr: tuple[FnmrRow, ...]


class FpirLaw(_Part):
    """How high the best of N impostors scores: a Gumbel law, its location growing with ln N.

    The largest of N draws from any exponential tail tends to it (Gumbel 1958): the threshold that
    a share p of non-mated searches reaches is location + size_slope * ln N
    + rate_slope * (-ln(-ln(1 - p))). `sizes` are the gallery sizes it was fitted on; it may be
    used up to `max_size` and for rates in [min_fpir, max_fpir].
    """

    location: float
    size_slope: float = Field(ge=0)
    rate_slope: float = Field(ge=0)
    sizes: tuple[int, int]
    max_size: int = Field(gt=0)
    min_fpir: Rate
    max_fpir: Rate
    searches: int = Field(gt=0)
    measured: list[Any] = Field(default_factory=list)

    def at(self, fpir: float, size: int) -> float:
        """The similarity that a share `fpir` of non-mated searches among `size` templates reaches.

        Galleries below the smallest that was measured are treated as that one: the threshold is
        then a little high, never too low.
        """
        templates = max(size, self.sizes[0], 1)
        return (
            self.location
            + self.size_slope * math.log(templates)
            - self.rate_slope * math.log(-math.log1p(-fpir))
        )


class Calibration(_Part):
    """`calibration.json` of a pack. `fmr` descends in FMR and ascends in threshold."""

    format: Literal[1]
    model: str
    data: str
    subjects: int = Field(gt=0)
    fmr: tuple[FmrRow, ...] = Field(min_length=2)
    mated: Mated
    fpir: FpirLaw

    @model_validator(mode="after")
    def _is_monotone(self) -> "Calibration":
        pairs = list(zip(self.fmr, self.fmr[1:], strict=False))
        if not all(a.fmr > b.fmr and a.threshold <= b.threshold for a, b in pairs):
            raise ValueError("fmr must descend while threshold ascends")
        if self.fpir.min_fpir >= self.fpir.max_fpir:
            raise ValueError("fpir: min_fpir must lie below max_fpir")
        return self

    @property
    def least_fmr(self) -> float:
        return self.fmr[-1].fmr

    @property
    def most_fmr(self) -> float:
        return self.fmr[0].fmr

    def threshold_for_fmr(self, target: float) -> float:
        """The similarity at which one comparison in 1/`target` matches falsely.

        Between the rows that were measured the threshold is linear in log10(FMR). Raises
        TargetUnsupported outside of them: fewer pairs than 1/`target` can vouch for nothing.
        """
        if not self.least_fmr <= target <= self.most_fmr:
            raise TargetUnsupported(
                f"target_fmr {target:g} is not supported by this calibration "
                f"({self.fmr[-1].pairs:,} non-mated pairs): choose between {self.least_fmr:g} and "
                f"{self.most_fmr:g}, or give a threshold.",
                least=self.least_fmr,
                most=self.most_fmr,
            )
        return _round_up(
            float(
                np.interp(
                    math.log10(target),
                    [math.log10(row.fmr) for row in reversed(self.fmr)],
                    [row.threshold for row in reversed(self.fmr)],
                )
            )
        )

    def default_for_fmr(self, target: float) -> float:
        """The same for a target of our own: the nearest that is supported. Never raises."""
        return self.threshold_for_fmr(min(max(target, self.least_fmr), self.most_fmr))

    def fmr_at(self, threshold: float) -> float | None:
        """FMR at `threshold`, log-linear between measured rows.

        Above the highest row: that row's FMR, which is then an upper bound. Below the lowest: None,
        for all that is known is that it is more.
        """
        if threshold < self.fmr[0].threshold:
            return None
        exponent = np.interp(
            threshold,
            [row.threshold for row in self.fmr],
            [math.log10(row.fmr) for row in self.fmr],
        )
        return float(10.0**exponent)

    def threshold_for_fpir(self, target: float, gallery_size: int) -> float:
        """The similarity that a share `target` of non-mated searches of the gallery reaches.

        `gallery_size` counts templates. Raises TargetUnsupported for rates and sizes further out
        than what was measured can be stretched.
        """
        law = self.fpir
        if not law.min_fpir <= target <= law.max_fpir:
            raise TargetUnsupported(
                f"target_fpir {target:g} is not supported by this calibration ({law.searches:,} "
                f"non-mated searches): choose between {law.min_fpir:g} and {law.max_fpir:g}, or "
                "give a threshold.",
                least=law.min_fpir,
                most=law.max_fpir,
            )
        if gallery_size > law.max_size:
            raise TargetUnsupported(
                f"This calibration supports target_fpir for up to {law.max_size:,} templates, the "
                f"collection has {gallery_size:,}: give a threshold.",
                max_size=law.max_size,
            )
        return _round_up(law.at(target, gallery_size))

    def default_for_fpir(self, target: float, gallery_size: int) -> float:
        """The same for a target of our own choosing: the nearest rate, any size. Never raises."""
        law = self.fpir
        return _round_up(law.at(min(max(target, law.min_fpir), law.max_fpir), gallery_size))


def read_calibration(path: Path, model: str) -> Calibration | None:
    """The calibration in `path` for recognizer `model`; None where there is no such file.

    Raises PackInvalid where it cannot be read or was made for another model.
    """
    try:
        calibration = Calibration.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise PackInvalid(f"{path} is wrong: {faults(error)}.") from None
    except (OSError, ValueError) as error:
        raise PackInvalid(f"{path} cannot be read: {error}.") from None
    if calibration.model != model:
        raise PackInvalid(
            f"{path} was made for model {calibration.model}, the pack's recognizer is {model}. "
            "Calibrate the pack again."
        )
    return calibration


def faults(error: ValidationError) -> str:
    """What a file has wrong, by field, in one line."""
    return "; ".join(
        ".".join(str(part) for part in each["loc"]) + ": " + each["msg"]
        for each in error.errors(include_input=False, include_url=False, include_context=False)
    )


_DECIMALS: Final = 1e4


def _round_up(threshold: float) -> float:
    # The tolerance keeps 0.3 from becoming 0.3001 through its binary form.
    return min(1.0, math.ceil(threshold * _DECIMALS - 1e-6) / _DECIMALS)
