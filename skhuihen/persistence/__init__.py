"""Model files: a fitted model as one file that holds numbers and texts, and cannot run code.

A file is a zip of a manifest for the reader, the model as typed values, arrays and weights in
safetensors, and trees in their libraries' own formats, each packed within bounds. Nothing in it
names what to import: values are of a closed set of types, and classes are keys of a registry that
stands in this package (`skhuihen.persistence._registry`).
"""

from skhuihen.persistence._archive import ModelFileError
from skhuihen.persistence._model_file import load_model, read_manifest, save_model

__all__ = ["ModelFileError", "load_model", "read_manifest", "save_model"]
