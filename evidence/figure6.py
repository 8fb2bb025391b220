"""Figure 6 of the paper: embedded behaviors before and after the field mapping.

The paper shows the vectors of items of three fields in a plane by t-SNE. The fields are separate
after the mapping (equation 1). But a picture is not evidence, and each field has its own matrix:
even random matrices separate the fields. So this script measures the separation of the fields in
all dimensions, before and after the mapping: in the fitted network, in the same network before
training, and in a network with a single matrix for all fields. The measures are:

- silhouette: from -1 to 1; 0 is no separation;
- neighbors: the share of behaviors of a field whose nearest neighbors are mostly of the same field,
  as the mean over fields; 0.33 is expected by chance.

    python evidence/figure6.py --output results --rows 8000
    python evidence/figure6.py --output quick --small
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from contenders import CONTENDERS, Budget
from matplotlib.figure import Figure
from measure import prepare, versions
from scipy.stats import mode
from sklearn.base import clone
from sklearn.manifold import TSNE
from sklearn.metrics import balanced_accuracy_score, silhouette_score
from sklearn.neighbors import NearestNeighbors
from tables import NAMES, NO_COMMIT, markdown
from tqdm.auto import tqdm

FIELDS = ("item click", "transform operation", "function widget")
COLORS = ("#0072B2", "#D55E00", "#009E73")
FIELD_AWARE, SHARED = "HUIHEN", "HUIHEN, no field-aware matrices"
TITLE = __doc__.partition("\n")[0].rstrip(".")
#: The vectors of the first seed for the picture, and the results of all seeds.
POINTS, RESULTS, ABOUT = "figure6_points.csv", "figure6.csv", "figure6.json"


def vectors(module: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the vectors of all behaviors before and after the mapping, and their fields."""
    embedded = module.behavior_embedding()
    mapped = module.behavior_field_aware(embedded)
    before, after = (torch.cat(tuple(parts)).detach().numpy() for parts in (embedded, mapped))
    field = np.repeat(np.arange(len(embedded)), [len(part) for part in embedded])
    return before, after, field


def untrained(module: Any, seed: int) -> Any:
    """Return the network with new random weights."""
    fresh = deepcopy(module)
    fresh.reset_parameters(torch.Generator().manual_seed(seed))
    return fresh


def separation(vectors: np.ndarray, field: np.ndarray) -> dict[str, float]:
    """Return the separation of the fields."""
    neighbors = NearestNeighbors(n_neighbors=min(5, np.bincount(field).min())).fit(vectors)
    # Without an argument, no point is its own neighbor.
    nearest = neighbors.kneighbors(return_distance=False)
    guess = mode(field[nearest], axis=1).mode
    return {
        "silhouette": silhouette_score(vectors, field),
        "neighbors": balanced_accuracy_score(field, guess),
    }


def measure(arguments: argparse.Namespace) -> None:
    """Fit the networks, and measure the missing results."""
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    budget = Budget(
        1, arguments.n_epochs, patience=arguments.patience, batch_size=arguments.batch_size
    )
    settings = {"data": arguments.data, "rows": arguments.rows, **budget._asdict()}
    path, results = folder / ABOUT, folder / RESULTS
    if path.exists() and json.loads(path.read_text())["settings"] != settings:
        raise SystemExit(f"{path} contains results of other settings. Pass another folder.")
    done = set(pd.read_csv(results)["seed"]) if results.exists() else set()
    lacking = [seed for seed in range(arguments.repetitions) if seed not in done]
    if not lacking:
        return
    case = prepare(arguments.data, arguments.rows, None, budget)
    for seed in tqdm(lacking, "figure6", unit="seed"):
        rows = []
        for contender in (FIELD_AWARE, SHARED):
            model = clone(CONTENDERS[contender](case, budget))
            model[-1].set_params(random_state=seed)
            module = model.fit(case.X, case.y)[-1].net_.module_
            for state, network in (("trained", module), ("untrained", untrained(module, seed))):
                before, after, field = vectors(network)
                for stage, points in (("before", before), ("after", after)):
                    row = {"seed": seed, "contender": contender, "state": state, "stage": stage}
                    rows.append(row | separation(points, field))
            if contender == FIELD_AWARE and seed == 0:
                before, after, field = vectors(module)
                plane = pd.DataFrame({"field": [FIELDS[i] for i in field]})
                for stage, points in (("before", before), ("after", after)):
                    perplexity = min(30, (len(points) - 1) / 3)
                    tsne = TSNE(perplexity=perplexity, random_state=0, init="pca")
                    plane[[f"{stage} x", f"{stage} y"]] = tsne.fit_transform(points).round(3)
                plane.to_csv(folder / POINTS, index=False)
        sizes = {
            "applications": len(case.y),
            **{f"behaviors, {name}": int((field == i).sum()) for i, name in enumerate(FIELDS)},
        }
        about = {"settings": settings, "sizes": sizes, "versions": versions()}
        path.write_text(json.dumps(about, indent=1) + "\n")
        # Write all lines of a seed together, so that a seed is either complete or missing.
        pd.DataFrame(rows).to_csv(results, mode="a", header=not results.exists(), index=False)


