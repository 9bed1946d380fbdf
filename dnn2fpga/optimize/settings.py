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
    """The target at which an attempt is good enough; without either value, every attempt is.

    :param max_drop: at most this many points (hundredths of the score) below the float model.
    :param target_accuracy: the least score; 1 is perfect.
    """

    max_drop: PositiveOrNone | None = None
    target_accuracy: Annotated[float, Field(ge=-1e6, le=1, allow_inf_nan=False)] | None = None

    def is_met(self, reached: Score, of_float: Score) -> bool:
        """Return whether a score meets the target.

        :param reached: the score of an attempt.
        :param of_float: the score of the float model.
        """
        wanted = self.wanted(of_float.value)
        # Scores are quotients of counts: differences in the last digits come from the division.
        return wanted is None or reached.value >= wanted - 1e-9

    @property
    def is_given(self) -> bool:
        """True if there is a target."""
        return self.max_drop is not None or self.target_accuracy is not None

    def wanted(self, of_float: float | None) -> float | None:
        """Return the lowest score that is good enough; None where every score is.

        :param of_float: the score of the float model; None where it is not known.
        """
        limits = [self.target_accuracy] if self.target_accuracy is not None else []
        limits += [of_float - self.max_drop / 100] if self.max_drop is not None and of_float is not None else []
        return max(limits, default=None)

    @property
    def described(self) -> str:
        """The target in words."""
        parts = [f"at most {self.max_drop:g} points below the float model"] if self.max_drop is not None else []
        parts += [f"at least {self.target_accuracy:.2%}"] if self.target_accuracy is not None else []
        return " and ".join(parts) or "none"


class PartialSettings(Described):
    """The choice of the layers that partial quantization leaves out, and their arithmetic.

    :param policy: ``sensitivity``: by measured losses, the cheapest set of layers first that should reach the target;
        ``convolutions``: all convolutions at once.
    :param kept_as: the arithmetic of a layer that is left out: fixed point of ``bits``, or IEEE binary32 between
        integers.
    :param bits: of weights and activations of a layer in fixed point, and of the output of one in binary32.
    :param most_tries: the largest number of attempts.
    :param samples: of the test data that measure sensitivity.
    """

    policy: Literal["sensitivity", "convolutions"] = "sensitivity"
    kept_as: Literal["fixed_point", "binary32"] = "fixed_point"
    bits: Bits = 16
    most_tries: Count = 8
    samples: Count = 2000


class TrainingSettings(Described):
    """The settings of (re)training a network.

    :param epochs: the number of passes over the data.
    :param batch: samples per step.
    :param learning_rate: of Adam, at the start.
    :param learn_ranges: let scales move with the weights; else those of the calibration stay.
    :param teacher: what the outputs learn from; ``auto``: labels where there are some, else the float model.
    :param temperature: of the teacher's probabilities.
    :param input_noise: in standard deviations of each input.
    :param mix_inputs: draw half of every batch between two inputs; only with the float model as teacher.
    :param validation: the part of the data that only chooses the best epoch.
    :param freeze_normalization: the part of the epochs after which batch normalizations no longer follow the data.
    :param samples: train on at most this many samples; None: on all.
    :param seed: of all randomness; the same seed produces the same weights.
    """

    epochs: Count = 8
    batch: Count = 128
    learning_rate: Positive = 1e-3
    learn_ranges: bool = False
    teacher: Literal["auto", "labels", "float_model"] = "auto"
    temperature: Positive = 2.0
    input_noise: PositiveOrNone = 0.0
    mix_inputs: bool = False
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    freeze_normalization: Annotated[float, Field(ge=0, le=1)] = 0.5
    samples: Count | None = None
    seed: Seed = 1


class Optimization(Target):
    """The stages, the target that ends them, and what each of them may do.

    :param stages: those that may be run, in this order.
    :param partial: of partial quantization.
    :param training: of quantization-aware training.
    :param pruning: of the pruning before the first stage.
    """

    stages: tuple[Stage, ...] = Field(default=tuple(Stage), min_length=1)
    partial: PartialSettings = Field(default_factory=PartialSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    pruning: PruningSettings = Field(default_factory=PruningSettings)


Widths = Annotated[tuple[Bits, ...], Field(min_length=1)]


class SearchSettings(Described):
    """The search over widths layer by layer, beside the stages.

    :param trials: their number.
    :param cost: the cost of a model: the bits of its weights and biases, or estimated LUTs.
    :param weight_bits: the widths of weights that a trial chooses from, in bits.
    :param activation_bits: the widths of activations that a trial chooses from, in bits.
    :param samples: of the test data that score a trial; the front is scored by all.
    :param seed: of the trials; the same seed produces the same search.
    :param train: train every trial (``optimization.training``); else quantize after training only.
    """

    trials: Count = 60
    cost: Literal["model_bits", "luts"] = "model_bits"
    weight_bits: Widths = (2, 3, 4, 5, 6, 8)
    activation_bits: Widths = (2, 3, 4, 5, 6, 8)
    samples: Count = 2000
    seed: Seed = 1
    train: bool = False
