"""What a bank's app can log: behaviors, their raw names, and products."""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skhuihen._compat import TEXT
from skhuihen.datasets._simulation.draws import FloatArray, IntArray, draw_columns, popularity
from skhuihen.preprocessing._abstraction.rules import (
    FUNCTION_WIDGET,
    ITEM_CLICK,
    TRANSFORM_OPERATION,
)

BANKS = ("A", "B")

_PAGES = ("List", "Detail", "Home", "Result", "Rank", "Holding", "Order", "Guide")
_SHOPS = ("account", "transfer", "fund", "wealth", "deposit", "loan", "card", "life")
_MODULES = (*_SHOPS, "insurance", "gold", "currency", "app")


class Behavior(NamedTuple):
    """One behavior: its page, the names of its buttons, and its number of names."""

    name: str
    field: str
    modules: tuple[str, ...]
    words: tuple[str, ...]
    n_names: tuple[int, int]  # at bank A and at bank B; 0 if the app does not have it


def _behaviors(field: str, table: dict[str, tuple[str, str, int, int]]) -> list[Behavior]:
    return [
        Behavior(
            name, field, _SHOPS if module == "any" else (module,), tuple(words.split()), (a, b)
        )
        for name, (module, words, a, b) in table.items()
    ]


BEHAVIORS = [
    *_behaviors(
        ITEM_CLICK,
        {
            "fund_click": ("fund", "item card banner", 8, 7),
            "wealth_click": ("wealth", "item card banner", 7, 6),
            "deposit_click": ("deposit", "item banner", 5, 4),
            "loan_click": ("loan", "item banner popup", 6, 5),
            "insurance_click": ("insurance", "item banner", 4, 4),
        },
    ),
    *_behaviors(
        TRANSFORM_OPERATION,
        {
            "fund_purchase": ("fund", "buy quickBuy autoInvest", 16, 13),
            "fund_redemption": ("fund", "redeem sell", 8, 7),
            "wealth_purchase": ("wealth", "buy renew subscribe", 12, 10),
            "wealth_redemption": ("wealth", "redeem", 6, 5),
            "deposit_placement": ("deposit", "open topUp", 9, 8),
            "deposit_withdrawal": ("deposit", "withdraw", 6, 5),
            "transfer": ("transfer", "send toPhone scheduled ownAccount", 18, 14),
            "payment": ("life", "scanPay payOnline payCode", 18, 15),
            "bill_payment": ("life", "utility mobileTopUp transit", 12, 10),
            "card_repayment": ("card", "repay repayMinimum", 10, 8),
            "loan_repayment": ("loan", "repay repayEarly", 7, 6),
            "salary": ("account", "salaryIn bonusIn", 5, 4),
            "insurance_premium": ("insurance", "payPremium", 6, 5),
            "installment": ("card", "splitBill", 5, 5),
            "gold_trade": ("gold", "trade", 6, 0),
            "currency_exchange": ("currency", "exchange", 6, 0),
        },
    ),
    *_behaviors(
        FUNCTION_WIDGET,
        {
            "confirm": ("any", "confirm ok", 34, 30),
            "back": ("any", "back return", 34, 30),
            "search": ("any", "search", 18, 16),
            "close": ("any", "close cancel", 18, 16),
            "help": ("any", "help faq", 14, 12),
            "filter": ("any", "filter sort", 14, 12),
            "more": ("any", "more nextPage", 14, 12),
            "refresh": ("any", "refresh", 12, 11),
            "share": ("any", "share", 12, 11),
            "agree": ("any", "agree readTerms", 12, 11),
            "verify": ("any", "smsCode faceCheck", 10, 9),
            "favorite": ("any", "favorite", 8, 0),
            "login": ("app", "fingerprint password face", 8, 7),
            "home": ("app", "view tab", 10, 8),
            "messages": ("app", "inbox pushOpen", 10, 8),
            "settings": ("app", "settings security", 8, 7),
            "service": ("app", "chat callCenter", 6, 6),
            "rewards": ("app", "coupon points", 4, 0),
            "branch": ("app", "branchMap", 2, 0),
            "accounts": ("account", "overview balance", 14, 11),
            "history": ("account", "transactions statement", 10, 8),
            "card_page": ("card", "bill limit", 8, 6),
            "risk_questionnaire": ("wealth", "riskTest", 4, 5),
            "loan_application": ("loan", "apply contract submit", 10, 8),
            "loan_limit": ("loan", "limitCheck", 5, 5),
            "overdue_notice": ("loan", "overdueNotice", 3, 3),
        },
    ),
]
CODE = {behavior.name: code for code, behavior in enumerate(BEHAVIORS)}
FIELD = np.array([behavior.field for behavior in BEHAVIORS])
AFTER_A_LOAN = ("loan_repayment", "overdue_notice")  # occur only during a loan

