"""Imports Keras on TensorFlow without TensorFlow's start-up chatter, which is no message of ours."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _native_stderr_held_back() -> Iterator[None]:
    """Messages that C++ code writes straight to file descriptor 2; shown after all when the import fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _native_stderr_held_back():
    import keras as keras
    import tensorflow as tf
tf.get_logger().setLevel("ERROR")  # its hints (on retracing) are for those who write TensorFlow programs
