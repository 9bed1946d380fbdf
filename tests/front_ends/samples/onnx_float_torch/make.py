"""ONNX float: a residual network as torch's two exporters write it, model.onnx by TorchScript and model_dynamo.onnx.

Both have the same weights, with batch normalizations folded. `y_torch` are the outputs of torch, `y` and `t_<tensor>`
of model.onnx those of onnxruntime without graph optimizations, frame by frame, every tensor made an output (the
tensors of the first 6); `y_optimized` with all optimizations and the file as it is; `y_dynamo` of model_dynamo.onnx
without.
"""

import sys

sys.path.insert(0, "..")
import onnx
import onnxruntime
import torch
from _common import finish, pictures
from _networks import Residual, export
from _onnxruntime import PACKAGES, record
from _torch import channels_first, train

torch.manual_seed(54)
frames, labels = pictures(400, 8, 8, 1, seed=54)
x = channels_first(frames)
model = Residual()
train(model, x, labels)
export(model, x, "model.onnx")
batch = {0: torch.export.Dim("batch", min=1, max=1024)}
torch.onnx.export(model, (x[:2],), dynamo=True, verbose=False, dynamic_shapes=(batch,), input_names=["x"]).save(
    "model_dynamo.onnx"
)
bare = onnx.load("model_dynamo.onnx")
for part in (bare, bare.graph, *bare.graph.node, *bare.graph.value_info, *bare.graph.input, *bare.graph.output):
    del part.metadata_props[:]  # stack traces, with paths of the machine
onnx.save(bare, "model_dynamo.onnx")
x = x[:16]
arrays = record(x.numpy(), traced=6)
session = onnxruntime.InferenceSession("model_dynamo.onnx")
arrays["y_dynamo"] = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
with torch.no_grad():
    arrays["y_torch"] = model(x).numpy()
finish(__doc__, (*PACKAGES, "torch", "onnxscript"), arrays)
