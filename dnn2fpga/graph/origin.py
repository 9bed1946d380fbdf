"""Where a model comes from."""

from __future__ import annotations

from dnn2fpga.files.described import Described


class Origin(Described):
    """The file that a model was read from.

    :param file: its name, without the folder.
    :param sha256: of its bytes; of a list of the files' digests, where a model is in several files.
    :param reader: the kind of file, such as ``TensorFlow Lite``, or the library of its layers, such as ``QKeras``.
    :param rule: by which its source rounds, where the file leaves that open.
    """

    file: str
    sha256: str
    reader: str
    rule: str | None = None
