"""The settings of all stages of the optimizer: what it may do, and when it may stop. They need no TensorFlow."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import Field

from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Count, Positive, PositiveOrNone, Seed
from dnn2fpga.optimize.pruning import PruningSettings
from dnn2fpga.quantize.settings import Bits
from dnn2fpga.task import Score


class Stage(enum.Enum):
    """The stages, in the order in which they are run."""

    POST_TRAINING = "ptq"
    PARTIAL = "partial"
    TRAINING_AWARE = "qat"


class Target(Described):
    """The target at which an attempt is good enough; without either value, every attempt is."""

    max_drop: PositiveOrNone | None = None  # points (hundredths) below the float model
    target_accuracy: Annotated[float, Field(ge=-1e6, le=1, allow_inf_nan=False)] | None = None  # at least

    def is_met(self, reached: Score, of_float: Score) -> bool:
        wanted = self.wanted(of_float.value)
        # Scores are quotients of counts: differences in the last digits come from the division.
        return wanted is None or reached.value >= wanted - 1e-9

    @property
    def is_given(self) -> bool:
        return self.max_drop is not None or self.target_accuracy is not None

    def wanted(self, of_float: float | None) -> float | None:
        """The lowest score that is good enough."""
        limits = [self.target_accuracy] if self.target_accuracy is not None else []
        limits += [of_float - self.max_drop / 100] if self.max_drop is not None and of_float is not None else []
        return max(limits, default=None)

    @property
    def described(self) -> str:
        parts = [f"at most {self.max_drop:g} points below the float model"] if self.max_drop is not None else []
        parts += [f"at least {self.target_accuracy:.2%}"] if self.target_accuracy is not None else []
        return " and ".join(parts) or "none"


class PartialSettings(Described):
    """The choice of the layers that partial quantization leaves out, and their arithmetic."""

    policy: Literal["sensitivity", "convolutions"] = "sensitivity"
    kept_as: Literal["fixed_point", "binary32"] = "fixed_point"
    bits: Bits = 16  # of weights and activations of a layer that is left in fixed point, and of binary32's output
    most_tries: Count = 8
    samples: Count = 2000  # of the test data that measure sensitivity


class TrainingSettings(Described):
    """The settings of (re)training a network."""

    epochs: Count = 8
    batch: Count = 128
    learning_rate: Positive = 1e-3
    learn_ranges: bool = False  # scales move with the weights; else those of the calibration stay
    teacher: Literal["auto", "labels", "float_model"] = "auto"  # auto: labels where there are some
    temperature: Positive = 2.0  # of the teacher's probabilities
    input_noise: PositiveOrNone = 0.0  # in standard deviations of each input
    mix_inputs: bool = False  # half of every batch lies between two inputs; only with the float model as teacher
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1  # part of the data that only chooses the best epoch
    freeze_normalization: Annotated[float, Field(ge=0, le=1)] = 0.5  # after this part of the epochs
    samples: Count | None = None  # train on at most this many samples of the data; all when absent
    seed: Seed = 1


class Optimization(Target):
    """The stages, the target that ends them, and what each of them may do."""

    stages: tuple[Stage, ...] = Field(default=tuple(Stage), min_length=1)
    partial: PartialSettings = Field(default_factory=PartialSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    pruning: PruningSettings = Field(default_factory=PruningSettings)


Widths = Annotated[tuple[Bits, ...], Field(min_length=1)]


class SearchSettings(Described):
    """The search over widths layer by layer, beside the stages."""

    trials: Count = 60
    cost: Literal["model_bits", "luts"] = "model_bits"
    weight_bits: Widths = (2, 3, 4, 5, 6, 8)
    activation_bits: Widths = (2, 3, 4, 5, 6, 8)
    samples: Count = 2000  # of the test data that judge a trial; the front is judged by all
    seed: Seed = 1
    train: bool = False  # every trial is trained (optimization.training); else quantized after training only