def summarize(folder: Path) -> pd.DataFrame:
    """Return mean and standard deviation over seeds of the separation, before and after."""
    results = pd.read_csv(folder / RESULTS)
    keys = ["contender", "state", "stage"]
    return results.groupby(keys, sort=False)[["silhouette", "neighbors"]].agg(["mean", "std"])


def tell(folder: Path) -> list[str]:
    """Return the paragraphs of the figure."""
    summary = summarize(folder)
    about = json.loads((folder / ABOUT).read_text())
    rows = {
        f"{contender}, {state}, {stage}": {
            key: f"{row[key, 'mean']:.3f}"
            + ("" if pd.isna(row[key, "std"]) else f" ± {row[key, 'std']:.3f}")
            for key in ("silhouette", "neighbors")
        }
        for (contender, state, stage), row in summary.iterrows()
    }
    sizes, settings = (
        "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in about[part].items())
        for part in ("sizes", "settings")
    )
    mean = summary["silhouette", "mean"]
    gain = {
        state: mean[FIELD_AWARE, state, "after"] - mean[FIELD_AWARE, state, "before"]
        for state in ("trained", "untrained")
    }
    after = mean[FIELD_AWARE, "trained", "after"]
    apart = "separate" if after > 0.25 else "slightly separate" if after > 0.05 else "overlapping"
    learned = gain["trained"] - gain["untrained"]
    origin = (
        "more than with random matrices, so training contributes to it"
        if learned > 0.05
        else "no more than with random matrices, so it is not learned"
    )
    n_seeds = pd.read_csv(folder / RESULTS)["seed"].nunique()
    return [
        f"Sizes: {sizes}. Settings: {settings}; seeds: {n_seeds}.",
        NO_COMMIT,
        markdown(pd.DataFrame.from_dict(rows, orient="index")),
        f"After the mapping of the trained network, the fields are {apart} (silhouette "
        f"{after:.3f}; above 0.25 is separate, above 0.05 slightly separate). The mapping changes "
        f"the silhouette by {gain['trained']:+.3f} in the trained network and by "
        f"{gain['untrained']:+.3f} in the untrained one: {origin}. Silhouette and neighbors are "
        "computed in all dimensions, with mean and standard deviation over seeds. The picture "
        "shows the first seed. In the figure of the paper, fields overlap before the mapping and "
        "have clear boundaries after it; the paper gives no number.",
    ]


def draw(folder: Path) -> Figure:
    """Draw the behaviors in the plane, by field, before and after the mapping."""
    points = pd.read_csv(folder / POINTS)
    figure = Figure(figsize=(10, 5), layout="constrained")
    for ax, stage in zip(figure.subplots(1, 2), ("before", "after"), strict=True):
        for field, color in zip(FIELDS, COLORS, strict=True):
            part = points[points["field"] == field]
            ax.scatter(part[f"{stage} x"], part[f"{stage} y"], s=18, color=color, label=field)
        ax.set(xticks=[], yticks=[], title=f"{stage} the field mapping, t-SNE")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the table and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("demo_output/paper"), help="folder of the results")
    add("--data", choices=("bank_a", "bank_b"), default="bank_a")
    add(
        "--rows", type=int, help="number of applications with behaviors; default: that of the paper"
    )
    add("--repetitions", type=int, default=3, help="seeds of the network")
    add("--n-epochs", type=int, default=200)
    add("--patience", type=int, default=30)
    add("--batch-size", type=int, default=64)
    add("--small", action="store_true", help="sizes that only show that it works")
    parsed = parser.parse_args(arguments)
    if parsed.small:
        vars(parsed).update(rows=160, repetitions=1, n_epochs=1)
    measure(parsed)
    text = [f"# {TITLE}", f"At {NAMES[parsed.data]}.", *tell(parsed.output)]
    (parsed.output / "figure6.md").write_text("\n\n".join(text) + "\n")
    draw(parsed.output).savefig(parsed.output / "figure6.png", dpi=120)
    print(summarize(parsed.output).round(3).to_string())


if __name__ == "__main__":
    main()