# Behavior -> (probability of a negative amount, median amount).
AMOUNTS = {
    "fund_purchase": (1.0, 1_000),
    "fund_redemption": (0.0, 2_500),
    "wealth_purchase": (1.0, 10_000),
    "wealth_redemption": (0.0, 12_000),
    "deposit_placement": (1.0, 6_000),
    "deposit_withdrawal": (0.0, 5_000),
    "transfer": (0.7, 600),
    "payment": (0.96, 30),
    "bill_payment": (1.0, 90),
    "card_repayment": (1.0, 1_300),
    "loan_repayment": (1.0, 900),
    "salary": (0.0, 6_000),
    "insurance_premium": (1.0, 350),
    "installment": (1.0, 200),
    "gold_trade": (0.6, 700),
    "currency_exchange": (0.5, 1_500),
}

# Topics of visits, with weights of their behaviors. Topics are named after the modules of the app
# that contain their widgets.
TOPICS: dict[str, dict[str, float]] = {
    "account": {"accounts": 9, "history": 4, "home": 4, "messages": 2.5, "settings": 0.8}
    | {"service": 0.4, "salary": 1.2},
    "transfer": {"transfer": 5, "accounts": 3, "history": 1, "home": 2},
    "fund": {"fund_click": 9, "fund_purchase": 1.1, "fund_redemption": 0.4, "accounts": 2}
    | {"home": 1, "risk_questionnaire": 0.2},
    "wealth": {"wealth_click": 9, "wealth_purchase": 0.7, "wealth_redemption": 0.3}
    | {"accounts": 2, "risk_questionnaire": 0.3},
    "deposit": {"deposit_click": 6, "deposit_placement": 0.6, "deposit_withdrawal": 0.4}
    | {"accounts": 3, "gold_trade": 0.3, "currency_exchange": 0.3},
    "card": {"card_repayment": 3, "card_page": 4, "installment": 0.4, "messages": 1.5}
    | {"rewards": 0.6},
    "life": {"payment": 4.5, "bill_payment": 1.5, "home": 3, "messages": 2, "rewards": 0.8}
    | {"insurance_click": 1, "insurance_premium": 0.15, "branch": 0.2},
    "loan": {"loan_click": 4, "loan_application": 4, "loan_limit": 1.5, "accounts": 1.5},
}
TOPIC_SHARE = np.array([0.33, 0.12, 0.16, 0.10, 0.04, 0.08, 0.14, 0.03])
LOAN_TOPIC = list(TOPICS).index("loan")
_WIDGETS_WEIGHT = 4.0
_TRICKLE = 0.03
_OTHER_PAGES = 0.02  # how often a visit uses widgets on the pages of another module

# Behavior -> number of products. Half of the first two kinds are risky.
_N_PRODUCTS = {
    "fund_click": 30,
    "wealth_click": 20,
    "deposit_click": 8,
    "loan_click": 6,
    "insurance_click": 10,
}
RISKY_KINDS = ("fund_click", "wealth_click")
_KIND_OF_TRADE = {
    "fund_purchase": "fund_click",
    "fund_redemption": "fund_click",
    "wealth_purchase": "wealth_click",
    "wealth_redemption": "wealth_click",
}


