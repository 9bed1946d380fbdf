"""HGQ2's quantizers against numbers that HGQ2 made (``samples/hgq2_quantizers/make.py``)."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from dnn2fpga.read.hgq_quantizers import QuantizerOptions, exact_weights
from dnn2fpga.tensors.basics import Unsupported

RECORDED = np.load(Path(__file__).parents[1] / "front_ends/samples/hgq2_quantizers/io.npz")
MODES = [name for name in RECORDED if "_" in name]
SIGN, INTEGER, FRACTION = (RECORDED[name] for name in "kif")
COLUMNS = np.repeat(RECORDED["x"][:, np.newaxis], len(SIGN), axis=1)


def options(mode: str = "kbi_RND_SAT", **changes: object) -> QuantizerOptions:
    kind, rest = mode.split("_", 1)
    weight, rest = rest.endswith("_weight"), rest.removesuffix("_weight")
    overflow = next(name for name in ("SAT_SYM", "SAT", "WRAP") if rest.endswith(name))
    rounding = rest.removesuffix(f"_{overflow}").removeprefix("S_")
    given = {"q_type": kind, "round_mode": rounding, "overflow_mode": overflow, "is_weight": weight}
    return QuantizerOptions.model_validate({**given, "heterogeneous_axis": [-1], **changes})


def widths() -> dict[str, np.ndarray]:
    """The variables of a quantizer alone, of both kinds."""
    single = {"i": INTEGER, "f": FRACTION, "b": INTEGER + FRACTION}
    of_channels = {name: np.float32(values)[np.newaxis] for name, values in single.items()}
    return {f"quantizer/{name}": values for name, values in of_channels.items()} | {
        "quantizer/k": SIGN.astype(np.uint8)[np.newaxis]
    }


@pytest.mark.parametrize("mode", MODES)
def test_constants_become_what_hgq2_makes_of_them(mode: str) -> None:
    np.testing.assert_array_equal(options(mode).read("", widths()).values(COLUMNS), RECORDED[mode])


@pytest.mark.parametrize("mode", [mode for mode in MODES if not mode.endswith("weight")])
def test_tensors_become_what_hgq2_makes_of_them(mode: str) -> None:
    layer = options(mode).read("", widths()).quantizer("q")
    np.testing.assert_array_equal(layer.compute(COLUMNS.astype(np.float64)), RECORDED[mode])


def test_the_recorded_numbers_tell_the_modes_apart() -> None:
    """S_RND rounds stochastically in training alone."""
    distinct = {RECORDED[mode].tobytes() for mode in MODES if mode.startswith("kif") and "S_RND" not in mode}
    assert len(distinct) == 7 * 4


def test_the_exception_for_weights_needs_a_trainable_quantizer() -> None:
    frozen = options("kif_RND_WRAP_weight", trainable=False).read("", widths())
    np.testing.assert_array_equal(frozen.values(COLUMNS), RECORDED["kif_RND_WRAP"])


@pytest.mark.parametrize(
    ("kind", "overflow", "order"),
    [
        ("kbi", "SAT", ["b", "i", "k"]),
        ("kbi", "WRAP", ["b", "k", "i", "decay"]),
        ("kif", "SAT_SYM", ["i", "f", "k"]),
        ("kif", "WRAP", ["f", "k", "i", "decay"]),
    ],
)
def test_variables_lie_in_an_order_that_depends_on_the_mode(kind: str, overflow: str, order: list[str]) -> None:
    shapes = options(f"{kind}_RND_{overflow}").arrays("iq", (1, 8, 8, 3))
    assert list(shapes) == [f"iq/quantizer/{name}" for name in order]
    assert shapes["iq/quantizer/k"] == (1, 1, 1, 3)
    assert shapes.get("iq/quantizer/decay") is None


def test_widths_are_there_for_the_axes_that_are_not_homogeneous() -> None:
    given = options(heterogeneous_axis=None, homogeneous_axis=[0, 2])
    assert given.arrays("", (1, 8, 6, 3))["quantizer/b"] == (1, 8, 1, 3)


def test_formats_that_are_equal_in_all_pixels_are_formats_of_channels() -> None:
    k, i, f = (np.broadcast_to(np.int64(values), (1, 4, 4, 2)) for values in ([1, 1], [2, 0], [3, 5]))
    arrays = {"quantizer/k": k.astype(np.uint8), "quantizer/i": np.float32(i), "quantizer/f": np.float32(f)}
    layer = options("kif_RND_SAT").read("", arrays).quantizer("q")
    assert [float(step) for step in layer.encoding.scale] == [2**-3, 2**-5]


def test_a_format_of_its_own_for_a_pixel_is_refused_with_what_helps() -> None:
    f = np.full((1, 4, 4, 2), 3, np.float32)
    arrays = {"quantizer/k": np.ones(f.shape, np.uint8), "quantizer/i": f, "quantizer/f": f.copy()}
    arrays["quantizer/f"][0, 2, 1, 0] += 1
    with pytest.raises(Unsupported, match=r"every pixel.*heterogeneous_axis=\(-1,\)"):
        options("kif_RND_SAT").read("", arrays).quantizer("q")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantizer/k": np.full((1, 10), 2, np.uint8)}, "a sign has 0 or 1 bits"),
        ({"quantizer/k": np.ones((1, 10), np.float32)}, "do not lie in the order"),
        ({"quantizer/b": np.ones((1, 10), np.uint8)}, "do not lie in the order"),
        ({"quantizer/b": np.full((1, 10), np.nan, np.float32)}, "no numbers of at most 64 bits"),
        ({"quantizer/i": np.full((1, 10), 1e9, np.float32)}, "no numbers of at most 64 bits"),
        ({"quantizer/b": np.full((1, 10), 60, np.float32)}, "61 bits; at most 48"),
    ],
)
def test_variables_that_are_no_widths_are_refused(changes: dict[str, np.ndarray], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        options("kbi_RND_SAT").read("", {**widths(), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        *({"q_type": "float"}, {"overflow_mode": "WRAP_SM"}, {"scaler": 2.0}, {"affine": [0.25, 0.5]}),
        {"bw_mapper": {"class_name": "Own"}},
    ],
)
def test_what_is_not_supported_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        options(**changes)


def test_weights_lie_on_the_coarsest_grid_of_each_output() -> None:
    weights = np.array([[0.5, 0.0, -6.0], [0.375, 0.0, 4.0]])
    exact = exact_weights(weights, np.array([0.0, 0.25, 0.0]))
    assert exact.codes.tolist() == [[4, 0, -3], [3, 0, 2]]
    assert [float(scale) for scale in exact.scale] == [0.125, 1.0, 2.0]
    np.testing.assert_array_equal(exact.float_weights, weights)


def test_weights_too_far_apart_are_refused() -> None:
    with pytest.raises(Unsupported, match="more than 48 bits"):
        exact_weights(np.array([[2.0**40], [2.0**-40]]), np.zeros(1))
