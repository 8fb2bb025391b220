"""07. A search on many machines: joblib sends the fits of a grid search to Dask workers
=====================================================================================

Here the cluster is two processes on this machine; `Client("tcp://scheduler:8786")` connects to a
cluster of many machines. The same random_state gives the same scores to the bit wherever a fit
runs, so the search has the same result as without a cluster.
"""

from __future__ import annotations

import argparse

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhuihen import BehaviorAbstractor, HUIHENClassifier, Sessionizer, attach_behaviors
from skhuihen.datasets import make_loan_data

try:
    from dask.distributed import Client, LocalCluster
except ImportError as error:
    raise ImportError(
        "A search on many machines requires Dask. Install it: pip install skhuihen[dask]"
    ) from error


def main() -> None:
    """Search here and on the cluster, and compare the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--applications", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--networks", type=int, default=5, help="of each classifier")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    bank = make_loan_data(n_new=arguments.applications, n_old=0, overdue_rate=0.3, random_state=0)
    X = attach_behaviors(bank.applications, bank.events)
    shape = {"n_estimators": arguments.networks, "max_epochs": arguments.epochs}
    classifier = HUIHENClassifier(**shape, random_state=0)
    model = make_pipeline(BehaviorAbstractor(), Sessionizer(max_sessions=20), classifier)
    grid = {"sessionizer__session_gap": ["30min", "2h"], "huihenclassifier__dropout": [0.4, 0.6]}
    search = GridSearchCV(model, grid, scoring="roc_auc", cv=2)

    # Bits are equal only with the same number of threads, and a Dask worker has one.
    torch.set_num_threads(1)
    here = search.fit(X, bank.y).cv_results_
    cluster = LocalCluster(
        n_workers=arguments.workers, threads_per_worker=1, dashboard_address=None
    )
    with cluster, Client(cluster), joblib.parallel_config("dask"):
        there = search.fit(X, bank.y).cv_results_

    table = pd.DataFrame(there["params"])
    table["AUC here"] = here["mean_test_score"]
    table["AUC on the cluster"] = there["mean_test_score"]
    print(table.to_string(index=False))
    for fold in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(there[fold], here[fold])
    print("Equal to the bit.")


if __name__ == "__main__":  # its processes import this file
    main()
