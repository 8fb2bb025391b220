r"""Histories that are alike: neighbors and clusters in the pre-trained vectors, with a picture.

An analyst has histories without labels and asks which users behave alike. A simulated bank is
pre-trained with the contrast; then the histories are described by a few plain figures that an
analyst understands. Of each, it is measured how well the ten nearest neighbors of a history tell
it, in the vectors and in window statistics. No label is used.

    python evidence/pretraining_neighbors.py --output docs/evidence/pretraining --images docs/images
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from measure import commit_of_code
from numpy.typing import NDArray
from pretrained import Vectors
from pretraining import DAYS, N_NEIGHBORS, RATES_OF_BANKS, Bank, Calendar, Setting
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skhuihen import WindowStatistics

#: Few enough for one picture and one table; not tuned.
N_CLUSTERS = 5
LATE = "share of events on days 21 to 31"
WEEKEND = "share of events on weekends"


def describe(bank: Bank) -> pd.DataFrame:
    """Return plain figures of each history that an analyst understands."""
    behaviors = bank.encoder.read(bank.histories)
    n = len(behaviors)
    rows = behaviors.rows
    first = np.append(True, (np.diff(behaviors.integers("session")) != 0) | (np.diff(rows) != 0))
    n_visits = np.bincount(rows[first], minlength=n)
    calendar = Calendar().transform(bank.histories)
    n_events = behaviors.lengths
    pause = np.bincount(rows[~first], np.log1p(behaviors.numbers("interval")[~first]), n)
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "visits": n_visits,
                "events of a visit": n_events / n_visits,
                "seconds between events": np.expm1(pause / (n_events - n_visits)),
                LATE: calendar[:, 2],
                WEEKEND: calendar[:, 3],
            }
        )


def tell_by_neighbors(space: NDArray[np.floating], figures: pd.DataFrame) -> pd.Series:
    """Return the correlation of each figure with its mean over the nearest neighbors."""
    near = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(space)
    neighbors = near.kneighbors(return_distance=False)
    found = {
        name: np.corrcoef(values, values.to_numpy()[neighbors].mean(axis=1))[0, 1]
        for name, values in figures.items()
    }
    return pd.Series(found).round(3)


def draw(space: NDArray[np.floating], figures: pd.DataFrame, cluster: NDArray[np.int64]) -> Figure:
    """Draw the histories in the plane of the vectors, and name the clusters."""
    plane = PCA(2, random_state=0).fit_transform(space)
    figure = Figure(figsize=(4.5, 4.6), layout="constrained")
    ax = figure.add_subplot()
    # Cividis reads alike with and without color blindness, and in gray.
    points = ax.scatter(*plane.T, c=figures[LATE], cmap="cividis", s=7, linewidths=0)
    for number in np.unique(cluster):
        center = np.median(plane[cluster == number], axis=0)
        box = {"boxstyle": "circle", "facecolor": "white", "edgecolor": "black"}
        ax.annotate(str(number + 1), center, ha="center", va="center", fontsize=12, bbox=box)
    low, high = np.percentile(plane, [0.5, 99.5], axis=0)
    margin = 0.05 * (high - low)
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]), xticks=[])
    ax.set(ylim=(low[1] - margin[1], high[1] + margin[1]), yticks=[])
    ax.set_xlabel("first direction of the vectors", fontsize=11)
    ax.set_ylabel("second direction", fontsize=11)
    bar = figure.colorbar(points, location="bottom", shrink=0.9)
    bar.set_label(LATE, fontsize=11)
    return figure


def main() -> None:
    """Measure, draw, and write ``neighbors.csv`` and ``clusters.csv``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("demo_output/pretraining"), help="folder of results")
    add("--images", type=Path, default=Path("demo_output/pretraining"), help="of the picture")
    add("--histories", type=int, default=3000)
    add("--epochs", type=int, default=8, help="of pre-training")
    arguments = parser.parse_args()
    for folder in (arguments.output, arguments.images):
        folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        *("A", round(RATES_OF_BANKS["A"], 4), 20, arguments.histories, arguments.epochs, 30, 1),
        constant=False,
    )
    bank = Bank(setting, 1, 1, 0)
    figures = describe(bank)
    known = figures.notna().all(axis=1).to_numpy()
    vectors = Vectors(bank.trained("contrast")).transform(bank.histories)
    windows = WindowStatistics(DAYS, group_by="behavior").set_output(transform="default")
    columns = np.nan_to_num(np.asarray(windows.fit_transform(bank.histories), dtype=float))
    spaces = {
        "vectors, contrast": StandardScaler().fit_transform(vectors[known]),
        "window statistics": StandardScaler().fit_transform(columns[known]),
    }
    figures = figures[known].reset_index(drop=True)
    told = pd.DataFrame({name: tell_by_neighbors(x, figures) for name, x in spaces.items()})
    about = {"histories": len(figures), "epochs": arguments.epochs, "commit": commit_of_code()}
    told.rename_axis("figure").assign(**about).to_csv(arguments.output / "neighbors.csv")
    space = spaces["vectors, contrast"]
    cluster = KMeans(N_CLUSTERS, n_init=10, random_state=0).fit_predict(space)
    # The clusters are numbered by how late in the month their users come.
    rank = figures[LATE].groupby(cluster).mean().rank().astype(int) - 1
    cluster = rank.loc[cluster].to_numpy()
    clusters = figures.groupby(cluster).median().round(2)
    clusters.index = clusters.index + 1
    clusters.insert(0, "histories", np.bincount(cluster))
    clusters.rename_axis("cluster").to_csv(arguments.output / "clusters.csv")
    draw(space, figures, cluster).savefig(arguments.images / "pretraining.png", dpi=160)
    print(told, clusters, sep="\n\n")


if __name__ == "__main__":
    main()
