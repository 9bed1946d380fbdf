"""model.yaml and weights.npz: the same bytes every time, and every hand edit that cannot work is named."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from specimens import quantized_networks

from dnn2fpga.errors import UserError
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.pooling import MaxPooling
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify

Edit = Callable[[dict[str, Any], dict[str, np.ndarray]], Any]


@pytest.fixture(scope="module")
def graph() -> QuantizedGraph:
    return tiny.quantized_graph()


@pytest.fixture
def folder(tmp_path: Path, graph: QuantizedGraph) -> Path:
    config_files.save(graph, tmp_path)
    return tmp_path


def edit(folder: Path, change: Edit) -> None:
    """Change both files as a person would."""
    model = yaml.safe_load((folder / "model.yaml").read_text())
    with np.load(folder / "weights.npz") as archive:
        arrays = dict(archive)
    change(model, arrays)
    (folder / "model.yaml").write_text(yaml.safe_dump(model, sort_keys=False))
    np.savez(folder / "weights.npz", **arrays)


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        config_files.load(folder)
    return caught.value.problems


def test_what_is_loaded_computes_the_same_and_is_saved_as_the_same_bytes(
    folder: Path, graph: QuantizedGraph, tmp_path: Path
) -> None:
    loaded = config_files.load(folder)
    q = graph.input.quantize(tiny.samples())
    np.testing.assert_array_equal(loaded.run(q), graph.run(q))
    again = tmp_path / "again"
    again.mkdir()
    config_files.save(loaded, again)
    for name in ("model.yaml", "weights.npz"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


@settings(max_examples=30)
@given(quantized_networks())
def test_every_network_survives_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, network: tuple[QuantizedGraph, np.ndarray]
) -> None:
    quantized, frames = network
    folder = tmp_path_factory.mktemp("network")
    config_files.save(quantized, folder)
    np.testing.assert_array_equal(config_files.load(folder).run(frames), quantized.run(frames))


WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import tiny
from dnn2fpga import flow
from dnn2fpga.graph import files as config_files
folder = Path(sys.argv[1])
config_files.save(tiny.quantized_graph(), folder)
flow.generate(folder)
"""


