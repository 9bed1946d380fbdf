"""Opens a model file once, by its bytes: a zip archive (``.keras``) or HDF5 (``.h5``), never a mixture of both; or two
files, an architecture in JSON and its weights in HDF5; or the folder of a SavedModel.

Nothing is loaded by Keras: what is checked here is what is read.
"""

from __future__ import annotations

import enum
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from dnn2fpga.errors import UserError, damage_reported
from dnn2fpga.files import archives
from dnn2fpga.files.archives import UnreadableArchive, open_archive
from dnn2fpga.read import hdf5, saved_model
from dnn2fpga.read.array_file import ArrayFile
from dnn2fpga.read.hdf5 import Hdf5
from dnn2fpga.read.limits import (
    DEEPEST_CONFIG,
    LARGEST_CONFIG,
    LARGEST_EXPANSION,
    LARGEST_MEMBER,
    SMALL_MEMBER,
)
from dnn2fpga.read.other_files import SAVE, described, described_folder

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # where .keras files keep the arrays of layers
HOLDS_WEIGHTS = "holds its own weights; leave --weights out"
CONFIG, WEIGHTS = "config.json", "model.weights.h5"  # members of a .keras file


class Layout(enum.Enum):
    """The place in a model file of the arrays of a layer."""

    KERAS = "keras"  # by class and number
    H5 = "h5"  # by the layer's name
    SAVED_MODEL = "saved_model"  # by the path of the layer's object


@dataclass(frozen=True)
class ModelFile:
    """A Keras file that is open."""

    config: dict[str, Any]
    arrays: ArrayFile
    layout: Layout
    root: tuple[str, ...] = ()  # the group of all arrays


@contextmanager
def open_model(path: Path, weights: Path | None = None) -> Iterator[ModelFile]:
    """Open a ``.keras`` or ``.h5`` file, or a SavedModel folder, for the duration of a ``with`` block.

    :param weights: of a ``.json`` file.
    :raises UserError: when there is no such file, when it is something else, damaged, or too large.
    """
    if path.is_dir():
        if not saved_model.is_saved_model(path) or weights is not None:
            raise UserError(f"{path}: {HOLDS_WEIGHTS if weights else described_folder(path)}")
        text, checkpoint = saved_model.open_saved_model(path)
        yield ModelFile(saved_model.without_tuples(parsed_config(path, text)), checkpoint, Layout.SAVED_MODEL)
        return
    with bytes_of(path, "a model saved by Keras (.keras or .h5)") as file:
        if weights is None:
            with _opened(path, file) as model:
                yield model
        elif path.suffix.lower() != ".json":
            raise UserError(f"{path}: {HOLDS_WEIGHTS}")
        else:
            with _opened_with(weights, _text_of(path, file)) as model:
                yield model


def bytes_of(path: Path, wanted: str) -> BinaryIO:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give the path of {wanted}")
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _text_of(path: Path, file: BinaryIO) -> dict[str, Any]:
    """The configuration in a ``.json`` file."""
    with damage_reported(f"{path}: is not JSON; save it again with model.to_json()"):
        text = file.read(LARGEST_CONFIG + 1).decode()
    return parsed_config(path, text)


@contextmanager
def _opened_with(path: Path, config: dict[str, Any]) -> Iterator[ModelFile]:
    """The weights of an architecture: a file that ``save_weights`` wrote, or that of a whole model."""
    with bytes_of(path, "the weights (.h5)") as file:
        if not file.read(16).startswith(hdf5.SIGNATURE):
            raise UserError(f"{path}: holds no weights: it is not HDF5; write it with model.save_weights('name.h5')")
        with closing(Hdf5(file, str(path))) as arrays:
            members = set(arrays.members() or ())
            if "model_weights" in members:
                yield ModelFile(config, arrays, Layout.H5, ("model_weights",))
            elif arrays.texts("layer_names") is not None:
                yield ModelFile(config, arrays, Layout.H5)
            elif members & set(CONTAINERS):
                yield ModelFile(config, arrays, Layout.KERAS)
            else:
                raise UserError(f"{path}: is HDF5, but holds no weights that Keras has saved")


