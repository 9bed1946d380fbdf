"""SavedModel folders of Keras 2."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_graphs import layer
from saved_models import field, save, table

from dnn2fpga.errors import UserError
from dnn2fpga.read import sstable
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.protobuf import DamagedMessage
from dnn2fpga.read.saved_model import DATA, INDEX, METADATA
from dnn2fpga.read.settings import ReadSettings

SAMPLE = Path(__file__).parents[1] / "front_ends" / "samples" / "keras2_savedmodel" / "saved_model"
KERNEL, BIAS = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([7, 8, 9])


def input_layer(*shape: int) -> dict[str, Any]:
    return {"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": tuple_of(None, *shape)}}


def tuple_of(*items: Any) -> dict[str, Any]:
    return {"class_name": "__tuple__", "items": list(items)}


def sequential(name: str, *layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def dense(name: str, units: int = 3) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": name, "trainable": True, "units": units}}


def one_layer(folder: Path, **changed: Any) -> Path:
    arrays = {"layer_with_weights-0/kernel": KERNEL, "layer_with_weights-0/bias": BIAS}
    config = sequential("m", input_layer(2), dense("d"))
    return save(folder, config, {"layer_with_weights-0": "d"}, arrays, **changed)


def refusal(folder: Path, settings: ReadSettings | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read_model(folder, settings)
    return str(caught.value)


def test_checksums() -> None:
    """The value that every description of CRC-32C names."""
    crc = (sstable.masked_crc(b"123456789") - 0xA282EAD8) & 0xFFFFFFFF
    assert (crc << 15 | crc >> 17) & 0xFFFFFFFF == 0xE3069283


def test_a_table_of_many_blocks() -> None:
    """As TensorFlow writes it: keys shortened by what they share with the one before (in the sample)."""
    entries = sstable.entries(memoryview((SAMPLE / INDEX).read_bytes()))
    assert [key.split("/.")[0] for key in entries if key.startswith("layer_with_weights-1")] == [
        f"layer_with_weights-1/{name}" for name in ("beta", "gamma", "moving_mean", "moving_variance")
    ]
    assert {len(value) for value in sstable.entries(memoryview(table({b"a": b"x", b"b": b"y"}))).values()} == {1}


def test_a_model(tmp_path: Path) -> None:
    graph = read_model(one_layer(tmp_path / "m"))
    np.testing.assert_array_equal(graph.run(np.float32([[1, 1]])), [[5 + 7, 7 + 8, 9 + 9]])
    assert graph.origin is not None
    assert len(graph.origin.sha256) == 64


def test_models_inside_and_layers_of_one_name(tmp_path: Path) -> None:
    """Arrays are found by the path of the object; a depthwise kernel has a name of its own there."""
    inner = sequential("inner", input_layer(2), dense("d", 2))
    config = sequential("m", input_layer(2), inner, dense("d", 2))
    depth = "layer_with_weights-0"
    names = {depth: "inner", f"{depth}/{depth}": "d", "layer_with_weights-1": "d"}
    one, ten, zero = np.float32([[1, 0], [0, 1]]), np.float32([[10, 0], [0, 10]]), np.zeros(2, np.float32)
    arrays = {
        f"{depth}/{depth}/kernel": one,
        f"{depth}/{depth}/bias": np.float32([1, 2]),
        "layer_with_weights-1/kernel": ten,
        "layer_with_weights-1/bias": zero,
    }
    graph = read_model(save(tmp_path / "m", config, names, arrays))
    np.testing.assert_array_equal(graph.run(np.float32([[1, 1]])), [[20, 30]])


def test_a_depthwise_kernel(tmp_path: Path) -> None:
    conv = layer("DepthwiseConv2D", name="w", kernel_size=tuple_of(1, 1), use_bias=False)
    arrays = {"layer_with_weights-0/depthwise_kernel": np.float32([2, 3]).reshape(1, 1, 2, 1)}
    config = sequential("m", input_layer(1, 1, 2), conv)
    graph = read_model(save(tmp_path / "m", config, {"layer_with_weights-0": "w"}, arrays))
    np.testing.assert_array_equal(graph.run(np.float32([[[[1, 1]]]])), [[[[2, 3]]]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": 7}, "its kernel is no whole array of numbers of at most 64 bits"),
        ({"further": field(7, b"")}, "its kernel is no whole array"),
        ({"shape": (2, 4)}, "its kernel has shape (2, 4) in the file; the configuration says (2, 3)"),
        ({"size": 20}, "its kernel is said to have 20 bytes in part 0, which does not suit its shape"),
        ({"shard": 1}, "its kernel is said to have 24 bytes in part 1"),
        ({"header": field(1, 1) + field(2, 1)}, "its numbers are big-endian"),
    ],
)
def test_refused_arrays(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert message in refusal(one_layer(tmp_path / "m", **changed))


def test_what_lies_outside_of_the_file(tmp_path: Path) -> None:
    folder = one_layer(tmp_path / "m")
    data = folder / DATA.format(0, 1)
    data.write_bytes(data.read_bytes()[:-1])
    assert "its bias lies outside of the file (bytes 24 to 36 of 35)" in refusal(folder)


def test_a_layer_without_arrays(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", sequential("m", input_layer(2), dense("d")), {}, {"a/b": KERNEL})
    assert "layer 'd' (Dense): has 0 arrays in the file" in refusal(folder)


def test_missing_parts_and_links(tmp_path: Path) -> None:
    for name in (INDEX, DATA.format(0, 1)):
        folder = one_layer(tmp_path / name.replace("/", "_"))
        (folder / name).rename(tmp_path / "elsewhere")
        assert "there is no such file; copy the whole folder" in refusal(folder)
        (folder / name).symlink_to(tmp_path / "elsewhere")
        assert "is a link to somewhere else, which is never followed" in refusal(folder)


def test_a_damaged_index(tmp_path: Path) -> None:
    folder = one_layer(tmp_path / "m")
    content = bytearray((folder / INDEX).read_bytes())
    content[20] ^= 1
    (folder / INDEX).write_bytes(content)
    assert "the checksum of a block is wrong" in refusal(folder)
    (folder / INDEX).write_bytes(content[:-1])
    assert "its last bytes are not those of a table" in refusal(folder)
    with pytest.raises(DamagedMessage, match="lies outside of the file"):
        sstable.entries(memoryview(content[-48:]))


def test_no_configuration(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "m")
    (tmp_path / "m" / METADATA).unlink()
    assert "its operations are never run; save the Keras model itself" in refusal(tmp_path / "m")
    (tmp_path / "m" / METADATA).write_bytes(b"")
    assert "describes no model" in refusal(tmp_path / "m")
    (tmp_path / "m" / METADATA).write_bytes(b"\xff")
    assert "is damaged" in refusal(tmp_path / "m")


def test_a_class_of_an_author_and_weights_of_another_file(tmp_path: Path) -> None:
    config = {"class_name": "MyModel", "config": {}}
    assert "a Sequential or Functional model is needed, not 'MyModel'" in refusal(save(tmp_path / "m", config, {}, {}))
    settings = ReadSettings(weights=tmp_path / "w.h5")
    assert "holds its own weights; leave --weights out" in refusal(one_layer(tmp_path / "n"), settings)
