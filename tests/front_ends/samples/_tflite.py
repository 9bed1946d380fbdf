"""Conversion to int8 and a record of what four interpreters compute."""

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime

PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "tflite-micro")
tf.config.experimental.enable_op_determinism()


def train(model: keras.Model, frames: np.ndarray, targets: np.ndarray, loss: str, epochs: int = 6) -> None:
    model.compile(keras.optimizers.Adam(4e-3), loss)
    model.fit(frames, targets, epochs=epochs, batch_size=32, verbose=0)


def convert(model: keras.Model, frames: np.ndarray, ports: tf.DType = tf.int8, dense_per_channel: bool = True) -> None:
    """Write `model.tflite`: int8 inside, `ports` at input and output."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([frame[None]] for frame in frames[:100])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = ports
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not dense_per_channel
    with open("model.tflite", "wb") as file:
        file.write(converter.convert())


def to_input(frames: np.ndarray) -> np.ndarray:
    """Frames in the number format of the file's input."""
    details = Interpreter("model.tflite").get_input_details()[0]
    if details["dtype"] == np.float32:
        return frames
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(frames / np.float32(scale)) + zero, limits.min, limits.max).astype(details["dtype"])


def _run(resolver: OpResolverType, x: np.ndarray, preserve: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    interpreter = Interpreter(
        "model.tflite",
        num_threads=1,
        experimental_op_resolver_type=resolver,
        experimental_preserve_all_tensors=preserve,
    )
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    kinds = {detail["index"]: detail["dtype"] for detail in interpreter.get_tensor_details()}
    inner = [
        index
        for operator in interpreter._get_ops_details()
        if operator["op_name"] != "DELEGATE"
        for index in operator["outputs"]
        if kinds[index] in (np.int8, np.uint8, np.float32)
    ]
    y, tensors = [], {index: [] for index in (inner if preserve else [])}
    for frame in x:
        interpreter.set_tensor(source, frame[None])
        interpreter.invoke()
        y.append(interpreter.get_tensor(sink)[0])
        for index, values in tensors.items():
            values.append(interpreter.get_tensor(index)[0])
    if preserve:
        print("  " + " ".join(operator["op_name"] for operator in interpreter._get_ops_details()))
    return np.array(y), {f"t_{index}": np.array(values) for index, values in tensors.items()}


def _run_micro(x: np.ndarray) -> np.ndarray:
    interpreter = runtime.Interpreter.from_file("model.tflite")
    y = []
    for frame in x:
        interpreter.set_input(frame[None], 0)
        interpreter.invoke()
        y.append(interpreter.get_output(0)[0].copy())
    return np.array(y)


def record(x: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of four interpreters, and `t_<tensor index>` of every activation under the reference kernels."""
    reference, tensors = _run(OpResolverType.BUILTIN_REF, x, preserve=True)
    builtin, _ = _run(OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, x, preserve=False)
    xnnpack, _ = _run(OpResolverType.AUTO, x, preserve=False)
    micro = _run_micro(x)
    for name, other in (("builtin", builtin), ("xnnpack", xnnpack), ("tflm", micro)):
        print(f"  {name}: {np.count_nonzero(other != reference)} of {reference.size} outputs differ from the reference")
    return {"x": x, "y_ref": reference, "y_builtin": builtin, "y_xnnpack": xnnpack, "y_tflm": micro, **tensors}
