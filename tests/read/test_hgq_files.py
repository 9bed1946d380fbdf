"""What is refused in a file of HGQ2, and how it is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from changed_files import changed, unchanged

from dnn2fpga.errors import UserError
from dnn2fpga.read.front_ends import read_model

SAMPLES = Path(__file__).parents[1] / "front_ends/samples"
IMAGES, VECTORS, FUSED = (SAMPLES / name / "model.keras" for name in ("hgq2_images", "hgq2_vectors", "hgq2_fused_bn"))
WIDTHS = "layers/q_conv2d/iq/quantizer/vars"

Configs = dict[str, Any]


def setting(layer: str, *path: str, to: Any) -> Callable[[Configs], None]:
    """Another value for an option of a layer."""

    def change(layers: Configs) -> None:
        place = layers[layer]["config"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def option(layer: str, quantizer: str, name: str, to: Any) -> Callable[[Configs], None]:
    """Another value for an option of a quantizer of a layer."""
    return setting(layer, quantizer, "config", name, to=to)


def array(path: str, values: Callable[[np.ndarray], Any]) -> Callable[[h5py.File], None]:
    """Another array at a path."""

    def change(file: h5py.File) -> None:
        old = file[path][()]
        del file[path]
        file[path] = values(old)

    return change


def refusal(tmp_path: Path, source: Path, config: Any = unchanged, weights: Any = unchanged) -> str:
    with pytest.raises(UserError) as refused:
        read_model(changed(source, tmp_path / "model.keras", config, weights))
    return str(refused.value)


def test_a_copy_is_read(tmp_path: Path) -> None:
    assert read_model(changed(IMAGES, tmp_path / "model.keras")).nodes


OPTIONS = {
    "minifloat": (option("c1", "iq_conf", "q_type", "float"), r"iq_conf.q_type=float is not supported"),
    "reflecting": (option("c1", "iq_conf", "overflow_mode", "WRAP_SM"), "iq_conf.overflow_mode=WRAP_SM"),
    "unknown rounding": (option("c1", "iq_conf", "round_mode", "UP"), "round_mode=UP"),
    "a number for a mode": (option("c1", "kq_conf", "round_mode", 3), "round_mode=3"),
    "scaler": (option("c1", "kq_conf", "scaler", 2.0), "kq_conf.scaler=2.0"),
    "affine": (option("c1", "bq_conf", "affine", [0.25, 0.5]), "bq_conf.affine"),
    "own mapper": (option("c1", "iq_conf", "bw_mapper", {"class_name": "Own"}), "iq_conf.bw_mapper"),
    "no axes": (option("c1", "iq_conf", "heterogeneous_axis", None), "either a heterogeneous_axis or"),
    "an axis too many": (option("c1", "iq_conf", "heterogeneous_axis", [7]), r"axes \[7\]"),
    "an axis that is none": (option("c1", "iq_conf", "heterogeneous_axis", ["x"]), "iq_conf.heterogeneous_axis"),
    "foreign options": (setting("c1", "iq_conf", "registered_name", to="evil>Config"), "iq_conf is evil>Config"),
    "options that are none": (setting("c1", "iq_conf", to=[1]), "iq_conf"),
    "no options": (setting("c1", "iq_conf", to=None), "no options for its input quantizer"),
    "too few options": (setting("larger", "iq_confs", to=[]), "0 input quantizers for 2 inputs"),
    "half precision": (setting("c1", "dtype", to="mixed_float16"), "dtype"),
    "groups": (setting("depthwise", "groups", to=2), "groups=2: 1 and 4"),
    "dilation": (setting("c1", "dilation_rate", to=[2, 2]), "dilation_rate"),
    "channels first": (setting("c1", "data_format", to="channels_first"), "data_format"),
    "another axis": (setting("bn", "axis", to=1), "axis=1"),
    "softmax over rows": (setting("softmax", "axes", to=[0]), r"axes=\[0\]"),
    "a function of its author": (
        setting("c1", "activation", to={"class_name": "function", "config": "f"}),
        "function 'f'",
    ),
    "other filters": (setting("c1", "filters", to=5), "has shape"),
    "a layer as .h5 files have it": (
        lambda layers: layers["c1"].update(class_name="hgq>QConv2D"),
        "lies in an .h5 file",
    ),
    "a foreign layer": (lambda layers: layers["c1"].update(registered_name="evil>QConv2D"), "evil>QConv2D"),
    "a layer that is not read": (lambda layers: layers["c1"].update(registered_name="hgq>QGRU"), "hgq>QGRU"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_are_refused(name: str, tmp_path: Path) -> None:
    change, reason = OPTIONS[name]
    assert re.search(reason, refusal(tmp_path, IMAGES, config=change))


EQUATIONS = {
    "bc,dc->bd": "only a product along the last axis",
    "bc,cd->db": "only a product along the last axis",
    "cc,cd->cd": "only a product along the last axis",
    "bnc,cd->bnd": "for an input of shape",
    "(" * 60: "only a product along the last axis",
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_equations_that_are_no_dense_layer(equation: str, tmp_path: Path) -> None:
    change = setting("d2", "equation", to=equation)
    assert EQUATIONS[equation] in refusal(tmp_path, VECTORS, config=change)


ARRAYS = {
    "a sign of 2": (array(f"{WIDTHS}/1", lambda k: 0 * k + 2), "a sign has 0 or 1 bits"),
    "real signs": (array(f"{WIDTHS}/1", lambda k: k.astype(np.float32)), "do not lie in the order of HGQ2"),
    "whole widths": (array(f"{WIDTHS}/0", lambda f: f.astype(np.uint8)), "do not lie in the order of HGQ2"),
    "no number": (array(f"{WIDTHS}/0", lambda f: f * np.nan), "NaN"),
    "a binary point far away": (array(f"{WIDTHS}/0", lambda f: f * 0 + 1e6), "at most 64 bits"),
    "too many bits": (array(f"{WIDTHS}/0", lambda f: f * 0 + 60), "at most 48"),
    "another shape": (array(f"{WIDTHS}/0", lambda f: f.reshape(-1)), r"iq/quantizer/f has shape \(2,\)"),
    "an array more": (lambda file: file.create_dataset(f"{WIDTHS}/4", data=1.0), "has 5 arrays"),
    "an array less": (lambda file: file.__delitem__(f"{WIDTHS}/3"), "has 3 arrays"),
    "no quantizer": (lambda file: file.__delitem__("layers/q_conv2d/iq"), "has 0 arrays"),
    "infinite weights": (array("layers/q_conv2d/vars/0", lambda w: w + np.inf), "infinite"),
    "weights that are too large": (array("layers/q_conv2d_2/vars/0", lambda w: 0 * w + 1e30), "more than 48 bits"),
    "a variance below 0": (array("layers/q_batch_normalization/vars/2", lambda v: 0 * v - 1), "must be positive"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_refused(name: str, tmp_path: Path) -> None:
    change, reason = ARRAYS[name]
    assert re.search(reason, refusal(tmp_path, IMAGES, weights=change))


def test_links_and_promises_in_quantizers_are_refused(tmp_path: Path) -> None:
    def elsewhere(file: h5py.File) -> None:
        del file[f"{WIDTHS}/0"]
        file[f"{WIDTHS}/0"] = h5py.ExternalLink("/dev/zero", "/f")

    def enormous(file: h5py.File) -> None:
        del file[f"{WIDTHS}/0"]
        file.create_dataset(f"{WIDTHS}/0", (60000, 60000), np.float32, chunks=(1000, 1000), compression="gzip")

    assert "never followed" in refusal(tmp_path, IMAGES, weights=elsewhere)
    assert "has shape (60000, 60000)" in refusal(tmp_path, IMAGES, weights=enormous)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(
        tmp_path, IMAGES, weights=lambda file: [ARRAYS[name][0](file) for name in ("a sign of 2", "a variance below 0")]
    )
    assert "layer 'c1' (QConv2D): its input quantizer has k = 2" in told
    assert "layer 'bn' (QBatchNormalization): its variances must be positive" in told


def test_batch_normalizations_are_computed_as_hgq2_does(tmp_path: Path) -> None:
    """The epsilon of QEinsumDenseBatchnorm is in the file, and counts for nothing."""
    path = changed(FUSED, tmp_path / "model.keras", setting("e1", "epsilon", to=0.5))
    x = np.load(FUSED.with_name("io.npz"))["x"]
    np.testing.assert_array_equal(read_model(path).run(x), read_model(FUSED).run(x))
    other = changed(FUSED, tmp_path / "other.keras", setting("b2", "epsilon", to=0.5))
    assert (read_model(other).run(x) != read_model(FUSED).run(x)).any()
