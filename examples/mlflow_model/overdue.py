"""The source code that MLflow stores and runs: it loads a model file and returns probabilities."""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skhuihen import load_model


class Overdue(mlflow.pyfunc.PythonModel):
    """A model file written by `save_model`, with the interface of an MLflow model."""

    def load_context(self, context: Any) -> None:
        """Load the file, which cannot run code."""
        self.model = load_model(context.artifacts["model"], sha256=context.model_config["sha256"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> NDArray[np.float64]:
        """Return the probability of the second class of each application."""
        return self.model.predict_proba(model_input)[:, 1]


mlflow.models.set_model(Overdue())
