"""The user's choices about the hardware; nothing here can change a computed integer."""

from __future__ import annotations

import enum
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
    """The user's choices about the hardware of one layer; absent: as for all layers."""

    engine: Engine | None = None  # of a matrix product; absent: parallel where vectors arrive in one beat
    pe: Lanes | None = None  # outputs at a time in a folded engine; absent: all
    simd: Lanes | None = None  # inputs a cycle for each of them; absent: those of a beat
    multiplier: Multiplier | None = None  # of a folded engine; absent: DSP blocks, those of the family
    weight_memory: WeightMemory | None = None  # of a folded engine; absent: as the synthesis tool thinks best
    levels_per_register: int | None = Field(default=None, ge=1, le=MOST_LEVELS)  # adders in a row
    float_units: int | None = Field(default=None, ge=1, le=64)  # multiply-add units of a layer left in binary32

    # beats after the layer; 0: only its stage; absent: as calculated
    fifo: Depth | None = None


class EdgeFifo(Described):
    """A FIFO between a tensor that several read and one of its readers."""

    tensor: str
    reader: str  # a layer, or an output
    beats: Depth


class Stages(enum.Enum):
    """Behind which layers a master-slave stage stands."""

    EVERY_LAYER = "every_layer"
    RUNS = "runs"  # after the last of several layers in a row that are nothing but pipelines


class PlanSettings(LayerPlan):
    """The user's choices about the hardware, for all layers and for single ones."""

    stages: Stages = Stages.EVERY_LAYER
    family: Literal["xc7", "ecp5", "ice40", "gowin"] = "xc7"  # of the FPGA: its DSP blocks, and its resource estimates
    goal: PlanGoal | None = None  # asks the planner to choose what is left open here
    pixels: int = Field(default=1, ge=1, le=16)  # of the input image in one beat
    layers: dict[str, LayerPlan] = Field(default_factory=dict)
    fifos: tuple[EdgeFifo, ...] = ()  # where a tensor has several readers; absent: as calculated

    def options(self, layer: str) -> dict[str, Any]:
        """Return the choices for a layer, by the names that operators know."""
        of_all = self.model_dump(include=set(LayerPlan.model_fields), exclude_none=True)
        return of_all | self.own(layer)

    def create_options(self, layer: str) -> dict[str, Any]:
        """The same, with the DSP blocks of the family."""
        chosen = self.options(layer)
        return chosen | {"multiplier": self.of_family(chosen.get("multiplier", Multiplier.DSP))}

    def of_family(self, multiplier: Multiplier) -> Multiplier:
        """``dsp`` means the blocks that the FPGA has."""
        return BLOCKS.get(self.family, multiplier) if multiplier is Multiplier.DSP else multiplier

    def without_fifos(self) -> PlanSettings:
        """The same, with all FIFOs as calculated."""
        layers = {name: own.model_copy(update={"fifo": None}) for name, own in self.layers.items()}
        return self.model_copy(update={"fifo": None, "fifos": (), "layers": layers})

    def own(self, layer: str) -> dict[str, Any]:
        """Return the choices for this layer and no other."""
        return self.layers.get(layer, LayerPlan()).model_dump(exclude_none=True)
