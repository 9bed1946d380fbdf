"""The user's choices about the hardware; nothing here can change a computed integer."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dnn2fpga.files.described import Described
from dnn2fpga.plan.goals import PlanGoal
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import Engine

BLOCKS = {"ecp5": Multiplier.DSP18, "gowin": Multiplier.DSP18, "ice40": Multiplier.DSP16}
MOST_LEVELS = 16  # adders in a row between two registers
DEEPEST_FIFO = 2**20  # beats


def _not_one(beats: int) -> int:
    if beats == 1:
        raise ValueError("must be 0 (no FIFO), or at least 2")
    return beats


Depth = Annotated[int, Field(ge=0, le=DEEPEST_FIFO), AfterValidator(_not_one)]  # of a FIFO, in beats
Lanes = Annotated[int, Field(ge=1, le=2**20)]


class LayerPlan(Described):
    """The user's choices about the hardware of one layer; absent: as for all layers.

    :param engine: of a matrix product; absent: parallel where vectors arrive in one beat.
    :param pe: outputs at a time in a folded engine; absent: all.
    :param simd: inputs per cycle for each of these outputs; absent: those of a beat.
    :param multiplier: of a folded engine; absent: the DSP blocks of the family.
    :param weight_memory: of a folded engine; absent: as the synthesis tool chooses.
    :param levels_per_register: adders in a row between two registers.
    :param float_units: multiply-add units of a layer left in binary32.
    :param fifo: the depth in beats of a FIFO after the layer; 0: only its stage; absent: as calculated.
    """

    engine: Engine | None = None
    pe: Lanes | None = None
    simd: Lanes | None = None
    multiplier: Multiplier | None = None
    weight_memory: WeightMemory | None = None
    levels_per_register: int | None = Field(default=None, ge=1, le=MOST_LEVELS)
    float_units: int | None = Field(default=None, ge=1, le=64)
    fifo: Depth | None = None


class EdgeFifo(Described):
    """A FIFO between a tensor that several read and one of its readers.

    :param tensor: the name of the tensor.
    :param reader: the name of a layer, or of an output.
    :param beats: the depth; 0: no FIFO, else at least 2.
    """

    tensor: str
    reader: str
    beats: Depth


class Stages(enum.Enum):
    """The layers that a master-slave stage (a register slice, or skid buffer) follows."""

    EVERY_LAYER = "every_layer"
    RUNS = "runs"  # after the last of several layers in a row that are nothing but pipelines


class PlanSettings(LayerPlan):
    """The user's choices about the hardware, for all layers and for single ones. The inherited ones are for all layers.

    :param stages: the layers that a master-slave stage follows.
    :param family: of the FPGA, which decides its DSP blocks and resource estimates.
    :param goal: the planner's goal, for which it chooses what is left open here; absent: nothing is chosen.
    :param pixels: of the input image per beat.
    :param layers: the choices of single layers, by name.
    :param fifos: where a tensor has several readers; absent: as calculated.
    """

    stages: Stages = Stages.EVERY_LAYER
    family: Literal["xc7", "ecp5", "ice40", "gowin"] = "xc7"
    goal: PlanGoal | None = None
    pixels: int = Field(default=1, ge=1, le=16)
    layers: dict[str, LayerPlan] = Field(default_factory=dict)
    fifos: tuple[EdgeFifo, ...] = ()

    def options(self, layer: str) -> dict[str, Any]:
        """Return the choices for a layer, by the names that operators know."""
        of_all = self.model_dump(include=set(LayerPlan.model_fields), exclude_none=True)
        return of_all | self.own(layer)

    def create_options(self, layer: str) -> dict[str, Any]:
        """Return the options of ``create`` for a layer: its choices, with the DSP blocks of the family."""
        chosen = self.options(layer)
        return chosen | {"multiplier": self.of_family(chosen.get("multiplier", Multiplier.DSP))}

    def of_family(self, multiplier: Multiplier) -> Multiplier:
        """Return the multiplier for the family: ``dsp`` means the blocks that the FPGA has."""
        return BLOCKS.get(self.family, multiplier) if multiplier is Multiplier.DSP else multiplier

    def with_layers(self, options: Mapping[str, Mapping[str, Any]]) -> PlanSettings:
        """The same, with these options of layers.

        :param options: by layer and name.
        """
        changed = {name: self.layers.get(name, LayerPlan()).model_copy(update=own) for name, own in options.items()}
        return self.model_copy(update={"layers": {**self.layers, **changed}})

    def without_fifos(self) -> PlanSettings:
        """Return the same settings with all FIFOs as calculated."""
        layers = {name: own.model_copy(update={"fifo": None}) for name, own in self.layers.items()}
        return self.model_copy(update={"fifo": None, "fifos": (), "layers": layers})

    def own(self, layer: str) -> dict[str, Any]:
        """Return the choices for this layer and no other."""
        return self.layers.get(layer, LayerPlan()).model_dump(exclude_none=True)
