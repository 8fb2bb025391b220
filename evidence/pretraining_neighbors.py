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
from textwrap import wrap

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
VECTORS_OF, WINDOWS = "vectors, contrast", "window statistics"
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


def draw(
    plane: NDArray[np.floating],
    visits: NDArray[np.integer],
    cluster: NDArray[np.int64],
    told: pd.DataFrame,
) -> Figure:
    """Draw the histories in the plane of the vectors, and what neighbors tell."""
    # Narrow, so that a telephone shows it; cividis and these two colors read alike with and without
    # color blindness.
    figure = Figure(figsize=(4.5, 8.0), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(4, 3))
    points = top.scatter(*plane.T, c=visits, cmap="cividis", s=8, linewidths=0)
    for number in np.unique(cluster):
        center = np.median(plane[cluster == number], axis=0)
        box = {"boxstyle": "circle", "facecolor": "white", "edgecolor": "black"}
        top.annotate(str(number + 1), center, ha="center", va="center", fontsize=12, bbox=box)
    low, high = np.percentile(plane, [0.5, 99.5], axis=0)
    top.set(xlim=(low[0], high[0]), xticks=[], ylim=(low[1], high[1]), yticks=[])
    top.set_title("Histories, placed by their vectors", fontsize=12)
    figure.colorbar(points, ax=top, location="bottom").set_label("visits", fontsize=11)
    y = np.arange(len(told))[::-1]
    for shift, color, name in ((0.2, "#0072B2", VECTORS_OF), (-0.2, "#E69F00", WINDOWS)):
        bottom.barh(y + shift, told[name], 0.38, color=color, label=name)
    names = ["\n".join(wrap(name, 18)) for name in told.index]
    bottom.set_yticks(y, names, fontsize=10)
    bottom.set(xlim=(0, 1))
    bottom.set_xlabel("correlation with the mean of the neighbors", fontsize=10)
    figure.legend(*bottom.get_legend_handles_labels(), loc="outside lower center", ncols=2)
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
        VECTORS_OF: StandardScaler().fit_transform(vectors[known]),
        WINDOWS: StandardScaler().fit_transform(columns[known]),
    }
    figures = figures[known].reset_index(drop=True)
    told = pd.DataFrame({name: tell_by_neighbors(x, figures) for name, x in spaces.items()})
    about = {"histories": len(figures), "epochs": arguments.epochs, "commit": commit_of_code()}
    told.rename_axis("figure").assign(**about).to_csv(arguments.output / "neighbors.csv")
    space = spaces[VECTORS_OF]
    cluster = KMeans(N_CLUSTERS, n_init=10, random_state=0).fit_predict(space)
    # The clusters are numbered by the visits of their users.
    rank = figures["visits"].groupby(cluster).mean().rank(method="first").astype(int) - 1
    cluster = rank.loc[cluster].to_numpy()
    clusters = figures.groupby(cluster).median().round(2)
    clusters.index = clusters.index + 1
    clusters.insert(0, "histories", np.bincount(cluster))
    clusters.rename_axis("cluster").to_csv(arguments.output / "clusters.csv")
    plane = PCA(2, random_state=0).fit_transform(space)
    picture = draw(plane, figures["visits"].to_numpy(), cluster, told)
    picture.savefig(arguments.images / "pretraining.png", dpi=160)
    print(told, clusters, sep="\n\n")


if __name__ == "__main__":
    main()
