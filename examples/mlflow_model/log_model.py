"""Log a model file to MLflow with its signature, so that pyfunc returns probabilities.

``python examples/mlflow_model/log_model.py risk.model`` logs to the server in MLFLOW_TRACKING_URI.
It requires ``pip install "skhuihen[mlflow]"``. MLflow stores `overdue.py` as source code, not as a
pickle.

An application is a row with `applied_at` as a datetime and the events as a list of dicts, with
times as ISO 8601 strings. A scoring server of MLflow converts JSON to this form.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from skhuihen import read_manifest

try:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema, TensorSpec
except ImportError as error:
    raise ImportError(
        "Logging a model requires MLflow. Install it: pip install skhuihen[mlflow]"
    ) from error

SOURCE = Path(__file__).resolve().with_name("overdue.py")


def type_of(name: str) -> DataType:
    """Return the MLflow type for a type of the manifest."""
    if name.startswith(("int", "uint")):
        return DataType.long
    if name.startswith(("float", "double")):
        return DataType.double
    if name.startswith("bool"):
        return DataType.boolean
    return DataType.datetime if name.startswith("datetime64") else DataType.string


def signature_of(manifest: dict[str, Any]) -> ModelSignature:
    """Return the signature: the columns of the schema as input, a probability as output."""
    columns = []
    for column in manifest["schema"]["columns"]:
        if column["role"] == "events":
            fields = [
                Property(
                    field["name"],
                    type_of(field["type"]),
                    required=field["name"] in ("time", "operation"),
                )
                for field in column["fields"]
            ]
            columns.append(ColSpec(Array(Object(fields)), column["name"], required=False))
        else:
            is_wanted = column["role"] != "identifier" and not column["missing"]
            columns.append(ColSpec(type_of(column["type"]), column["name"], required=is_wanted))
    return ModelSignature(Schema(columns), Schema([TensorSpec(np.dtype("float64"), (-1,))]))


def log_model(path: Path, name: str = "risk") -> str:
    """Log a model file in a new run, and return the URI of the model."""
    manifest = read_manifest(path)
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(SOURCE),
            artifacts={"model": str(path)},
            model_config={"sha256": manifest["sha256"]},
            signature=signature_of(manifest),
            pip_requirements=[f"skhuihen=={manifest['versions']['skhuihen']}"],
        )
        mlflow.set_tags({"sha256": manifest["sha256"], "note": manifest["note"]})
    return info.model_uri


def main() -> None:
    """Log the model file of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--name", default="risk")
    arguments = parser.parse_args()
    print(log_model(arguments.model, arguments.name))


if __name__ == "__main__":
    main()
