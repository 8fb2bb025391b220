"""MLflow with our file as artifact: its signature in, the model's probabilities out."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    Sessionizer,
    attach_behaviors,
    read_manifest,
    save_model,
)
from skhuihen.datasets import make_loan_data

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "mlflow_model"
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None,
    reason="MLflow is not installed: pip install skhuihen[mlflow]",
)
#: In a process of its own: MLflow changes what warnings and loggers of this one do.
CODE = """
import json, sys
import mlflow, pandas as pd
from log_model import log_model
from pathlib import Path

uri = log_model(Path(sys.argv[1]))
model = mlflow.pyfunc.load_model(uri)
rows = json.loads(Path(sys.argv[2]).read_text())
table = pd.DataFrame(rows)
table["applied_at"] = pd.to_datetime(table["applied_at"])
found = {"scores": model.predict(table).tolist(), "uri": uri}
found["inputs"] = model.metadata.get_input_schema().input_names()
folder = Path(mlflow.artifacts.download_artifacts(uri))
found["files"] = sorted(path.name for path in folder.rglob("*") if path.is_file())
for name, wrong in {
    "no age": table.drop(columns="user__age"),
    "text": table.assign(user__age="old"),
    "events": table.assign(behaviors=[[{"operation": "login"}]] * len(table)),
}.items():
    try:
        model.predict(wrong)
    except mlflow.exceptions.MlflowException as error:
        found[name] = str(error)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_pyfunc_gives_the_probabilities_of_the_model(tmp_path: Path) -> None:
    bank = make_loan_data(n_new=150, n_old=0, overdue_rate=0.4, random_state=0)
    X, y = attach_behaviors(bank.applications, bank.events, lookback="30D"), np.asarray(bank.y)
    model = make_pipeline(
        BehaviorAbstractor(n_behaviors=12),
        Sessionizer(),
        HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=0),
    ).fit(X, y)
    path = tmp_path / "risk.model"
    save_model(model, path, X, y, note="candidate")
    rows = json.loads(X[:20].drop(columns="behaviors").to_json(orient="records", date_format="iso"))
    for row, events in zip(rows, X["behaviors"][:20], strict=True):
        row["applied_at"] = row["applied_at"].removesuffix("Z")
        row["behaviors"] = json.loads(events.to_json(orient="records", date_format="iso"))
        for event in row["behaviors"]:
            event["time"] = event["time"].removesuffix("Z")
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, str(path), str(tmp_path / "rows.json")],
        capture_output=True,
        text=True,
        cwd=EXAMPLE,
        env={
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "MLFLOW_TRACKING_URI": (tmp_path / "runs").as_uri(),
            "MLFLOW_ALLOW_FILE_STORE": "true",  # a database would take more packages
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    np.testing.assert_allclose(
        found["scores"], model.predict_proba(X[:20])[:, 1], rtol=0, atol=1e-7
    )
    columns = [column["name"] for column in read_manifest(path)["schema"]["columns"]]
    assert found["inputs"] == columns
    assert {"risk.model", "overdue.py", "MLmodel"} <= set(found["files"])
    assert not [name for name in found["files"] if name.endswith((".pkl", ".joblib"))]
    assert "user__age" in found["no age"]
    assert "user__age" in found["text"]
    assert "time" in found["events"]
