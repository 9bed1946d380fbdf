"""Faults planted in the folded engine: every one changes the integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Value
from folded_cases import S5, oracle, vectors_for
from small_products import product
from stream_bench import run_component

from rtl_lib.core.formats import Format
from rtl_lib.matrix.folded import epilogue as turn_finish
from rtl_lib.matrix.folded import sums as folded_sums
from rtl_lib.matrix.folded.engine import TurnGatherer
from rtl_lib.matrix.folded.multipliers import DspProducts, Products
from rtl_lib.matrix.matrix_product import Engine


def fault_borrow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DspProducts, "stored", Products.stored)


def fault_carry(patch: pytest.MonkeyPatch) -> None:
    honest = DspProducts.terms

    def without(*given: Any) -> Any:
        result = honest(*given)
        for term in result:
            term.carries = [Const(0, 1)] * len(term.carries)
        return result

    patch.setattr(DspProducts, "terms", without)


def fault_pair(patch: pytest.MonkeyPatch) -> None:
    """The two products of a block are swapped."""
    honest = DspProducts.terms

    def swapped(*given: Any) -> Any:
        first, second, *rest = honest(*given)
        return [second, first, *rest]

    patch.setattr(DspProducts, "terms", swapped)


def first_turn(index: Value, constants: Any) -> Value:
    return Const(constants[0], Format.containing(min(constants), max(constants)).shape)


def fault_bias_of_a_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(folded_sums, "constant_of", first_turn)


def fault_scale_of_a_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turn_finish, "constant_of", first_turn)


def fault_order_of_weights(patch: pytest.MonkeyPatch) -> None:
    honest = folded_sums.read_only
    patch.setattr(folded_sums, "read_only", lambda m, name, rows, *rest: honest(m, name, rows[:, ::-1], *rest))


def fault_order_of_turns(patch: pytest.MonkeyPatch) -> None:
    honest = folded_sums.read_only
    patch.setattr(folded_sums, "read_only", lambda m, name, rows, *rest: honest(m, name, np.roll(rows, 1, 0), *rest))


def fault_results_of_a_turn(patch: pytest.MonkeyPatch) -> None:
    """One beat too early."""
    honest = TurnGatherer.__init__

    def short(self: TurnGatherer, turn: Any, outputs: int) -> None:
        honest(self, turn, outputs)
        self.parts -= 1

    patch.setattr(TurnGatherer, "__init__", short)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    name.removeprefix("fault_"): value for name, value in list(globals().items()) if name.startswith("fault_")
}


@pytest.mark.parametrize("lanes", [6, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_shows(fault: str, lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(4).integers(-8, 8, (6, 5))
    spec = product(
        weights,
        S5,
        bias=[9, -40, 30, 5, -7],
        multiplier=[3, 5, 7, -2, 9],
        shift=[2, 3, 4, 1, 5],
        lanes=lanes,
        output_format=Format(True, 12),
    )
    x, options = vectors_for(spec, 8), {"pe": 2, "simd": 2}
    expected = oracle(spec, x.tolist())
    right = run_component(spec.create(Engine.FOLDED, **options), x.reshape(-1, lanes), 8)
    assert right.outputs.tolist() == expected
    FAULTS[fault](monkeypatch)
    wrong = run_component(spec.create(Engine.FOLDED, **options), x.reshape(-1, lanes), 8)
    assert wrong.outputs.tolist() != expected
