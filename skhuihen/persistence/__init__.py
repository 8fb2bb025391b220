"""Model files: a fitted model as one file that contains only data and cannot run code.

A file is a zip with a manifest for people to read, the model as typed values, arrays and weights in
safetensors, and trees in the formats of their libraries. Each part is compressed, with a limit on
its size. Nothing in the file says what to import: values have one of a fixed set of types, and each
class is a key of a registry in this package (`skhuihen.persistence._registry`).
"""

from skhuihen.persistence._archive import ModelFileError
from skhuihen.persistence._model_file import load_model, read_manifest, save_model

__all__ = ["ModelFileError", "load_model", "read_manifest", "save_model"]
