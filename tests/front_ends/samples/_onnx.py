"""ONNX graphs written node by node."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Nodes and constants of a graph, in order; every call returns the name of the tensor it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values) -> str:
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, name: str, *inputs: str, domain: str = "", **attributes) -> str:
        """One node, of which `name` is the output tensor."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}_node", domain=domain, **attributes))
        return name

    def save(self, x_shape: tuple, y: str, y_shape: tuple, opsets: dict[str, int]) -> None:
        """Write `model.onnx` with the input `x` and the output `y`."""
        graph = helper.make_graph(
            self.nodes,
            "sample",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, y_shape)],
            self.constants,
        )
        imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="dnn2fpga"), "model.onnx")
