"""Working through applications piece by piece changes nothing."""

from __future__ import annotations

import pandas as pd
import pytest

from skhuihen import BehaviorAbstractor, Sessionizer, attach_behaviors
from skhuihen._events import as_of
from skhuihen.datasets import make_loan_data


@pytest.mark.parametrize("piece", [1, 50, 1000])
@pytest.mark.parametrize("make", [BehaviorAbstractor, Sessionizer])
def test_pieces_of_any_size_give_the_same(monkeypatch, make, piece):
    bank = make_loan_data(n_new=60, n_old=0, random_state=0)
    X = attach_behaviors(bank.applications, bank.events)
    model = make().fit(X)
    whole, report = model.transform(X), model.report(X)
    assert whole["behaviors"].array.num_chunks == 1
    monkeypatch.setattr(as_of, "PIECE", piece)
    by_piece = model.transform(X)
    assert by_piece["behaviors"].array.num_chunks > 3
    pd.testing.assert_frame_equal(
        by_piece["behaviors"].nest.to_flat(), whole["behaviors"].nest.to_flat()
    )
    pd.testing.assert_series_equal(model.report(X), report)
    # What comes in several pieces is read like what comes in one.
    pd.testing.assert_frame_equal(
        make().fit(whole).transform(by_piece)["behaviors"].nest.to_flat(),
        make().fit(whole).transform(whole)["behaviors"].nest.to_flat(),
    )
