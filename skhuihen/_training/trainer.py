"""How networks are made and trained: held-out rows, callbacks, training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split
from torch.utils.data import Dataset, Subset

from skhuihen._training.callbacks import BestEpochOrStart, ProgressBar, ValidationAUC
from skhuihen._training.folds import folds, hold_out, n_of_rarest
from skhuihen._training.guided import GuidedDataset, GuidedLoss, LossParts
from skhuihen._training.net import SCORING_BATCH, HUIHENNet
from skhuihen._training.schedule import OneCycle
from skhuihen._training.start import ColdStart, PretrainedStart
from skhuihen.network.architecture import architecture_of
from skhuihen.network.huihen import HUIHEN

#: The decay of ``weight_decay="auto"``, and the number of training rows from which it falls.
DECAY, DECAY_ROWS = 0.1, 3_400
#: ``max_epochs="auto"``: the largest and smallest number of epochs, and how many rows are passed in
#: all: 128, a step of the default, for each row of the rarer class, and some thousands at least.
EPOCHS, FEWEST_EPOCHS = 15, 3
ROWS_FOR_EACH, FEWEST_ROWS = 128, 40_000
#: The rate of `partial_fit` as a share of the peak of the schedule.
LATER_RATE = 0.1

#: Returns the guidance probability of each row for each network: ``teach(held_out, n_estimators,
#: random, is_scored=...)``. See `Guide.teach`.
Teach = Callable[..., list[NDArray[np.floating]]]
HeldOut = list[NDArray[np.int64]]


class Trainer:
    """Makes and trains networks for a data set.

    Parameters
    ----------
    params : mapping of str to object
        The parameters of a `HUIHENClassifier`.
    name : str
        Shown in front of the progress bar.
    """

    def __init__(self, params: Mapping[str, Any], name: str) -> None:
        self.params = dict(params)
        self.name = name
        self.lr: float = params["lr"]
        self.n_estimators: int = params["n_estimators"]
        self.early_stopping: bool = params["early_stopping"]
        self.net_params: Mapping[str, Any] = params["net_params"] or {}

    def train(
        self,
        dataset: Any,
        sizes: Mapping[str, Any],
        start: ColdStart | PretrainedStart,
        *,
        classes: Sequence[Any],
        users: NDArray[np.int64] | None = None,
        teach: Teach | None = None,
        **of_loss: Any,
    ) -> tuple[list[HUIHENNet], HeldOut]:
        """Train new networks.

        Parameters
        ----------
        dataset : ApplicationDataset, StreamedApplications or GuidedDataset
        sizes : mapping of str to object
            The arguments of the network that depend on the data.
        start : ColdStart or PretrainedStart
        classes : sequence of labels
            The labels of the codes in ``dataset.y``, for messages.
        users : int64 ndarray of shape (n_applications,), default=None
            The user of each row; users are held out as a whole.
        teach : callable, default=None
            Returns the guidance probabilities of each network.
        **of_loss
            Additional parameters of the nets.

        Returns
        -------
        list of HUIHENNet, list of int64 ndarray
            The networks, and the held-out rows of each; an empty list if none were held out.
        """
        random = check_random_state(self.params["random_state"])
        seeds = _draw_seeds(random, 1)
        held_out = self.hold_out(dataset.y, users, random, classes)
        # The first network, and its teacher, are the same as with n_estimators=1.
        of_teachers = deepcopy(random)
        seeds += _draw_seeds(random, self.n_estimators - 1)
        guidance: list[Any] = [None] * self.n_estimators
        if teach is not None:
            form = float(self.params["guidance_weight"])
            of_loss |= {"criterion": GuidedLoss, "criterion__form": form}
            guidance = teach(
                held_out, self.n_estimators, of_teachers, is_scored=self.early_stopping
            )
        rows = np.arange(len(dataset))
        # One number for all networks, as their progress bars tell the time left of all.
        learned = np.setdiff1d(rows, held_out[0]) if held_out else rows
        n_epochs = self.n_epochs(dataset.y[learned])
        nets = []
        parts: list[Dataset] = []
        for number, of_network in enumerate(seeds):
            valid = held_out[number] if held_out else np.empty(0, dtype=np.int64)
            train = np.setdiff1d(rows, valid)
            net = self._make_net(number, of_network, len(train), n_epochs, sizes, start, of_loss)
            taught: Any = dataset
            if guidance[number] is not None:
                taught = GuidedDataset(taught, guidance[number], labeled=True)
            if self.early_stopping and held_out:
                net.train_split = predefined_split(Subset(taught, valid.tolist()))
            parts.append(Subset(taught, train.tolist()) if held_out else taught)
            nets.append(net)
        self._run(nets, parts)
        return nets, held_out

    def begin(
        self, dataset: Any, sizes: Mapping[str, Any], start: ColdStart | PretrainedStart
    ) -> list[HUIHENNet]:
        """Make new networks and train them for one epoch on all rows.

        Parameters
        ----------
        dataset, sizes, start
            As in `train`.

        Returns
        -------
        list of HUIHENNet
        """
        random = check_random_state(self.params["random_state"])
        nets = [
            self._make_net(number, seeds, len(dataset), 1, sizes, start, {})
            for number, seeds in enumerate(
                _draw_seeds(random, 1) + _draw_seeds(random, self.n_estimators - 1)
            )
        ]
        self.train_on(nets, dataset)
        return nets

    def train_on(self, nets: list[HUIHENNet], dataset: Dataset) -> None:
        """Train networks for one more epoch, with the current rate and batch size.

        If that fails or is interrupted, the networks are restored.
        """
        before = [net.snapshot() for net in nets]
        try:
            for number, net in enumerate(nets):
                net.max_epochs = 1
                net.batch_size = self.params["batch_size"]
                # The schedule has ended, and its peak would undo the result.
                rate = self.lr * (1 if self.params["schedule"] == "constant" else LATER_RATE)
                if net.lr != rate:
                    for group in net.optimizer_.param_groups:
                        group["lr"] *= rate / net.lr  # there are two rates after a warm start
                    net.lr = rate
                # There is no early stopping, no schedule and no guidance here.
                net.callbacks_ = [
                    (name, callback)
                    for name, callback in net.callbacks_
                    if not isinstance(callback, EarlyStopping | LossParts | OneCycle | ProgressBar)
                ]
                if self.params["verbose"]:
                    bar = ProgressBar(self.name, len(nets) - 1 - number)
                    net.callbacks_.append(("progress_bar", bar))
            self._run(nets, [dataset] * len(nets))
        except BaseException:
            for net, state in zip(nets, before, strict=True):
                net.put_back(state)
            raise

    def _run(self, nets: list[HUIHENNet], parts: Sequence[Dataset]) -> None:
        """Train each network on its part of the rows."""
        for net, dataset in zip(nets, parts, strict=True):
            net.train(dataset)
            net.train_split = None  # a fitted classifier keeps no rows
            finite = all(parameter.isfinite().all() for parameter in net.module_.parameters())
            # Early stopping may have restored the weights of an earlier epoch.
            if not finite or not np.isfinite(net.history[-1].get("train_loss", 0.0)):
                raise ValueError(
                    f"The network diverged: its weights are not finite. Lower lr={self.lr}."
                )

    def hold_out(
        self,
        label: NDArray[np.int64],
        users: NDArray[np.int64] | None,
        random: np.random.RandomState,
        classes: Sequence[Any],
    ) -> HeldOut:
        """Choose the held-out rows of each network: a fold, or rows for early stopping."""
        if self.early_stopping:
            fraction = self.params["validation_fraction"]
            return hold_out(label, classes, users, fraction, self.n_estimators, random)
        n_folds = min(self.n_estimators, n_of_rarest(label, users))
        if n_folds < 2:
            return []
        parts = folds(label, users, n_folds, random)
        return [parts[number % len(parts)] for number in range(self.n_estimators)]

    def decay(self, n_rows: int) -> float:
        """Return the weight decay for a number of training rows."""
        decay = self.params["weight_decay"]
        if isinstance(decay, str):
            return DECAY * min(1.0, DECAY_ROWS / n_rows)
        return decay

    def n_epochs(self, label: NDArray[np.int64]) -> int:
        """Return the number of epochs for training rows with these labels."""
        given = self.params["max_epochs"]
        return usual_epochs(len(label), n_of_rarest(label)) if isinstance(given, str) else given

    def _make_callbacks(self, number: int, *, is_warm: bool, is_guided: bool) -> list[Any]:
        """Return the user's callbacks and those of this package."""
        callbacks = [("valid_auc", ValidationAUC()), *(self.params["callbacks"] or [])]
        if is_guided:
            callbacks.append(("loss_parts", LossParts()))
        if self.params["schedule"] == "one_cycle":
            callbacks.append(("one_cycle", OneCycle()))
        if self.early_stopping:
            stopping = (BestEpochOrStart if is_warm else EarlyStopping)(
                monitor="valid_score",
                patience=self.params["n_iter_no_change"],
                threshold=0.0,
                lower_is_better=False,
                load_best=True,
            )
            callbacks.append(("early_stopping", stopping))
        if self.params["verbose"]:
            title = self.name
            if self.n_estimators > 1:
                title += f", network {number + 1} of {self.n_estimators}"
            bar = ProgressBar(title, self.n_estimators - 1 - number)
            callbacks.append(("progress_bar", bar))
        return callbacks

    def _make_net(
        self,
        number: int,
        seeds: Sequence[int],
        n_rows: int,
        n_epochs: int,
        sizes: Mapping[str, Any],
        start: ColdStart | PretrainedStart,
        of_loss: Mapping[str, Any],
    ) -> HUIHENNet:
        """Return a network at its start."""
        of_shuffling, of_weights = seeds
        shuffling = torch.Generator().manual_seed(of_shuffling)
        is_warm = isinstance(start, PretrainedStart)
        rates = start.rates(self.lr)
        shape = architecture_of(self.params) | {"dropout": self.params["dropout"]}
        params = {
            "module": HUIHEN,
            "classes": [0, 1],
            "criterion": torch.nn.CrossEntropyLoss,
            "criterion__reduction": "none",
            "optimizer": torch.optim.AdamW,
            "lr": self.lr,
            "optimizer__weight_decay": self.decay(n_rows),
            "max_epochs": n_epochs,
            "batch_size": self.params["batch_size"],
            "device": find_device(self.params["device"]),
            "callbacks": self._make_callbacks(
                number, is_warm=is_warm, is_guided="criterion" in of_loss
            ),
            "callbacks__print_log": None,
            "verbose": 0,
            "iterator_train__shuffle": True,
            "iterator_train__generator": shuffling,
            "iterator_train__collate_fn": as_it_is,
            "iterator_valid__generator": shuffling,
            "iterator_valid__collate_fn": as_it_is,
            "iterator_valid__batch_size": SCORING_BATCH,
            **{f"module__{name}": value for name, value in shape.items()},
            **{f"module__{name}": size for name, size in sizes.items()},
            # One pass over all weights is faster; another optimizer may not have this parameter.
            **({} if "optimizer" in self.net_params else {"optimizer__fused": True}),
            **({"optimizer__param_groups": rates} if rates else {}),
            **self.net_params,
            **of_loss,
        }
        net = HUIHENNet(**params).initialize()
        net.module_.to(getattr(torch, self.params["dtype"]))
        # One generator for weights and dropout; the caller may use torch's global one.
        generator = torch.Generator(net.device).manual_seed(of_weights)
        net.module_.reset_parameters(generator)
        start.start(net.module_)
        net.train_split = None
        return net


