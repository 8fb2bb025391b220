"""How operations are linked: by their neighbors in sessions, and by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from skhuihen.preprocessing._abstraction.names import find_families, first_and_last

#: Each operation is linked to this many others of its field, those with the most similar use ...
N_NEAREST = 5
#: ... but to at most this share of the field: in a small field, being nearest says little.
MOST_OF_FIELD = 1 / 12
#: Average neighbors added to those of each operation, to dampen chance.
AVERAGE = 20.0
#: Axes of the correspondence analysis.
N_AXES = 20
#: With this many neighbors, an operation's use is half known.
HALF_KNOWN = 30.0
#: Weight of a family's links, relative to links by use; and the factor for one shared word.
NAME_WEIGHT, ONE_WORD = 2.0, 0.5
#: In a family whose use is also alike, at least this share of the nearest are members, beyond
#: chance ...
OF_FAMILY = 0.15
#: ... and this is the prior log-odds of such a family, before use is examined.
PRIOR = 1.0

Floats = NDArray[np.float64]


class Links(NamedTuple):
    """Links between operations.

    Attributes
    ----------
    by_use, by_name : float64 ndarray of shape (n_operations, n_operations)
        The weight of the links, symmetric.
    weight : float64 ndarray of shape (n_operations,)
        Total weight of each operation's links, plus the weight it misses because too little is
        known.
    """

    by_use: Floats
    by_name: Floats
    weight: Floats

    @property
    def unknown(self) -> Floats:
        """Share of each operation's weight that is missing because too little is known."""
        known = (self.by_use + self.by_name).sum(axis=1)
        return 1.0 - np.divide(known, self.weight, out=np.zeros_like(known), where=known > 0)

    def among(self, chosen: NDArray[np.int64]) -> Links:
        """Return the links among some operations; links to the rest count as missing."""
        both = np.ix_(chosen, chosen)
        return Links(self.by_use[both], self.by_name[both], self.weight[chosen])


def link(
    names: Sequence[str],
    fields: NDArray[np.object_],
    neighbors: NDArray[np.int64],
    opposed: NDArray[np.bool_] | None = None,
) -> Links:
    """Link the operations of each field by their names and their use.

    Parameters
    ----------
    names : sequence of str
        Distinct operations in ascending order.
    fields : object ndarray of shape (n_operations,)
        The field of each.
    neighbors : int64 ndarray of shape (n_operations, n_columns)
        How often each operation occurs next to each of some others.
    opposed : bool ndarray of shape (n_operations, n_operations), default=None
        Pairs that must never be linked; symmetric.

    Returns
    -------
    Links

    Notes
    -----
    *Use.* The shares of each operation's neighbors are shrunk toward those of the average
    operation. A correspondence analysis maps them: square roots, centered, 20 axes. Each operation
    is linked to the 5 nearest of its field, or to a twelfth of a small field. Few neighbors make
    weak links.

    *Names.* `names.find_families` proposes families; use can reject them. An operation's name is
    rejected if those that share a word with it are among its nearest no more often than by chance.
    This is a mixture model: some names are informative and some are not. Both parts are binomial
    and fitted by expectation and maximization. A likelihood ratio rejects whole families in the
    same way. Evidence grows with the number of neighbors, so names decide where use is unknown. A
    family's links weigh as much as the confidence in it and in its members.
    """
    apart = fields[:, np.newaxis] != fields
    if opposed is not None:
        apart |= opposed
    nearest = _nearest(fields, apart, neighbors.astype(np.float64))
    n_neighbors = neighbors.sum(axis=1)
    known = n_neighbors / (n_neighbors + HALF_KNOWN)
    full = (nearest + nearest.T) / 2
    by_use = nearest * known[:, np.newaxis]
    by_use = (by_use + by_use.T) / 2

    families = []
    speaks = np.zeros(len(names))
    for field in np.unique(fields):
        mine = np.flatnonzero(fields == field)
        of_field = [names[i] for i in mine.tolist()]
        speaks[mine] = _speaks(of_field, nearest[np.ix_(mine, mine)], known[mine])
        families += [
            (family, mine[list(family.members)], field) for family in find_families(of_field, field)
        ]
    by_name = np.zeros_like(by_use)
    for family, members, field in families:
        among = np.ix_(members, members)
        chance = min((len(members) - 1) / (np.count_nonzero(fields == field) - 1), 0.95)
        ratio = _log_ratio(
            nearest[among].sum(axis=1), nearest[members].sum(axis=1), chance, OF_FAMILY
        )
        trust = expit((known * speaks)[members] @ ratio + PRIOR)
        spoken = speaks[members]
        weight = np.outer(spoken, spoken) * trust / max(spoken.sum(), np.finfo(float).tiny)
        np.fill_diagonal(weight, 0.0)
        weight *= N_NEAREST * NAME_WEIGHT
        if len(family.words) == 1 and not family.is_button:
            weight *= ONE_WORD
        by_name[among] = np.maximum(by_name[among], np.where(apart[among], 0.0, weight))
    return Links(by_use, by_name, full.sum(axis=1) + by_name.sum(axis=1))