@contextmanager
def _opened(path: Path, file: BinaryIO) -> Iterator[ModelFile]:
    start = file.read(16)
    file.seek(0)
    is_zip, is_hdf5 = start.startswith(archives.SIGNATURES), start.startswith(hdf5.SIGNATURE)
    wanted = {".keras": is_zip, ".h5": is_hdf5, ".hdf5": is_hdf5}.get(path.suffix.lower())
    if wanted is None or not (is_zip or is_hdf5):
        raise UserError(f"{path}: {described(path, start)}")
    if not wanted:
        right = ".keras" if is_zip else ".h5"
        raise UserError(f"{path}: its content is that of a {right} file; give it that suffix, or {SAVE}")
    if is_zip:
        with tempfile.TemporaryFile() as weights:
            config = parsed_config(path, _unpacked(path, file, weights))
            with closing(Hdf5(weights, f"{path}: {WEIGHTS}")) as arrays:
                yield ModelFile(config, arrays, Layout.KERAS)
    else:
        with closing(Hdf5(file, str(path))) as arrays:
            yield ModelFile(parsed_config(path, _config_of_h5(path, arrays)), arrays, Layout.H5, ("model_weights",))


def _config_of_h5(path: Path, arrays: Hdf5) -> str:
    text = arrays.texts("model_config")
    if text:
        return text[0]
    if arrays.texts("layer_names") is not None or {"layers", "vars"} & set(arrays.members() or ()):
        raise UserError(f"{path}: holds the weights of a model without its layers (save_weights); {SAVE}")
    raise UserError(f"{path}: is HDF5, but holds no Keras model; {SAVE}")


def _unpacked(path: Path, file: BinaryIO, weights: BinaryIO) -> str:
    """The configuration in a ``.keras`` file; its weights are written to ``weights``."""
    damage = f"{path}: is not a Keras model that can be read: the archive is damaged; copy or save it again"
    try:
        with damage_reported(damage, UnreadableArchive), open_archive(file) as (archive, members):
            if missing := [name for name in (CONFIG, WEIGHTS) if name not in members]:
                raise UserError(f"{path}: is a zip archive without {' and '.join(missing)}, so no Keras model; {SAVE}")
            text = io.BytesIO()
            unpack(path, archive, members[CONFIG], LARGEST_CONFIG, text)
            unpack(path, archive, members[WEIGHTS], LARGEST_MEMBER, weights)
            return text.getvalue().decode()
    except UnreadableArchive as reason:
        raise UserError(f"{path}: is not a Keras model that can be read: {reason}") from reason


def unpack(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, largest: int, target: IO[bytes]) -> None:
    size = member.file_size
    if size > largest:
        raise UserError(f"{path}: {member.filename} would take {size:,} bytes; at most {largest:,} are read")
    if size > max(SMALL_MEMBER, LARGEST_EXPANSION * member.compress_size):
        raise UserError(f"{path}: {member.filename} would grow from {member.compress_size:,} to {size:,} bytes: a trap")
    with archive.open(member) as content:
        shutil.copyfileobj(content, target, 2**20)  # zipfile stops at the declared size


def parsed_config(path: Path, text: str) -> dict[str, Any]:
    if len(text) > LARGEST_CONFIG:
        raise UserError(f"{path}: its configuration is longer than {LARGEST_CONFIG:,} characters")
    with damage_reported(f"{path}: its configuration is not valid JSON; save the model again"):
        config = json.loads(text)
        json.dumps(config, ensure_ascii=False).encode()  # JSON can spell halves of characters, which nothing else can
    if not isinstance(config, dict):
        raise UserError(f"{path}: its configuration describes no model")
    level: list[Any] = [config]
    for _ in range(DEEPEST_CONFIG):
        inner = (value.values() if isinstance(value, dict) else value for value in level)
        level = [item for values in inner for item in values if isinstance(item, dict | list)]
        if not level:
            return config
    raise UserError(f"{path}: its configuration is nested deeper than {DEEPEST_CONFIG} levels")