# --------------------------------------------------------------------------------------------------
# Raw names

# The share of meaningless names, with neither page nor behavior.
_OPAQUE_SHARE = {"A": 0.15, "B": 0.30}
# Seeds of the names: the app of a bank is the same in every simulation.
_NAME_SEED = {"A": 452, "B": 367}


class _Button(NamedTuple):
    """One thing that the app can log."""

    behavior: int
    module: str
    page: str
    word: str
    rank: int  # by popularity within its behavior


def _buttons(bank: str, rng: np.random.Generator) -> list[_Button]:
    """Choose the pages for each behavior, popular words first."""
    buttons = []
    for code, behavior in enumerate(BEHAVIORS):
        options = list(product(behavior.words, behavior.modules, _PAGES))
        share = np.repeat(popularity(len(behavior.words)), len(options) // len(behavior.words))
        n = behavior.n_names[BANKS.index(bank)]
        chosen = rng.choice(len(options), size=n, replace=False, p=share / share.sum())
        for rank, (word, module, page) in enumerate(options[i] for i in chosen):
            buttons.append(_Button(code, module, page, word, rank))
    return buttons


def _names_by_page(buttons: list[_Button], rng: np.random.Generator) -> list[str]:
    """Name buttons as two teams would: `FundListPage.quickBuy` and `fund/list/quick_buy`."""
    pages = list(product(_MODULES, _PAGES))
    camel = dict(zip(pages, rng.random(len(pages)) < 0.55, strict=True))
    names = []
    for button in buttons:
        if camel[button.module, button.page]:
            names.append(f"{button.module.capitalize()}{button.page}Page.{button.word}")
        else:
            word = re.sub(r"([A-Z])", r"_\1", button.word).lower()
            names.append(f"{button.module}/{button.page.lower()}/{word}")
    return names


def _names_by_code(buttons: list[_Button], rng: np.random.Generator) -> list[str]:
    """Name buttons by module, page and function, such as `181-507-813`.

    A page has a different number in every module; a function has the same number on all pages.
    """
    parts: list[list[Hashable]] = [
        [button.module for button in buttons],
        [(button.module, button.page) for button in buttons],
        [(button.behavior, button.word) for button in buttons],
    ]
    numbers = []
    for part in parts:
        distinct = list(dict.fromkeys(part))
        drawn = rng.permutation(np.arange(100, 1_000))[: len(distinct)]
        number = dict(zip(distinct, drawn, strict=True))
        numbers.append([number[key] for key in part])
    return [f"{module}-{page}-{function}" for module, page, function in zip(*numbers, strict=True)]


@cache
def _names(bank: str) -> tuple[list[_Button], list[str]]:
    """Return everything that a bank's app can log, with its names."""
    rng = np.random.default_rng(_NAME_SEED[bank])
    buttons = _buttons(bank, rng)
    make_names, pattern, n_numbers = {
        "A": (_names_by_page, "evt_{:05d}", 10**5),
        "B": (_names_by_code, "u{:06x}", 16**6),
    }[bank]
    names = make_names(buttons, rng)
    opaque = rng.choice(len(names), size=int(_OPAQUE_SHARE[bank] * len(names)), replace=False)
    numbers = rng.choice(n_numbers, size=len(opaque), replace=False)
    for position, number in zip(opaque, numbers, strict=True):
        names[position] = pattern.format(number)
    return buttons, names


# --------------------------------------------------------------------------------------------------
# The catalog of one bank


class Catalog:
    """Everything that one bank's app logs.

    Parameters
    ----------
    bank : {"A", "B"}
    name_noise : float
        The share of a behavior's additional names in use; at 0 it has a single name.
    """

    def __init__(self, bank: str, name_noise: float) -> None:
        position = BANKS.index(bank)
        of_behavior = np.array([behavior.n_names[position] for behavior in BEHAVIORS])
        self.exists = of_behavior > 0
        further = np.round(name_noise * (of_behavior - 1)).astype(np.int64)
        kept = np.where(self.exists, 1 + further, 0)
        buttons, names = _names(bank)
        in_use = [i for i, button in enumerate(buttons) if button.rank < kept[button.behavior]]
        self._buttons = [buttons[i] for i in in_use]
        #: Behavior of each raw operation.
        self.behavior = np.array([button.behavior for button in self._buttons])
        clean = [BEHAVIORS[code].name for code in self.behavior]
        self.groups = pd.DataFrame(
            {
                "operation": [names[i] for i in in_use] if name_noise > 0 else clean,
                "field": FIELD[self.behavior],
                "behavior": clean,
            },
            dtype=TEXT,
        )
        self.products = _make_products(bank)
        self._first = np.cumsum(kept) - kept
        self._weights = self._name_weights(kept.max())

    def _name_weights(self, most: int) -> FloatArray:
        """Tabulate how often each name of a behavior is used, by topic and behavior."""
        weights = np.zeros((len(TOPICS), len(BEHAVIORS), most))
        weights[:, ~self.exists] = 1.0  # never drawn
        for button in self._buttons:
            share = 1.0 / (1 + button.rank) ** 1.1
            for row, topic in enumerate(TOPICS):
                here = 1.0 if button.module == topic else _OTHER_PAGES
                weights[row, button.behavior, button.rank] = share * here
        return weights.reshape(-1, most)

    def log(self, behavior: IntArray, topic: IntArray, rng: np.random.Generator) -> NDArray:
        """Draw the raw operation that logs each behavior."""
        rank = draw_columns(self._weights, topic * len(BEHAVIORS) + behavior, rng)
        return (self._first[behavior] + rank).astype(np.int16)

    def topic_weights(self) -> FloatArray:
        """Tabulate the weight of every behavior in every topic."""
        widgets = [code for code, behavior in enumerate(BEHAVIORS) if behavior.modules == _SHOPS]
        # Small weights for all behaviors give a long tail.
        weights = np.full((len(TOPICS), len(BEHAVIORS)), _TRICKLE)
        weights[:, widgets] += _WIDGETS_WEIGHT * popularity(len(widgets))
        for row, favored in enumerate(TOPICS.values()):
            for name, weight in favored.items():
                weights[row, CODE[name]] += weight
        weights[:, [CODE[name] for name in AFTER_A_LOAN]] = 0.0
        return weights * self.exists


def _make_products(bank: str) -> pd.DataFrame:
    """List every product; risky and safe ones alternate, so ids do not reveal the risk."""
    rows = [
        (
            f"{'ABCDE'[kind]}{number:02d}" if bank == "A" else f"{3 + kind}{number * 37:04d}",
            behavior,
            behavior in RISKY_KINDS and number % 2 == 0,
        )
        for kind, (behavior, count) in enumerate(_N_PRODUCTS.items())
        for number in range(1, count + 1)
    ]
    return pd.DataFrame(rows, columns=["item", "behavior", "risky"])


def product_weights(products: pd.DataFrame) -> tuple[FloatArray, IntArray]:
    """Tabulate the popularity of products and the row of this table for each behavior.

    Each kind of product has two rows, safe and risky, which are equal if the kind has no risky
    products. -1 stands for behaviors without a product.
    """
    weights = np.zeros((2 * len(_N_PRODUCTS), len(products)))
    row_of_behavior = np.full(len(BEHAVIORS), -1)
    for kind, behavior in enumerate(_N_PRODUCTS):
        row_of_behavior[CODE[behavior]] = 2 * kind
        for risky in (False, True):
            of_row = (products["risky"] == risky) | (behavior not in RISKY_KINDS)
            members = np.flatnonzero((products["behavior"] == behavior) & of_row)
            weights[2 * kind + risky, members] = popularity(len(members), 0.8)
    for trade, behavior in _KIND_OF_TRADE.items():
        row_of_behavior[CODE[trade]] = row_of_behavior[CODE[behavior]]
    return weights, row_of_behavior