def _nearest(fields: NDArray[np.object_], apart: NDArray[np.bool_], counts: Floats) -> Floats:
    """Return 1 for each operation's nearest others by use, and 0 elsewhere."""
    n = len(fields)
    nearest = np.zeros((n, n))
    total = counts.sum()
    if not total:
        return nearest
    counts = counts + AVERAGE * counts.sum(axis=0) / total
    profile = np.sqrt(counts / counts.sum(axis=1, keepdims=True))
    left, size, _ = np.linalg.svd(profile - profile.mean(axis=0), full_matrices=False)
    place = left[:, :N_AXES] * size[:N_AXES]
    norm = (place**2).sum(axis=1)
    distance = np.add.outer(norm, norm) - 2 * place @ place.T
    # Rounded, so that names break ties between values that differ only in the last digits.
    distance = distance.round(12)
    distance[apart] = np.inf
    np.fill_diagonal(distance, np.inf)
    _, code, size_of = np.unique(fields, return_inverse=True, return_counts=True)
    wanted = np.clip(MOST_OF_FIELD * size_of, 1, N_NEAREST).astype(np.int64)[code]
    order = np.argsort(distance, axis=1, kind="stable")[:, :N_NEAREST]
    chosen = np.arange(order.shape[1]) < wanted[:, np.newaxis]
    np.put_along_axis(nearest, order, chosen.astype(np.float64), axis=1)
    nearest[~np.isfinite(distance)] = 0.0
    return nearest


def _speaks(names: Sequence[str], nearest: Floats, known: Floats) -> Floats:
    """Return how likely each name is to be informative about the use of its operation."""
    share = np.zeros(nearest.shape, dtype=bool)
    for words in first_and_last(names):
        codes: dict[str | int, int] = {}
        code = np.array([codes.setdefault(word or i, len(codes)) for i, word in enumerate(words)])
        share |= code[:, np.newaxis] == code
    np.fill_diagonal(share, False)
    has_kin = share.any(axis=1)
    if not has_kin.any():
        return np.zeros(len(names))
    n_nearest = nearest.sum(axis=1)
    found = (nearest * share).sum(axis=1)
    chance = np.clip(share.sum(axis=1) / (len(names) - 1), 1e-3, 0.9)
    speaking, above = 0.5, 0.4  # share of informative names, and what they add to chance
    for _ in range(50):
        ratio = known * _log_ratio(found, n_nearest, chance, above)
        result = has_kin * expit(ratio + logit(speaking))
        speaking = np.clip(result[has_kin].mean(), 0.02, 0.98)
        weight = result * known * n_nearest
        excess = (weight * (found / np.maximum(n_nearest, 1) - chance)).sum()
        most = (weight * (1 - chance)).sum()
        above = np.clip(excess / most if most > 0 else above, 0.05, 0.9)
    return np.asarray(result)


def _log_ratio(found: Floats, n: Floats, chance: float | Floats, above: float | Floats) -> Floats:
    """Return the log-likelihood ratio of a share above chance to one at chance."""
    share = chance + (1 - chance) * above
    return np.asarray(
        found * np.log(share / chance) + (n - found) * np.log((1 - share) / (1 - chance))
    )
