"""Equation 16: the loss with guidance probabilities, and its data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import Dataset

from skhuihen.network.batch import ApplicationDataset

#: The learned weight of the guidance is at most 1 / EPSILON.
EPSILON = 0.01


# --------------------------------------------------------------------------------------------------
# The loss.


class GuidedLoss(nn.CrossEntropyLoss):
    r"""Equation 16: cross entropy of the label plus divergence from the guidance probability.

    .. math::

        L = L_{CE}(P_{out}) + \frac{\alpha}{2}
            \left(KL(P_{out}, P_{aux}) + KL(P_{aux}, P_{out})\right)

    The paper learns :math:`\alpha`, from 1, with this loss. The divergence is never negative, so
    its gradient can only lower :math:`\alpha`. Below zero, the loss falls without bound and the
    network diverges from its teacher. The penalty :math:`-\frac{1}{2}\log\alpha` of Kendall et
    al. (2018) keeps :math:`\alpha` positive, but it then grows without bound if the network
    follows its teacher closely. Here :math:`\frac{1}{2}(\epsilon\alpha - \log\alpha)` is added,
    with :math:`\epsilon = 0.01`. The loss then has a lower bound, and for a mean divergence
    :math:`D` its minimum is at :math:`\alpha = 1 / (D + \epsilon)`. So the weight is between 0 and
    100, and is larger if the network follows more closely.

    Parameters
    ----------
    form : {"learned", "literal"} or float, default="learned"
        :math:`\alpha` is learned with the penalty, learned as the paper prints it, or fixed at a
        number.
    labeled : bool, default=True
        False drops the cross entropy, for targets without labels.
    reduction : str, default="none"
        As in torch, but only ``"none"``, a loss for each row, is supported.

    References
    ----------
    The HUIHEN paper, equation 16. A. Kendall, Y. Gal and R. Cipolla, Multi-task learning using
    uncertainty to weigh losses for scene geometry and semantics, CVPR 2018.
    """

    def __init__(
        self, form: str | float = "learned", labeled: bool = True, reduction: str = "none"
    ) -> None:
        super().__init__(reduction=reduction)
        self.form = form
        self.labeled = labeled
        start = {"learned": 0.0, "literal": 1.0}.get(str(form), form)
        self.guidance_parameter = nn.Parameter(
            torch.tensor(float(start)), requires_grad=isinstance(form, str)
        )

    @property
    def alpha(self) -> Tensor:
        """The weight of the guidance; ``exp(-parameter)`` if learned, so never negative."""
        parameter = self.guidance_parameter
        return torch.exp(-parameter) if self.form == "learned" else parameter

    def parts(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return cross entropy and divergence, the sum of both directions, of each row.

        Parameters
        ----------
        logits : Tensor of shape (n, 2)
        target : Tensor of shape (n, 2)
            Label (0 or 1, NaN if there is none) and guidance probability.

        Returns
        -------
        Tensor of shape (n,), Tensor of shape (n,)
        """
        label, guidance = target.unbind(1)
        log_odds = logits[:, 1] - logits[:, 0]
        # Both directions add up to the difference in probability times that in log-odds.
        divergence = (torch.sigmoid(log_odds) - guidance) * (log_odds - torch.logit(guidance))
        if not self.labeled:
            return torch.zeros_like(divergence), divergence
        return super().forward(logits, label.long()), divergence

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,).

        A target of shape (n,) has only labels, as in `partial_fit`; the loss is then the cross
        entropy.
        """
        if target.ndim == 1:
            return super().forward(logits, target)
        cross_entropy, divergence = self.parts(logits, target)
        loss = cross_entropy + self.alpha / 2 * divergence
        if self.form != "learned":
            return loss
        return loss + (EPSILON * self.alpha + self.guidance_parameter) / 2


class GuidedDataset(Dataset):
    """Applications with a guidance probability.

    Parameters
    ----------
    dataset : ApplicationDataset
    guidance : float ndarray of shape (n_applications,)
    labeled : bool
        False makes every label NaN.
    """

    def __init__(
        self, dataset: ApplicationDataset, guidance: NDArray[np.floating], labeled: bool
    ) -> None:
        self.dataset = dataset
        self.y = dataset.y
        self.labeled = labeled
        self._guidance = torch.from_numpy(guidance.astype(dataset.profile.dtype)).to(dataset.device)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Any, Tensor]:
        """Return one batch: the applications at ``indices``, and their labels."""
        batch, y = self.dataset.__getitems__(indices)
        rows = torch.as_tensor(indices, device=self._guidance.device)
        guidance = self._guidance.index_select(0, rows)
        if not self.labeled:
            y = torch.full_like(guidance, torch.nan)
        return replace(batch, guidance=guidance), y


class LossParts(Callback):
    """Record both parts of the guided loss, and alpha, in each epoch."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget the previous epoch."""
        self._seen: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {"train": [], "valid": []}

    def on_batch_end(self, net: Any, batch: Any, training: bool, **kwargs: Any) -> None:
        """Keep the parts of one batch."""
        (x, y), logits = batch, kwargs["y_pred"].detach()
        parts = net.criterion_.parts(logits, x.target(y).to(logits.device))
        self._seen["train" if training else "valid"].append((*parts, x.weight.to(logits.device)))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the weighted means into the history."""
        for name, seen in self._seen.items():
            if seen:
                cross_entropy, divergence, weight = map(torch.cat, zip(*seen, strict=True))
                total = weight.sum()
                net.history.record(f"{name}_cross_entropy", float(cross_entropy @ weight / total))
                net.history.record(f"{name}_divergence", float(divergence @ weight / total))
        net.history.record("guidance_weight", net.criterion_.alpha.item())
        self._seen = {"train": [], "valid": []}
