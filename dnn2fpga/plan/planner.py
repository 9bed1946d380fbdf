"""Rate matching: each layer exactly as parallel as the interval asks for, at the least cost.

A layer has some hundreds of candidates (``candidates``), of which those that cost more and take longer than another are
left out. One is chosen for each layer by a small integer program, solved exactly (HiGHS): the sum of their costs stays
within the budget; the objective is the sum of the shares of the budget, or of the cycles that each layer adds to the
latency. What the program knows only roughly is then replayed exactly (``Schedule``): a layer that turns out slower than
its candidate promised must be faster, and the FIFOs get their depths.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.candidates import COSTS, Candidates, candidates, costs_of, matrix_product_of
from dnn2fpga.plan.estimate.resources import estimate
from dnn2fpga.plan.fifos import best_interval, with_fifos
from dnn2fpga.plan.goals import Aim, Budget, PlanGoal
from dnn2fpga.plan.layout import LayerLayout, components_of
from dnn2fpga.plan.program import SLIGHTLY, Program
from dnn2fpga.plan.schedule import Schedule, nearest_upstream
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.plan.streams import Boundary, streams_of
from rtl_lib.core.stream import StreamComponent
from rtl_lib.core.trace import trace_chain
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct
from rtl_lib.streams.master_slave_stage import MasterSlaveStage

# Limits that replace those that nobody set, when costs are added up: a Zynq 7020.
USUAL = Budget(lut=53_200, ff=106_400, dsp=220, bram18=280)
# LUTs are what everything else needs; blocks that are left over help nobody, and registers stand beside every LUT.
MISSED = {"lut": 1.0, "ff": 0.25, "dsp": 0.5, "bram18": 0.5}
ROUNDS = 30  # of choosing and replaying
NAMES = {"lut": "LUTs", "ff": "registers", "dsp": "DSP blocks", "bram18": "block RAMs of 18 Kbit"}


def completed(graph: QuantizedGraph, settings: PlanSettings) -> PlanSettings:
    """The settings with the FIFO of every layer filled in and, where there is a goal, engine, folding and memory style;
    what they already say stays.

    :raises UserError: when no design fits; it says what runs out, and what would fit. When the FIFOs that the settings
        give let any design hang.
    """
    if settings.goal:
        return Planner(graph, settings, settings.goal).chosen()
    return with_fifos(Schedule(graph, settings))


def _between(boundary: Boundary) -> list[StreamComponent]:
    """Return what stands between a layer and its readers; a stage that may fall away counts, too."""
    alone = [] if boundary.is_input else [MasterSlaveStage(boundary.beat)]
    return boundary.components or alone


class Planner:
    """One graph, and what is wanted of its hardware."""

    def __init__(self, graph: QuantizedGraph, settings: PlanSettings, wanted: PlanGoal) -> None:
        self.graph, self.settings, self.wanted = graph, settings, wanted
        # Any engine would do here; a folded one needs no adder graph to be solved.
        schedule = Schedule(graph, settings.model_copy(update={"engine": settings.engine or Engine.FOLDED}))
        self.free: list[Candidates] = []
        # What is the same in any case, and what the calculated FIFOs add to it, as far as that is known.
        self.fixed, self.fifos = self._cost(part for b in schedule.boundaries for part in _between(b)), np.zeros(4)
        self.tail = float(wanted.latency_cycles or np.inf)  # cycles of the latency that the layers may share
        # No layer can be faster than its beats come or go: cycles, by layer.
        self.least = {boundary.name: boundary.beats for boundary in schedule.boundaries}
        for layout in schedule.layout.layers:
            self._add(schedule, layout)
        self.upstream = nearest_upstream(schedule, {of_layer.layer for of_layer in self.free})

    def _add(self, schedule: Schedule, layout: LayerLayout) -> None:
        """Add the candidates of a layer, and the part of it that costs the same in any case."""
        product = matrix_product_of(self.graph.operators[layout.name])
        if product is None:
            fixed, least = layout.components, schedule.alone[layout.name]
        else:
            fixed, least = self._around(schedule, layout, product)
        self.fixed = self.fixed + self._cost(fixed)
        self.least[layout.name] = max(self.least[layout.name], least)

    def _around(
        self, schedule: Schedule, layout: LayerLayout, product: MatrixProduct
    ) -> tuple[list[StreamComponent], int]:
        """Return the components around a product that may be folded, and the cycles that the layer needs at least."""
        operators, options = self.graph.operators[layout.name], self.settings.options(layout.name)
        (source,) = layout.sources
        place = operators.index(product)
        before, wire = components_of(operators[:place], source.wire, options)
        after, _ = components_of(operators[place + 1 :], layout.wire, options)
        models = [part.beat_model() for _, part in before]
        beats = schedule.by_name[source.boundary].beats
        vectors = layout.wire.beats(layout.layer.output)  # also before the product: windows give one each
        least = trace_chain(models, [(0, beats), (len(models), vectors)])[-1].interval_cycles if models else 0
        widened = None if product.beatwise or wire.has_surplus else product.widened(wire.pixels)
        self.free.append(candidates(widened or product, layout, wire.pixels, self.settings))
        return [part for _, part in [*before, *after]], max(least, int(self.free[-1].cycles.min()))

    def chosen(self) -> PlanSettings:
        """The settings with all that was open, FIFOs too."""
        if self.wanted.reuse_factor:
            picks = [of_layer.reused(self.wanted.reuse_factor) for of_layer in self.free]
            return with_fifos(Schedule(self.graph, self._applied(picks)))
        interval = self._reachable(self.wanted.interval_cycles or 1)
        if self.wanted.aim is Aim.FASTEST:
            interval = self._fastest(interval)
        for _ in range(ROUNDS):
            interval, picks = self._affordable(self._reachable(interval))
            schedule = Schedule(self.graph, self._applied(picks))
            reached = best_interval(schedule)
            if reached > interval and self._try_harder(schedule, picks, interval):
                continue
            if reached > (self.wanted.interval_cycles or reached):
                # They wait for each other: all of them must be a little faster than that.
                self.free = [of_layer.with_lost(reached - interval) for of_layer in self.free]
            elif not self._too_late(schedule, reached):
                complete = with_fifos(schedule)
                if self._fifos_fit(schedule, complete, picks):
                    return complete
        raise UserError(f"no folding was found with an interval of {interval:,} cycles; allow some cycles more")

    def _affordable(self, interval: int) -> tuple[int, list[Candidates]]:
        """Return the cheapest choice that fits, with an interval as long as it must be.

        The adder graphs of what is chosen are solved, until all that is chosen is known exactly. No other is: it takes
        seconds, and where nothing fits even at best, for nothing.

        :raises UserError: when nothing fits.
        """
        while True:
            picks = self.solve(interval) or self.solve(interval, at_best=True)
            if picks is None and self.wanted.aim is not Aim.FASTEST:
                raise UserError(self._what_runs_out(interval))
            if picks is None:
                interval = self._fastest(interval + 1)
            elif not self._learns_exact_costs(picks):
                return interval, picks

    def _fifos_fit(self, schedule: Schedule, complete: PlanSettings, picks: list[Candidates]) -> bool:
        """Return whether a choice fits with its FIFOs; if not, less is left for the next one."""
        boundaries, _ = streams_of(self.graph, complete, schedule.layout)
        added = self._cost(part for b in boundaries for part in _between(b))
        added -= self._cost(part for b in schedule.boundaries for part in _between(b))
        used = self.fixed + added + sum((pick.costs[0] for pick in picks), np.zeros(4))
        if (used <= self._limits).all():
            return True
        self.fifos = np.maximum(self.fifos, added)
        return False

    def _cost(self, components: Iterable[StreamComponent]) -> np.ndarray:
        return sum((costs_of(estimate(part, self.settings.family)) for part in components), np.zeros(4))

    @property
    def _limits(self) -> np.ndarray:
        """Return how much of each resource may be used."""
        return np.array([self.wanted.budget.limits.get(name, np.inf) for name in COSTS])

    def _reachable(self, interval: int) -> int:
        """The same interval, or the least that no layer is too slow for, if none is wanted."""
        offered = {of_layer.layer: int(of_layer.cycles.min()) for of_layer in self.free}
        least = {layer: max(cycles, offered.get(layer, 0)) for layer, cycles in self.least.items()}
        busiest = max(least, key=lambda layer: least[layer])
        shortest = least[busiest]
        if self.wanted.interval_cycles is not None and self.wanted.interval_cycles < shortest:
            raise UserError(
                f"an interval of {self.wanted.interval_cycles:,} cycles cannot be reached: '{busiest}' needs at least "
                f"{shortest:,} cycles per frame; ask for that, fold this layer less, or use more pixels per beat "
                f"(hardware.pixels)"
            )
        return max(interval, shortest)

    def _learns_exact_costs(self, picks: list[Candidates]) -> bool:
        """Solve the adder graphs of what is chosen and known by a guess only; return whether there were any."""
        guessed = [place for place, pick in enumerate(picks) if pick.may_be_wrong]
        for place in guessed:
            self.free[place] = self.free[place].with_exact_parallel()
        return bool(guessed)

    def _applied(self, picks: Iterable[Candidates]) -> PlanSettings:
        return self.settings.with_layers({pick.layer: pick.options[0] for pick in picks})

    def _too_late(self, schedule: Schedule, interval: int) -> bool:
        """Return whether the latency is longer than wanted; then less is left for the layers' parts of it."""
        if self.wanted.latency_cycles is None:
            return False
        latency = schedule.latency(interval)
        self.tail -= max(0, latency - self.wanted.latency_cycles)
        return latency > self.wanted.latency_cycles

    def _try_harder(self, schedule: Schedule, picks: list[Candidates], interval: int) -> bool:
        """Record each layer that is slower than its candidate said; return whether there are any."""
        of_layer = {pick.layer: place for place, pick in enumerate(picks)}
        slow = {layer: cycles for layer, cycles in schedule.alone.items() if cycles > interval and layer in of_layer}
        for layer, cycles in slow.items():
            place = of_layer[layer]
            if picks[place].slots[0] == 1:  # it waits for its beats, however fast it is
                self.least[layer] = cycles
            self.free[place] = self.free[place].with_lost(cycles - int(picks[place].cycles[0]))
        return bool(slow)

    @property
    def _prices(self) -> np.ndarray:
        """Return the price of one of each resource: its share of the budget, times how much it is missed."""
        limits = self.wanted.budget.with_defaults(USUAL).limits
        return np.array([MISSED[name] / max(limits[name], 1) for name in COSTS])

    def solve(self, interval: float, objective: str | None = None, *, at_best: bool = False) -> list[Candidates] | None:
        """One candidate per layer; None where none fit the budget.

        :param objective: instead of the goal's: the resource of which as little as possible is to be used, without
            any limit.
        :param at_best: whether to count guesses with the least that they may turn out to be.
        """
        in_time = self.wanted.latency_cycles is not None or self.wanted.aim is Aim.LATENCY
        free = [of_layer.at_best() if at_best else of_layer for of_layer in self.free]
        offered = [of_layer.within(interval).undominated(in_time) for of_layer in free]
        if not all(len(of_layer) for of_layer in offered):
            return None
        program = Program(offered, self.upstream)
        if objective is not None:
            prices = np.array([float(name == objective) for name in COSTS])
            return program.solve(prices, np.full(len(COSTS), np.inf), price_of_cycle=0)
        left = self._limits - self.fixed - self.fifos
        if (left < 0).any():
            return None
        price = 1.0 if self.wanted.aim is Aim.LATENCY else SLIGHTLY
        return program.solve(self._prices, left, latency=self.tail, price_of_cycle=price)

    def _fastest(self, least: int) -> int:
        """The shortest interval that fits the budget, at least ``least``."""
        steps = np.unique(np.concatenate([[least], *(of_layer.cycles for of_layer in self.free)]))
        steps = steps[steps >= least]
        low, high = 0, len(steps)
        while low < high:
            middle = (low + high) // 2
            fits = self.solve(float(steps[middle]), at_best=True) is not None
            low, high = (low, middle) if fits else (middle + 1, high)
        if low == len(steps):
            raise UserError(self._what_runs_out(float(steps[-1])))
        return int(steps[low])

    def _what_runs_out(self, interval: float) -> list[str]:
        """Return why there is no design, and what would be one."""
        problems = []
        for name, limit in self.wanted.budget.limits.items():
            least = self.solve(interval, objective=name, at_best=True)
            if least is not None:
                kind = COSTS.index(name)
                of_fifos = self.fifos[kind]
                needed = self.fixed[kind] + of_fifos + sum(float(pick.costs[0, kind]) for pick in least)
                told = f", {of_fifos:,.0f} of them for FIFOs" if of_fifos >= 1 else ""
                if needed > limit:
                    problems.append(
                        f"at least {needed:,.0f} {NAMES[name]} are needed (estimated{told}), {limit:,} are allowed"
                    )
        what = f"no design with an interval of {interval:,.0f} cycles fits"
        if self.wanted.latency_cycles:
            problems.append(f"the latency is to be at most {self.wanted.latency_cycles:,} cycles")
        reasons = "; ".join(problems) or "each resource alone would suffice, but not all of them together"
        return [f"{what}: {reasons}", *(self._shorter_way(interval) or self._what_would_fit(interval))]

    def _shorter_way(self, interval: float) -> list[str]:
        """The latency that would fit, where it is the latency alone that does not."""
        if self.wanted.latency_cycles is None:
            return []
        changed = {"aim": Aim.LATENCY, "interval_cycles": int(interval), "latency_cycles": None}
        wanted = self.wanted.model_copy(update=changed)
        try:
            quickest = Schedule(self.graph, Planner(self.graph, self.settings, wanted).chosen())
        except UserError:
            return []
        latency = quickest.latency(best_interval(quickest))
        return [f"with this interval a latency of {latency:,} cycles would fit"]

    def _what_would_fit(self, interval: float) -> list[str]:
        longest = max((float(of_layer.cycles.max()) for of_layer in self.free), default=0)
        none = ["no interval, however long, would fit: take a larger device, narrower numbers or a smaller model"]
        if interval >= longest:
            return none
        wanted = self.wanted.model_copy(update={"aim": Aim.FASTEST, "interval_cycles": None, "latency_cycles": None})
        try:
            fastest = Planner(self.graph, self.settings, wanted).chosen()
        except UserError:
            return none
        return [f"an interval of {best_interval(Schedule(self.graph, fastest)):,} cycles would fit"]
