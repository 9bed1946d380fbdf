"""Static quantization by onnxruntime, and a record of every tensor with and without its graph optimizations."""

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

PACKAGES = ("onnx", "onnxruntime")


class _Frames(CalibrationDataReader):
    def __init__(self, source: str, frames: np.ndarray):
        self.batches = iter([{source: frame[None]} for frame in frames])

    def get_next(self):
        return next(self.batches, None)


def quantize(float_model: str, frames: np.ndarray, form: QuantFormat, activations: QuantType, **options) -> None:
    """Write `model.onnx` from a float model: int8 weights per channel, `activations` in int8 or uint8."""
    source = onnx.load(float_model).graph.input[0].name
    quantize_static(
        float_model,
        "model.onnx",
        _Frames(source, frames),
        quant_format=form,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        per_channel=True,
        **options,
    )


def _session(model: onnx.ModelProto, optimize: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def record(x: np.ndarray, traced: int | None = None) -> dict[str, np.ndarray]:
    """Run frame by frame: `y` and `t_<tensor>` without graph optimizations, `y_optimized` and `o_<tensor>` with them.

    Every tensor but those of DequantizeLinear is made an output for that, so less is fused than otherwise; only
    `y_optimized` is of the file as it is.
    Tensors are of the first `traced` frames. `o_<tensor>` is recorded for codes only, where it differs from `t_`.
    """
    model = onnx.load("model.onnx")
    source, sink = model.graph.input[0].name, model.graph.output[0].name
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    inner = [
        name
        for node in model.graph.node
        for name in node.output
        if node.op_type != "DequantizeLinear" and name != sink and not set(node.input) <= constants
    ]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inner)
    print("  " + " ".join(node.op_type for node in model.graph.node))

    def run(session: onnxruntime.InferenceSession, names: list[str]) -> list[np.ndarray]:
        frames = [session.run(names, {source: frame[None]}) for frame in x]
        return [np.concatenate(values) for values in zip(*frames, strict=True)]

    plain, fused = _session(watched, optimize=False), _session(watched, optimize=True)
    names = [sink, *inner]
    arrays = {"x": x}
    for name, value, other in zip(names, run(plain, names), run(fused, names), strict=True):
        if value.shape[:1] == (len(x),):
            arrays["y" if name == sink else f"t_{name}"] = value if name == sink else value[:traced]
            if value.dtype.kind in "iu" and not np.array_equal(value, other):
                arrays[f"o_{name}"] = other[:traced]
    arrays["y_optimized"] = run(_session(model, optimize=True), [sink])[0]
    far = np.abs(arrays["y"].astype(float) - arrays["y_optimized"])
    print(f"  optimized: {np.count_nonzero(far)} of {far.size} outputs differ, by up to {far.max():.3g}")
    return arrays