def test_two_runs_two_folders_two_hash_seeds_give_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for seed in ("1", "2"):
        folder = tmp_path / f"folder {seed}"
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run(
            [sys.executable, "-c", WRITE, folder, str(Path(__file__).parents[1])],
            check=True,
            env=environment,
            cwd=folder,
        )
        written.append(
            {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        )
    assert "bundle/rtl/accelerator.v" in written[0]
    assert written[0] == written[1]


def test_the_version_before_is_still_read(tmp_path: Path) -> None:
    """A file of version 2, as it was written, is the same network."""
    old, new = config_files.load(Path(__file__).with_name("format_2")), tiny.quantized_graph()
    q = new.input.quantize(tiny.samples())
    np.testing.assert_array_equal(old.run(q), new.run(q))
    assert (old.tasks, old.notes, old.tensors) == (new.tasks, new.notes, new.tensors)
    for name, graph in (("old", old), ("new", new)):
        (tmp_path / name).mkdir()
        config_files.save(graph, tmp_path / name)
    assert (tmp_path / "old" / "model.yaml").read_bytes() == (tmp_path / "new" / "model.yaml").read_bytes()


def _layer(model: dict[str, Any], name: str) -> dict[str, Any]:
    return next(layer for layer in model["layers"] if layer["name"] == name)


# what is edited → (the edit, the layer in the message, what else it must say)
EDITS: dict[str, tuple[Edit, str, str]] = {
    "unknown key": (
        lambda m, a: _layer(m, "conv").update(stride=[1, 1]),
        "conv",
        "unknown key 'stride'; did you mean 'strides'?",
    ),
    "unknown output key": (
        lambda m, a: _layer(m, "conv")["output"].update(sign=True),
        "conv",
        "unknown key 'output.sign'",
    ),
    "unknown key at the top": (lambda m, a: m.update(note=[]), "", "unknown key 'note'; did you mean 'notes'?"),
    "unknown input key": (
        lambda m, a: m["inputs"]["input"].update(lane=1),
        "",
        "unknown key 'inputs.input.lane'; did you mean 'lanes'?",
    ),
    "missing key": (lambda m, a: _layer(m, "conv").pop("weight_width"), "conv", "the key 'weight_width' is missing"),
    "missing name": (lambda m, a: _layer(m, "conv").pop("name"), "number 0", "missing"),
    "missing input": (lambda m, a: m.pop("inputs"), "", "the key 'inputs' is missing"),
    "wrong kind": (lambda m, a: _layer(m, "conv").update(kind="conv3d"), "conv", "kind must be one of"),
    "no kind": (lambda m, a: _layer(m, "conv").pop("kind"), "conv", "kind must be one of"),
    "listed kind": (lambda m, a: _layer(m, "conv").update(kind=["conv2d"]), "conv", "kind must be one of"),
    "missing array": (lambda m, a: a.pop("conv/weights"), "conv", "the array 'conv/weights' is missing"),
    "wrong lanes": (lambda m, a: _layer(m, "conv")["output"].update(lanes=1), "conv", "lanes"),
    "lanes that do not divide": (lambda m, a: _layer(m, "conv")["output"].update(lanes=7), "conv", "lanes must divide"),
    "wrong input": (
        lambda m, a: _layer(m, "pool").update(inputs=["relu"]),
        "",
        "'pool' reads 'relu', which does not exist",
    ),
    "no inputs": (lambda m, a: _layer(m, "pool").pop("inputs"), "pool", "inputs must be a list of the tensors"),
    "two inputs": (
        lambda m, a: _layer(m, "pool").update(inputs=["conv", "input"]),
        "pool",
        "must read one tensor, not 2",
    ),
    "unread": (lambda m, a: _layer(m, "scale").update(inputs=["conv"]), "", "nothing reads 'pool'"),
    "no such output": (lambda m, a: m["outputs"][0].update(tensor="end"), "", "the output 'end' does not exist"),
    "wrong version": (lambda m, a: m.update(format_version=1), "", "format_version must be 3 or 2, not 1"),
    "duplicate name": (
        lambda m, a: m["layers"].append(dict(m["layers"][-1], inputs=["dense"])),
        "dense",
        "the name 'dense' is used 2 times",
    ),
    "weights too wide": (
        lambda m, a: a.update({"conv/weights": a["conv/weights"].astype(int) * 1000}),
        "conv",
        "weights must be of the set 'integer' in 8 bits",
    ),
    "narrower weights": (
        lambda m, a: _layer(m, "conv").update(weight_width=3),
        "conv",
        "weights must be of the set 'integer' in 3 bits",
    ),
    "float weights": (lambda m, a: a.update({"conv/weights": a["conv/weights"] * 1.0}), "conv", "array of integers"),
    "flat weights": (lambda m, a: a.update({"conv/weights": a["conv/weights"].reshape(-1)}), "conv", ""),
    "scalar weights": (lambda m, a: a.update({"conv/weights": np.int8(1)}), "conv", ""),
    "scalar bias": (lambda m, a: a.update({"dense/bias": np.int8(1)}), "dense", "bias must have shape"),
    "short shift": (lambda m, a: a.update({"dense/shift": a["dense/shift"][:1]}), "dense", "shift must have shape"),
    "negative shift": (
        lambda m, a: a.update({"dense/shift": a["dense/shift"] * 0 - 1}),
        "dense",
        "shift must not be negative",
    ),
    "huge shift": (lambda m, a: a.update({"dense/shift": a["dense/shift"] * 0 + 70}), "dense", "does not fit 64-bit"),
    "huge multiplier": (lambda m, a: a.update({"dense/multiplier": np.full(3, 2**60)}), "dense", "does not fit 64-bit"),
    "huge bias": (lambda m, a: a.update({"dense/bias": np.full(3, 2**62)}), "dense", ""),
    "no offset": (lambda m, a: a.update({"scale/offset": a["scale/offset"][:1]}), "scale", "same length"),
    "short table": (lambda m, a: a.update({"tanh/table": a["tanh/table"][:5]}), "tanh", "entries"),
    "wide table": (lambda m, a: a.update({"tanh/table": a["tanh/table"].astype(int) * 99}), "tanh", "output format"),
    "wrong average": (
        lambda m, a: a.update({"average/multiplier": a["average/multiplier"][:1]}),
        "average",
        "multiplier must have",
    ),
    "no average": (
        lambda m, a: a.update({"average/multiplier": np.zeros((0, 3), int)}),
        "average",
        "multiplier must have",
    ),
    "negative average": (lambda m, a: a.update({"average/multiplier": np.full((3, 3), -(2**60))}), "average", ""),
    "other weights": (
        lambda m, a: _layer(m, "conv").update(weight_set="power_of_two", weight_width=5),
        "conv",
        "weights must be of the set 'power_of_two' in 5 bits",
    ),
    "width without weights": (
        lambda m, a: _layer(m, "conv").update(weight_set="ternary"),
        "conv",
        "weight set 'ternary' has 2 bits, not 8",
    ),
    "weights too far apart": (
        lambda m, a: (
            _layer(m, "conv").update(weight_symmetry="asymmetric"),
            a.update({"conv/weights": a["conv/weights"] * np.int16(9)}),
        ),
        "conv",
        "must lie within 2^8 integers around 0",
    ),
    "scale of a channel too many": (
        lambda m, a: _layer(m, "conv")["output"].update(scale=[0.5, 1.0, 2.0]),
        "conv",
        "scale must be one number, or one for each of the 2 lanes",
    ),
    "negative scale of a channel": (
        lambda m, a: _layer(m, "conv")["output"].update(scale=[0.5, -1.0]),
        "conv",
        "output.scale",
    ),
    "zero point outside": (
        lambda m, a: m["inputs"]["input"].update(zero_point=300),
        "",
        "zero_point must lie in the format",
    ),
    "zero points of too few channels": (
        lambda m, a: _layer(m, "conv")["output"].update(zero_point=[1]),
        "conv",
        "zero_point must be one number, or one for each of the 2 lanes",
    ),
    "other zero point of a pool": (
        lambda m, a: _layer(m, "pool")["output"].update(zero_point=1),
        "pool",
        "must keep the format",
    ),
    "clamps of too many channels": (
        lambda m, a: _layer(m, "conv").update(low=[0, 0, 0]),
        "conv",
        "low must be one integer, or one for each of the 2 lanes",
    ),
    "low above high in a channel": (
        lambda m, a: _layer(m, "conv").update(low=[0, 9], high=[9, 8]),
        "conv",
        "low must not be above high",
    ),
    "NaN scale": (lambda m, a: _layer(m, "conv")["output"].update(scale=float("nan")), "conv", "output.scale"),
    "negative scale": (lambda m, a: m["inputs"]["input"].update(scale=-1.0), "", "input.scale"),
    "word width": (lambda m, a: m["inputs"]["input"].update(width="eight"), "", "input.width"),
    "width 99": (lambda m, a: _layer(m, "conv")["output"].update(width=99), "conv", "output.width"),
    "empty shape": (lambda m, a: m["inputs"]["input"].update(shape=[]), "", "input.shape"),
    "shape of zero": (lambda m, a: m["inputs"]["input"].update(shape=[0, 6, 1]), "", "input.shape"),
    "vector input": (lambda m, a: m["inputs"]["input"].update(shape=[36]), "conv", ""),
    "kernel that does not fit": (
        lambda m, a: (m["inputs"]["input"].update(shape=[1, 1, 1]), _layer(m, "conv").update(padding="valid")),
        "conv",
        "",
    ),
    "other format of a pool": (
        lambda m, a: _layer(m, "pool")["output"].update(width=5),
        "pool",
        "must keep the format",
    ),
    "other pool shape": (lambda m, a: _layer(m, "pool")["output"].update(shape=[9, 1, 2]), "pool", "shape"),
    "other conv shape": (lambda m, a: _layer(m, "conv")["output"].update(shape=[5, 5, 2]), "conv", "shape"),
    "other size of a reshape": (
        lambda m, a: _layer(m, "flat")["output"].update(shape=[20]),
        "flat",
        "number of elements",
    ),
    "stride 0": (lambda m, a: _layer(m, "conv").update(strides=[0, 1]), "conv", "strides"),
    "padding": (lambda m, a: _layer(m, "conv").update(padding="full"), "conv", "padding"),
    "low above high": (lambda m, a: _layer(m, "conv").update(low=9, high=3), "conv", "low must not be above high"),
    "clamp outside": (lambda m, a: _layer(m, "conv").update(high=99999), "conv", "must lie in the output format"),
    "wrapping clamp": (
        lambda m, a: _layer(m, "conv").update(arithmetic={"overflow": "wrap"}, high=100),
        "conv",
        "with overflow 'wrap'",
    ),
    "one half of a second line": (
        lambda m, a: a.update({"scale/negative_offset": a["scale/offset"]}),
        "scale",
        "negative_multiplier and negative_offset must both be given, or none of them",
    ),
    "short second line": (
        lambda m, a: a.update({f"dense/negative_{name}": a[f"dense/{name}"][:1] for name in ("multiplier", "offset")}),
        "dense",
        "negative_multiplier must have shape (3,), not (1,)",
    ),
    "second line too wide": (
        lambda m, a: a.update({f"dense/negative_{name}": np.full(3, 2**60) for name in ("multiplier", "offset")}),
        "dense",
        "does not fit 64-bit",
    ),
    "rounding": (lambda m, a: _layer(m, "conv")["arithmetic"].update(rounding="up"), "conv", "arithmetic.rounding"),
    "name with a space": (lambda m, a: m.update(name="my model"), "", "name"),
    "layers as text": (lambda m, a: m.update(layers="none"), "", "layers"),
    "a layer as text": (lambda m, a: m["layers"].append("one more"), "", "layers[7]"),
    "no layers": (lambda m, a: m["layers"].clear(), "", "at least one layer"),
    "decision": (lambda m, a: m.update(decision="oracle"), "", "decision"),
    "task": (
        lambda m, a: m["outputs"][0]["task"].update(kind="binary", threshold=0),
        "",
        "binary needs one output",
    ),
    "unknown task": (lambda m, a: m["outputs"][0]["task"].update(kind="class"), "", "task.kind"),
    "unknown task key": (lambda m, a: m["outputs"][0]["task"].update(label="one_hot"), "", "did you mean 'labels'?"),
    "threshold": (lambda m, a: m["outputs"][0]["task"].update(threshold=0.5), "", "threshold must be null for classes"),
}


@pytest.mark.parametrize("name", EDITS)
def test_wrong_edits_are_named(folder: Path, name: str) -> None:
    change, layer, expected = EDITS[name]
    edit(folder, change)
    found = problems(folder)
    assert all(str(folder) in problem for problem in found)
    assert any(expected in problem and layer in problem for problem in found), found


def test_all_problems_are_told_at_once(folder: Path) -> None:
    def change(model: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        _layer(model, "conv").update(stride=1)
        _layer(model, "pool").update(kind="pol")
        arrays.pop("dense/bias")
        arrays.pop("dense/weights")

    edit(folder, change)
    found = "\n".join(problems(folder))
    for part in (
        "'conv': unknown key 'stride'",
        "'pool': kind",
        "'dense/bias' is missing",
        "'dense/weights' is missing",
    ):
        assert part in found


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"PK\x03\x04", pickle.dumps({"conv/weights": 1})],
    ids=["empty", "text", "header", "pickle"],
)
def test_unreadable_arrays(folder: Path, content: bytes) -> None:
    (folder / "weights.npz").write_bytes(content)
    assert "weights.npz: cannot be read as an .npz" in problems(folder)[0]