def usual_epochs(n_rows: int, n_rare: int) -> int:
    """Return the number of epochs of ``max_epochs="auto"``.

    Parameters
    ----------
    n_rows, n_rare : int
        Number of training rows, and of those of the rarer class.
    """
    passed = max(FEWEST_ROWS, ROWS_FOR_EACH * n_rare)
    return min(EPOCHS, max(FEWEST_EPOCHS, round(passed / n_rows)))


def _draw_seeds(random: np.random.RandomState, n: int) -> list[list[int]]:
    """Draw two seeds for each network: for shuffling, and for weights and dropout."""
    return random.randint(np.iinfo(np.int32).max, size=(n, 2)).tolist()


def find_device(device: str) -> str:
    """Return the device of torch; ``"auto"`` is a GPU if there is one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def history_of(nets: Sequence[HUIHENNet]) -> pd.DataFrame:
    """Return one row for each network and epoch."""
    rows = [
        {"network": number} | {key: value for key, value in row.items() if _is_column(key)}
        for number, net in enumerate(nets)
        for row in net.history
    ]
    return pd.DataFrame(rows).set_index("epoch")


def _is_column(key: str) -> bool:
    """Return whether a key of the history is a column, not skorch's own bookkeeping."""
    return key not in ("batches", "valid_score") and not key.endswith(("_best", "_batch_count"))


def as_it_is(batch: Any) -> Any:
    """Return the batch as it is: the data set returns whole batches."""
    return batch
