"""Export of a Brevitas module to QONNX, and a record of what Brevitas and the package qonnx compute."""

import numpy as np
import torch
from brevitas.export import export_qonnx
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from torch import nn

PACKAGES = ("brevitas", "torch", "onnx", "onnxoptimizer", "qonnx")


def _values(tensor) -> np.ndarray:
    return getattr(tensor, "value", tensor).detach().numpy()


def run_qonnx(x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Outputs of `model.onnx`, executed by the package qonnx frame by frame, and every tensor of it.

    Brevitas writes ROUND_TO_ZERO, which qonnx knows as DOWN only.
    """
    model = ModelWrapper("model.onnx").transform(InferShapes())
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.s.upper() == b"ROUND_TO_ZERO":
                attribute.s = b"DOWN"
    source, sink = model.graph.input[0].name, model.graph.output[0].name
    tensors: dict[str, list[np.ndarray]] = {}
    for frame in x:
        for name, value in execute_onnx(model, {source: frame[None]}, return_full_exec_context=True).items():
            tensors.setdefault(name, []).append(value)
    constants = {tensor.name for tensor in model.graph.initializer}
    arrays = {
        name: np.concatenate(values)
        for name, values in tensors.items()
        if name and name not in constants and values[0].shape[:1] == (1,) and name != source
    }
    return arrays[sink], arrays


def record(model: nn.Module, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Write `model.onnx`, and return what the module and the file compute.

    `t_<module>` are outputs of Brevitas' modules, `wint_`, `wscale_` integers and scales of weights, `ascale_` of
    activations, `y_qonnx` the outputs of the file by the package qonnx.
    """
    arrays: dict[str, np.ndarray] = {"x": x.numpy()}
    watched = {name: module for name, module in model.named_modules() if name and "." not in name}
    calls: dict[str, list[np.ndarray]] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, found, name=name: calls.setdefault(name, []).append(_values(found)))
        for name, module in watched.items()
    ]
    with torch.no_grad():
        arrays["y"] = _values(model(x))
    for hook in hooks:
        hook.remove()
    for name, values in calls.items():  # a module that is called several times is numbered
        several = len(values) > 1
        arrays |= {f"t_{name}{number if several else ''}": value for number, value in enumerate(values)}
    for name, module in watched.items():
        if hasattr(module, "quant_weight"):
            weight = module.quant_weight()
            arrays[f"wscale_{name}"] = weight.scale.detach().numpy()
            arrays[f"wint_{name}"] = np.round(weight.value.detach().numpy() / arrays[f"wscale_{name}"]).astype(np.int8)
        if hasattr(module, "act_quant") and module.act_quant.is_quant_enabled:
            arrays[f"ascale_{name}"] = module.act_quant.scale().detach().numpy()
    export_qonnx(model, args=x[:1], export_path="model.onnx", opset_version=17, dynamo=False)
    arrays["y_qonnx"], _ = run_qonnx(arrays["x"])
    print("  qonnx differs by up to", np.abs(arrays["y"] - arrays["y_qonnx"]).max())
    return arrays