def test_truncated_missing_and_foreign_arrays(folder: Path) -> None:
    file = folder / "weights.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    assert "weights.npz: cannot be read" in problems(folder)[0]
    np.save(folder / "one.npy", np.zeros(3, int))
    (folder / "one.npy").rename(file)
    assert "is missing" in problems(folder)[0]
    file.unlink()
    assert "weights.npz: cannot be read" in problems(folder)[0]


class Trap:
    """Unpickling it would show."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickled_objects_are_never_loaded(folder: Path) -> None:
    np.savez(folder / "weights.npz", **{"conv/weights": np.array([Trap()], dtype=object)})
    assert "Python objects, which are never loaded" in problems(folder)[0]


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['exit']", "a: [", "\x00", "- 1", "7", ""])
def test_unreadable_yaml(folder: Path, text: str) -> None:
    (folder / "model.yaml").write_text(text)
    assert "model.yaml" in problems(folder)[0]


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=3), st.just([]), st.just({})
)


@settings(max_examples=60)
@given(st.data())
def test_no_junk_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, graph: QuantizedGraph, data: st.DataObject
) -> None:
    """Any value of model.yaml, or any array, replaced by junk: it is loaded, or refused with a message."""
    folder = tmp_path_factory.mktemp("junk")
    config_files.save(graph, folder)

    def change(model: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        if data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(arrays)))
            shape = data.draw(st.lists(st.integers(0, 3), max_size=5).map(tuple))
            value = data.draw(st.sampled_from([0, 1, -1, 200, 2**31, 2**62, -(2**63)]))
            arrays[name] = np.full(data.draw(st.sampled_from([shape, arrays[name].shape])), value)
            return
        place: Any = model
        while True:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
                place[key] = data.draw(JUNK)
                return
            place = place[key]

    edit(folder, change)
    told = None
    try:
        loaded = config_files.load(folder)
        loaded.run(np.zeros((1, *loaded.input.shape), int))
    except UserError as error:
        told = error.problems
    assert told is None or all(str(folder) in problem for problem in told)


def test_a_network_without_weights(tmp_path: Path) -> None:
    """The archive of a network without weights has no members, so that it begins with its own end."""
    graph = simplify(Graph.chain("pooled", "input", (4, 4, 2), [MaxPooling("pool", (2, 2), (2, 2), "valid")]))
    x = np.random.default_rng(0).uniform(0, 1, (8, 4, 4, 2)).astype(np.float32)
    quantized = quantize(graph, calibrate(graph, x), Quantization())
    config_files.save(quantized, tmp_path)
    assert config_files.load(tmp_path).layers == quantized.layers
