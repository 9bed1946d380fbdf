"""Files that are no whole Keras model: what they are, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SAVE = "save the whole model with model.save('name.keras')"
EXPORT = "write it with torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2')"


@dataclass(frozen=True)
class OtherFile:
    """A kind of file, known by its suffix or by its first bytes."""

    what: str
    advice: str
    suffixes: tuple[str, ...] = ()
    signatures: tuple[bytes, ...] = ()
    offset: int = 0  # of the signatures

    def fits(self, path: Path, start: bytes) -> bool:
        return path.suffix.lower() in self.suffixes or start[self.offset :].startswith(self.signatures)


_OTHERS = (
    OtherFile("a TensorFlow Lite model", "give it the suffix .tflite", (), (b"TFL3",), 4),
    OtherFile("a PyTorch pickle: loading one runs code, so it is never opened", EXPORT, (".pt", ".pth", ".ckpt")),
    OtherFile("arrays without a network", EXPORT, (".safetensors",)),
    OtherFile(
        "a pickle: loading one runs code, so it is never opened",
        SAVE,
        (".pkl", ".pickle", ".joblib"),
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    ),
    OtherFile("part of a TensorFlow SavedModel", f"give the folder that it is in, or {SAVE}", (".pb", ".index")),
    OtherFile("arrays without a network", f"it is read as data (--data); {SAVE}", (".npz", ".npy"), (b"\x93NUMPY",)),
    OtherFile(
        "the architecture of a model without its weights",
        f"give the file of its weights as well (--weights weights.h5), or {SAVE}",
        (".json",),
        (b"{",),
    ),
    OtherFile("settings, not a model", "name it with --config", (".yaml", ".yml")),
)


def described(path: Path, start: bytes) -> str:
    """Return for a message what a file that is no Keras model is, and what to do.

    :param start: its first bytes.
    """
    if not start:
        return f"is empty; {SAVE}"
    for other in _OTHERS:
        if other.fits(path, start):
            return f"is {other.what}; {other.advice}"
    return f"is not a Keras model that can be read (.keras or .h5); {SAVE}"


def described_folder(folder: Path) -> str:
    """Return what a folder given as a model is, and what to do."""
    if (folder / "saved_model.pb").is_file():
        return (
            "is a TensorFlow SavedModel without keras_metadata.pb, so without layers: its operations are never run; "
            "save the Keras model itself, with model.save('name.keras') or model.save('name.h5')"
        )
    if (folder / "config.json").is_file():
        return f"is an unpacked .keras file; {SAVE}"
    return "is a folder; give the path of a model saved by Keras (.keras or .h5)"
