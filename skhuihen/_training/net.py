"""The skorch net: whole batches, a weight for each application, Ctrl-C that is passed on."""

from __future__ import annotations

import dis
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback
from torch import Tensor

from skhuihen._encoding.streaming import Batches, find_streamed
from skhuihen._training.callbacks import ProgressBar
from skhuihen.network.batch import Batch

#: Applications scored at once; their data should fit into the cache of a processor.
SCORING_BATCH = 256


class StoppedByCallback(Exception):  # noqa: N818  not an error
    """A callback has stopped training."""


class HUIHENNet(NeuralNetClassifier):
    """A skorch net whose data sets give whole batches, with a weight for each application.

    Scorers see a classifier of the labels 0 and 1, so skorch's `EpochScoring` works.
    """

    #: Completed epochs. `history` also contains the running epoch.
    n_whole_epochs = 0

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        """Return the callbacks of every net; those of a classifier also record an accuracy."""
        return super(NeuralNetClassifier, self)._default_callbacks

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call all callbacks, even if one of them stops training.

        skorch's callbacks stop training with a KeyboardInterrupt, and skorch handles every
        KeyboardInterrupt that way. Ctrl-C would then leave a half-trained network that looks
        complete.
        """
        getattr(self, method_name)(self, **kwargs)
        is_stopped = False
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **kwargs)
            except KeyboardInterrupt as error:
                if not _is_of_callback(error):
                    raise
                is_stopped = True
        if is_stopped:
            raise StoppedByCallback

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Count the epoch."""
        self.n_whole_epochs = len(self.history)

    def train(self, dataset: Any) -> None:
        """Train until `max_epochs` or until a callback stops it; Ctrl-C is passed on.

        If a callback stops in the middle of an epoch, the weights include that epoch, but the
        history does not.
        """
        before = self.n_whole_epochs
        try:
            with suppress(StoppedByCallback):
                self.notify("on_train_begin", X=dataset, y=None)
                self.fit_loop(dataset)
            if self.n_whole_epochs == before:
                raise ValueError(
                    "A callback stopped training before the end of the first epoch, so the network "
                    "cannot be evaluated. Stop at the end of an epoch instead."
                )
            with suppress(StoppedByCallback):
                self.notify("on_train_end", X=dataset, y=None)
        except BaseException:
            for _, callback in self.callbacks_:
                if isinstance(callback, ProgressBar):
                    callback.close()
            raise
        del self.history[self.n_whole_epochs :]

    def run_single_epoch(self, iterator: Any, training: bool, prefix: str, **kwargs: Any) -> None:
        """Run through the batches once; raise if there are none."""
        super().run_single_epoch(iterator, training, prefix, **kwargs)
        if iterator is not None and not self.history[-1][f"{prefix}_batch_count"]:
            of = "iterator_train" if training else "iterator_valid"
            size = self.get_params_for(of).get("batch_size", self.batch_size)
            rows = "training" if training else "held-out"
            raise ValueError(
                f"The {rows} rows do not fill one batch of batch_size={size}, so there is nothing "
                f"to train on or to score. {of}__drop_last in net_params drops incomplete batches. "
                "Remove it, lower the batch size, or pass more rows."
            )

    def snapshot(self) -> dict[str, Any]:
        """Return all that training changes, for `put_back`."""
        shuffling, dropout = self._generators()
        return {
            "of_torch": deepcopy([part.state_dict() for part in self._parts()]),
            "shuffling": shuffling.get_state(),
            "dropout": [generator.get_state() for generator in dropout],
            "n_whole_epochs": self.n_whole_epochs,
            "attributes": {
                name: getattr(self, name)
                for name in ("max_epochs", "batch_size", "lr", "callbacks_")
            },
            "order_of_groups": deepcopy(self.__dict__.get("_order_of_groups")),
        }

    def put_back(self, before: dict[str, Any]) -> None:
        """Undo what was trained since a snapshot."""
        for part, state in zip(self._parts(), before["of_torch"], strict=True):
            part.load_state_dict(state)
        shuffling, dropout = self._generators()
        shuffling.set_state(before["shuffling"])
        for generator, state in zip(dropout, before["dropout"], strict=True):
            generator.set_state(state)
        self.n_whole_epochs = before["n_whole_epochs"]
        del self.history[self.n_whole_epochs :]
        for name, value in before["attributes"].items():
            setattr(self, name, value)
        self.__dict__.pop("_order_of_groups", None)
        if before["order_of_groups"] is not None:
            self._order_of_groups = before["order_of_groups"]

    def _parts(self) -> list[Any]:
        return [self.module_, self.criterion_, self.optimizer_]

    def _generators(self) -> tuple[torch.Generator, list[torch.Generator]]:
        """Return the generator of the shuffling, and those of dropout."""
        layers = self.module_.modules()
        dropout = [g for g in (getattr(layer, "generator", None) for layer in layers) if g]
        return self.get_params_for("iterator_train")["generator"], dropout

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the batches of a data set, which may be streamed."""
        load = partial(super().get_iterator, training=training)
        streamed = find_streamed(dataset)
        if streamed is None:
            return load(dataset)
        if training and not hasattr(self, "_order_of_groups"):
            # One for all calls, so `partial_fit` continues the random order.
            seed = self.get_params_for("iterator_train")["generator"].initial_seed()
            self._order_of_groups = np.random.default_rng(seed)
        return Batches(*streamed, load, self._order_of_groups if training else None)

    def log_odds(self, dataset: Any) -> NDArray[np.float64]:
        """Return the log-odds of overdue for a data set, in its order."""
        self.module_.eval()
        generator = self.get_params_for("iterator_valid")["generator"]
        state = generator.get_state()  # scoring must not change the shuffling
        with torch.no_grad():
            logits = [self.infer(x).cpu() for x, _ in self.get_iterator(dataset, training=False)]
        generator.set_state(state)
        by_class = torch.cat(logits).double()
        return (by_class[:, 1] - by_class[:, 0]).numpy()

    def infer(self, x: Batch, **fit_params: Any) -> Tensor:
        """Return the logits of a batch."""
        return self.module_(x.to(self.device), **fit_params)

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the weighted mean of the cross entropy (equation 15).

        Weights have mean 1 over all rows of `fit`, not over each batch. So a batch with small
        weights changes the network less.
        """
        loss = self.criterion_(y_pred, X.target(y_true).to(y_pred.device))
        return (loss * X.weight.to(loss.device)).mean()


def _is_of_callback(error: KeyboardInterrupt) -> bool:
    """Return whether a method of a callback raised this error in order to stop training.

    Ctrl-C interrupts the running instruction, or a signal handler raises it. It is never a
    ``raise`` in a callback.
    """
    if isinstance(error.__context__, KeyboardInterrupt):
        return _is_of_callback(error.__context__)  # caught there and raised again
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    code, variables = traceback.tb_frame.f_code, traceback.tb_frame.f_locals
    is_raised = code.co_code[traceback.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return is_raised and any(isinstance(variables.get(n), Callback) for n in code.co_varnames[:1])
