"""Accidents of the user: files, folders, data, arguments, the order of the commands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from .accident_parts import (
    QUANTIZE,
    arrays,
    copied,
    folder_at,
    links,
    mode,
    pipe,
    removed,
    second_of_two,
    several,
    socket_at,
    text,
)
from .accidents import Accident, Prepare, nothing
from .program import Surrounding

PLAIN_USER = Surrounding(plain_user=True)

# Name, command, how the folder is prepared, what the message must mention.
Row = tuple[str, str | tuple[str | bytes, ...], Prepare, str]

MISSING: list[Row] = [
    ("no such model", "quantize none.keras --data train.npz -o out", nothing, "none.keras"),
    ("no such data", "quantize model.keras --data none.npz -o out", nothing, "none.npz"),
    ("no such test data", f"{QUANTIZE} --test none.npz", nothing, "none.npz"),
    ("no such settings", f"{QUANTIZE} -c none.yaml", nothing, "none.yaml"),
    ("no such work folder", "generate none", nothing, "none"),
    ("a folder for a model", "quantize quantized --data train.npz -o out", nothing, "quantized"),
    ("an empty folder for data", "quantize model.keras --data empty -o out", folder_at("empty"), "empty"),
    ("a folder for settings", f"{QUANTIZE} -c quantized", nothing, "quantized"),
    ("a file for a work folder", "generate model.keras", nothing, "model.keras"),
    ("a file for the output", "quantize model.keras --data train.npz -o test.npz", nothing, "test.npz"),
    ("output below a file", "quantize model.keras --data train.npz -o test.npz/out", nothing, "test.npz"),
    ("output where nothing can be", "quantize model.keras --data train.npz -o /proc/out", nothing, "/proc"),
    ("a file in the place of the bundle", "generate quantized", text("quantized/bundle"), "bundle"),
    ("settings that are no text", QUANTIZE, text("dnn2fpga.yaml", "é", "utf-16"), "dnn2fpga.yaml"),
]
STRANGE: list[Row] = [
    ("a link to nowhere", "quantize l.keras --data train.npz -o out", links("l.keras", "nowhere"), "l.keras"),
    ("a link to itself", "quantize l.keras --data train.npz -o out", links("l.keras", "l.keras"), "l.keras"),
    ("a link to itself for the output", "quantize model.keras --data train.npz -o l", links("l", "l"), "l: "),
    ("a pipe for a model", "quantize pipe.keras --data train.npz -o out", pipe("pipe.keras"), "pipe.keras"),
    ("a pipe for data", "quantize model.keras --data pipe.npz -o out", pipe("pipe.npz"), "pipe.npz"),
    ("a pipe for settings", f"{QUANTIZE} -c pipe.yaml", pipe("pipe.yaml"), "pipe.yaml"),
    ("a pipe for weights", "generate quantized", pipe("quantized/weights.npz"), "weights.npz"),
    ("a pipe for samples", "generate quantized", pipe("quantized/samples.npz"), "samples.npz"),
    ("a pipe for model.yaml", "generate quantized", pipe("quantized/model.yaml"), "model.yaml"),
    ("a pipe for a manifest", "verify generated", pipe("generated/bundle/manifest.json"), "generate"),
    ("a device for a model", "quantize /dev/zero --data train.npz -o out", nothing, "/dev/zero"),
    ("a device for data", "quantize model.keras --data /dev/zero -o out", nothing, "/dev/zero"),
    ("a socket for a model", "quantize s.keras --data train.npz -o out", socket_at("s.keras"), "s.keras"),
    ("a name that is too long", f"quantize {'x' * 300}.keras --data train.npz -o out", nothing, ""),
    ("a path that is too long", f"quantize model.keras --data train.npz -o {'x/' * 3000}out", nothing, ""),
    ("an output name that is too long", f"quantize model.keras --data train.npz -o {'x' * 300}", nothing, ""),
    ("empty names", ("quantize", "", "--data", "", "-o", "out"), nothing, ""),
    ("a name that is no text", ("quantize", b"\xff\xfe.keras", "--data", "train.npz"), nothing, ".keras"),
    ("a name with a line in it", ("quantize", "a\nb.keras", "--data", "train.npz"), nothing, "b.keras"),
    ("a name that moves the cursor", ("quantize", "a\x1b[2Jb.keras", "--data", "train.npz"), nothing, "b.keras"),
]
FORBIDDEN: list[Row] = [
    ("a model that may not be read", QUANTIZE, mode("model.keras", 0), "model.keras"),
    ("data that may not be read", QUANTIZE, mode("train.npz", 0), "train.npz"),
    (
        "settings that may not be read",
        QUANTIZE,
        several(text("dnn2fpga.yaml"), mode("dnn2fpga.yaml", 0)),
        "dnn2fpga.yaml",
    ),
    ("a folder that may not be written", QUANTIZE, mode(".", 0o555), "out"),
    ("a work folder that may not be written", "generate quantized", mode("quantized", 0o555), "quantized"),
    ("a work folder that may not be entered", "generate quantized", mode("quantized", 0), "quantized"),
    ("a bundle in a folder that may not be written", "verify generated", mode("generated", 0o555), "generated"),
]
ORDER: list[Row] = [
    ("verify before generate", "verify quantized", nothing, "generate"),
    ("build before generate", "build quantized --board icebreaker", nothing, "generate"),
    ("power before generate", "power quantized --board icebreaker", nothing, "generate"),
    ("synthesize before generate", "synthesize quantized", nothing, "generate"),
    ("run before generate", "run quantized test.npz --board icebreaker --port simulation", nothing, "generate"),
    ("generate without weights", "generate quantized", removed("quantized/weights.npz"), "weights.npz"),
    ("generate without model.yaml", "generate quantized", removed("quantized/model.yaml"), "model.yaml"),
    (
        "a damaged manifest",
        "power generated --board icebreaker",
        text("generated/bundle/manifest.json", "{"),
        "manifest",
    ),
    ("a bundle without sim", "verify generated", removed("generated/bundle/sim"), "generate"),
    ("a search without test data", "search model.keras --data train.npz -o out", nothing, "--test"),
    ("a target without test data", f"{QUANTIZE} --max-drop 1", nothing, "test"),
]
BUILD, PORT = "build generated --board", "run generated test.npz --board icebreaker --port"
ARGUMENTS: list[Row] = [
    ("no bits", f"{QUANTIZE} --bits 0", nothing, "bits"),
    ("too many bits", f"{QUANTIZE} --bits 99", nothing, "bits"),
    ("bits that are no number", f"{QUANTIZE} --bits x", nothing, ""),
    ("an unknown weight set", f"{QUANTIZE} --weight-set octal", nothing, "weight_set"),
    ("an unknown stage", f"{QUANTIZE} --stages magic", nothing, "stages"),
    ("an unknown setting", f"{QUANTIZE} --set quantization.wieght_bits=3", nothing, "weight_bits"),
    ("a setting without a value", f"{QUANTIZE} --set x", nothing, "KEY=VALUE"),
    ("a setting that is no YAML", f"{QUANTIZE} --set model=[", nothing, "model"),
    ("a setting with an alias", f"{QUANTIZE} --set model=*x", nothing, "model"),
    ("a target beyond reason", f"{QUANTIZE} --test test.npz --max-drop nan", nothing, "max_drop"),
    ("an unknown option", f"{QUANTIZE} --fast", nothing, ""),
    ("no model", "quantize --data train.npz", nothing, "model"),
    ("no data", "quantize model.keras", nothing, "--data"),
    ("an unknown command", "synthesise generated", nothing, ""),
    ("no folder", "generate", nothing, ""),
    ("an unknown board", f"{BUILD} nonesuch", nothing, "nonesuch"),
    ("a board that is a path", f"{BUILD} ../boards/icebreaker", nothing, "boards"),
    ("no board", "build generated", nothing, "--board"),
    *((f"a clock of {mhz} MHz", f"{BUILD} icebreaker --no-run --clock {mhz}", nothing, "clock")
      for mhz in ("0", "-5", "nan", "inf", "1e9")),
    ("an unknown board for power", "power generated --board nonesuch", nothing, "nonesuch"),
    ("an unknown goal", "generate quantized --goal cheap", nothing, "goal"),
    ("an interval of 0", "generate quantized --interval 0", nothing, "interval"),
    ("a FIFO of 1e22", "generate quantized --set hardware.fifo=1e22", nothing, "fifo"),
    ("a FIFO of 10^15", "generate quantized --set hardware.fifo=1000000000000000", nothing, "fifo"),
    ("no frames to verify", "verify generated --test test.npz --frames 0", nothing, "frames"),
    ("an unknown stall pattern", "verify generated --stalls sometimes", nothing, "stalls"),
    ("compile for an unknown board", "compile model.keras --data train.npz -o o --board nonesuch", nothing, "nonesuch"),
    ("a port that does not exist", f"{PORT} /dev/ttyNONE", nothing, "/dev/ttyNONE"),
    ("a port that is a file", f"{PORT} model.keras", nothing, "model.keras"),
    ("a port that is a folder", f"{PORT} quantized", nothing, "quantized"),
    ("a port that is the null device", f"{PORT} /dev/null", nothing, "/dev/null"),
]  # fmt: skip
X, Y = np.zeros((4, 12), np.float32), np.zeros(4, np.int64)
DATA: list[tuple[str, dict[str, np.ndarray], str]] = [
    ("another shape", {"x": np.zeros((4, 13)), "y": Y}, "shape"),
    ("transposed", {"x": X.T}, "shape"),
    ("one dimension less", {"x": np.zeros(12)}, "shape"),
    ("a single number", {"x": np.zeros(())}, "number"),
    ("NaN", {"x": X + np.nan}, "NaN"),
    ("infinite", {"x": X + np.inf}, "infinite"),
    ("no samples", {"x": X[:0]}, "sample"),
    ("fewer labels", {"x": X, "y": Y[:3]}, "labels"),
    ("labels that are texts", {"x": X, "y": Y.astype("U2")}, "labels"),
    ("labels that are NaN", {"x": X, "y": Y + np.nan}, "labels"),
    ("complex inputs", {"x": X + 1j}, "numbers"),
    ("dates", {"x": X.astype("M8[s]")}, "numbers"),
    ("objects", {"x": np.full((4, 12), None)}, "objects"),
    ("another name", {"inputs": X}, "--x"),
    ("nothing in it", {}, ""),
]


def accidents_of_users() -> Iterator[Accident]:
    kinds = {
        "files and folders": MISSING,
        "strange files": STRANGE,
        "order of the steps": ORDER,
        "arguments": ARGUMENTS,
    }
    for kind, rows in kinds.items():
        for name, command, prepare, says in rows:
            yield Accident(kind=kind, name=name, command=command, prepare=prepare, says=says)
    for name, command, prepare, says in FORBIDDEN:
        yield Accident(kind="rights", name=name, command=command, prepare=prepare, says=says, around=PLAIN_USER)
    strange = "mein é 层"
    for step, state in (("generate", "quantized"), ("verify", "generated")):
        one = partial(Accident, kind="names that are fine", name=f"{step} {strange}", command=(step, strange))
        yield one(prepare=copied(state, strange), code=0)
    yield from _data()
    for command in ("generate generated", "verify generated", "quantize model.keras --data train.npz -o generated"):
        name = f"{command.split()[0]} while verify is at work"
        yield Accident(kind="two commands in one folder", name=name, command=command, run=second_of_two, says="at work")


def _data() -> Iterator[Accident]:
    one = partial(Accident, kind="data")
    command = "quantize model.keras --data bad.npz -o out"
    for name, given, says in DATA:
        yield one(name=name, command=command, prepare=arrays("bad.npz", **given), says=says)
    yield one(name="one sample", command=command, prepare=arrays("bad.npz", x=X[:1]), code=0)
    for name, x, says in (("NaN", X + np.nan, "NaN"), ("another shape", X.T, "shape"), ("nothing", X[:0], "sample")):
        command = "verify generated --test bad.npz"
        yield one(name=f"{name} to verify with", command=command, prepare=arrays("bad.npz", x=x), says=says)
