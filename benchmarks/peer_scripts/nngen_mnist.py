"""The MNIST CNN through NNgen: ``python nngen_mnist.py SETTING.json OUTPUT``, with the Python NNgen is installed in.

Builds the network, writes its Verilog and simulates an image in a test bench made with Veriloggen, by Icarus Verilog.
Weights, biases and image are random (fixed seed): neither Verilog nor cycles depend on them, since the hardware reads
them from memory at every image.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nngen as ng
import numpy as np
from veriloggen import Module, Not, Seq, simulation, thread
from veriloggen.types import axi

SEED = 1
DEVIATION = 32  # standard deviation of the random parameters
SHIFTS = {"conv2d": 7, "conv2d_1": 8, "dense": 9}  # accumulator to INT8: hardly a number saturates
CHUNK = 64  # bytes; NNgen aligns arrays in memory to it
MEMORY_BYTES = 1 << 20
LAST_CYCLE = 2_000_000
# Veriloggen's memory model as it is (a burst waits 10 cycles, and there are pauses), and one that is always ready.
MEMORIES: dict[str, dict[str, int]] = {
    "waiting": {},
    "ready": {"write_delay": 0, "read_delay": 0, "sleep_interval": 0},
}


@dataclass(frozen=True)
class Network:
    image: Any
    logits: Any
    pixels: np.ndarray
    expected: list[int]  # logits by NNgen's own software


def network(setting: dict[str, int]) -> Network:
    random = np.random.default_rng(SEED)

    def variable(name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
        made = ng.variable(dtype=dtype, shape=shape, name=name)
        values = random.normal(0, DEVIATION, shape).round()
        made.set_value(values.clip(-127, 127).astype(np.int64))
        return made

    def parameters(name: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
        return variable(f"{name}_weights", ng.int8, shape), variable(f"{name}_bias", ng.int32, shape[:1])

    def convolution(name: str, x: Any) -> Any:
        weights, bias = parameters(name, (12, 3, 3, x.shape[-1]))
        common = {"act_func": ng.relu, "dtype": ng.int8, "sum_dtype": ng.int32, "name": name}
        return ng.conv2d(x, weights, strides=(1, 1, 1, 1), padding="VALID", bias=bias, **common)

    image = ng.placeholder(dtype=ng.int8, shape=(1, 28, 28, 1), name="image")
    first = convolution("conv2d", image)
    second = convolution("conv2d_1", first)
    pooled = ng.max_pool(second, ksize=(1, 2, 2, 1), strides=(1, 2, 2, 1), padding="VALID", name="max_pooling2d")
    flat = ng.reshape(pooled, (1, -1))
    weights, bias = parameters("dense", (10, flat.shape[-1]))
    logits = ng.matmul(flat, weights, bias=bias, transposed_b=True, dtype=ng.int8, sum_dtype=ng.int32, name="dense")

    channels = {"par_ich": setting["par_ich"], "par_och": setting["par_och"]}
    pixels_at_once = {"par_col": setting["par_col"], "par_row": setting["par_row"]}
    first.attribute(cshamt_out=SHIFTS["conv2d"], **channels, **pixels_at_once)
    second.attribute(cshamt_out=SHIFTS["conv2d_1"], **channels, **pixels_at_once)
    logits.attribute(cshamt_out=SHIFTS["dense"], **channels)  # one row, so no two at once
    pooled.attribute(par=setting["par_och"])

    pixels = random.integers(0, 128, image.shape)
    expected = np.asarray(ng.eval([logits], image=pixels)[0])
    return Network(image, logits, pixels, expected.ravel().tolist())


def simulate(name: str, hardware: Any, net: Network, setting: dict[str, int]) -> dict[str, Any]:
    """Cycles from the start to the last logit in the memory called ``name``, and whether all are as expected."""
    width = setting["axi_bits"]
    parameters = ng.export_ndarray([net.logits], CHUNK)
    parameters_at = aligned(net.image.addr + net.image.memory_size)
    scratch_at = aligned(parameters_at + len(parameters))
    contents = np.zeros(MEMORY_BYTES // 4, dtype=np.int64)
    axi.set_memory(contents, net.pixels, 32, 8, net.image.addr, max(width // 8, setting["par_ich"]))
    axi.set_memory(contents, parameters, 32, 8, parameters_at)

    bench = Module(f"bench_{name}")
    bench.copy_params(hardware)
    ports = bench.copy_sim_ports(hardware)
    clock, reset_n = ports["CLK"], ports["RESETN"]
    reset = bench.Wire("reset")
    reset.assign(Not(reset_n))
    image = {"memimg": contents, "memimg_name": f"{name}.img", "memimg_datawidth": 32}
    memory = axi.AxiMemoryModel(bench, "memory", clock, reset, datawidth=width, **image, **MEMORIES[name])
    memory.connect(ports, "maxi")
    control = thread.AXIMLite(bench, "control", clock, reset, noio=True)
    control.connect(ports, "saxi")
    cycles = bench.Reg("cycles", 32, initval=0)
    Seq(bench, "count", clock, reset)(cycles.inc())
    logits, address = net.logits.shape[-1], net.logits.addr

    def drive():  # Veriloggen makes a state machine of this source
        ng.sim.set_global_addrs(control, scratch_at)
        start = cycles.value
        ng.sim.start(control)
        ng.sim.wait(control)
        stop = cycles.value
        print("cycles", stop - start)
        for k in range(logits):
            number = memory.read_word(k, address, 8)
            print("logit", number)
        thread.finish()

    thread.Thread(bench, "drive", clock, reset, drive).start()
    bench.Instance(hardware, "dut", params=bench.connect_params(hardware), ports=bench.connect_ports(hardware))
    simulation.setup_clock(bench, clock, hperiod=5)
    begin = simulation.setup_reset(bench, reset_n, bench.make_reset(), period=100, polarity="low")
    begin.add(simulation.vtypes.Delay(10 * LAST_CYCLE), simulation.vtypes.Systask("finish"))
    told = simulation.Simulator(bench, sim="iverilog").run(outputfile=f"{name}.out")
    Path(f"{name}.log").write_text(told, encoding="utf-8")
    counted = re.search(r"^cycles\s+(\d+)", told, re.MULTILINE)
    if not counted:
        raise RuntimeError(f"not done after {LAST_CYCLE} cycles, or not simulated: {told[-300:]}")
    found = [int(number) for number in re.findall(r"^logit\s+(-?\d+)", told, re.MULTILINE)]
    Path(f"{name}.img").unlink()
    Path(f"{name}.out").unlink()
    return {"cycles": int(counted[1]), "equal": found == net.expected, "logits": found}


def aligned(address: int) -> int:
    return -(-address // CHUNK) * CHUNK


def main(setting_file: Path, output: Path) -> None:
    setting = json.loads(setting_file.read_text(encoding="utf-8"))
    os.chdir(output)
    start = time.monotonic()
    net = network(setting)
    options = {"maxi_datawidth": setting["axi_bits"]}
    hardware = ng.to_veriloggen([net.logits], "nngen_mnist", config=options, silent=True)
    Path("verilog").mkdir()
    hardware.to_verilog("verilog/nngen_mnist.v")
    seconds = time.monotonic() - start
    result = {
        "version": version("nngen"),
        "seconds_to_verilog": round(seconds, 1),
        "expected": net.expected,
        "simulated": {name: simulate(name, hardware, net, setting) for name in MEMORIES},
    }
    Path("result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
