"""What names share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skhuihen.preprocessing._abstraction.names import Family, find_families, split

CLICK, TRANSFORM, WIDGET = "item_click", "transform_operation", "function_widget"


def families(names, field):
    """Return {title: names}, buttons with a star."""
    return {
        f.title + "*" * f.is_button: {names[i] for i in f.members}
        for f in find_families(names, field)
    }


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("181-507-813", [["181"], ["507"], ["813"]]),
        ("fund/list/buy", [["fund"], ["list"], ["buy"]]),
        ("FundListPage.confirm", [["Fund", "List", "Page"], ["confirm"]]),
        ("transfer_page.go_back", [["transfer", "page"], ["go", "back"]]),
        ("transfer_page", [["transfer"], ["page"]]),
        ("TransferPage", [["Transfer"], ["Page"]]),
        ("app:Pay by QR", [["app"], ["Pay"], ["by"], ["QR"]]),
        ("HTTPError", [["HTTP"], ["Error"]]),
        ("payQR", [["pay"], ["QR"]]),
        ("page2.confirm13", [["page", "2"], ["confirm", "13"]]),
        ("back_v2.dev2", [["back", "v2"], ["dev", "2"]]),
        ("A_SUBMITTED", [["A"], ["SUBMITTED"]]),
        ("überWeisung", [["über"], ["Weisung"]]),
        ("基金_购买", [["基金"], ["购买"]]),
        ("**", []),
        ("", []),
    ],
)
def test_split(name, levels):
    assert split(name) == tuple(map(tuple, levels))


def test_a_button_on_many_pages_drops_the_page():
    names = ["FundListPage.confirm", "loan_page/confirm", "card-confirm2", "transfer confirm.v3"]
    names += ["fund_list", "fund_rank", "loan_confirm_hint"]
    assert families(names, WIDGET) == {"confirm*": set(names[:4]), "fund": set(names[4:6])}


def test_codes_of_buttons_and_of_products():
    names = [f"{module}-{page}-813" for module in (181, 182) for page in (507, 508)]
    names += ["181-600-001", "181-600-002", "181-601-003"]
    assert families(names, WIDGET) == {
        "813*": set(names[:4]),
        "181": set(names[4:]),
        "181-600": set(names[4:6]),
    }
    assert families(names, TRANSFORM) == {
        "181": {*names[:2], *names[4:]},
        "181-813": set(names[:2]),
        "181-600": set(names[4:6]),
        "182-813": set(names[2:4]),
    }


def test_buttons_of_several_words():
    names = ["FundPage.smsCode", "loan/home/sms_code", "card_page/SMSCode2", "app/scan_code"]
    names += ["app/scan", "app/home"]
    assert families(names, WIDGET) == {
        "sms_code*": set(names[:3]),
        "app": set(names[3:]),
        "app_scan": set(names[3:5]),
    }


def test_a_transform_operation_goes_by_its_product_and_action():
    names = ["fund/list/buy", "FundDetail.buy", "fund_quick_buy", "fund/list/sell", "fund/list/ask"]
    names += ["loan/list/buy", "card/buy", "x"]
    assert families(names, TRANSFORM) == {
        "fund": set(names[:5]),
        "fund_buy": set(names[:3]),
        "fund_list": set(names[3:5]),
        "buy": set(names[5:7]),  # nobody else's product
    }


def test_item_clicks_go_by_their_product_alone():
    names = ["fund_detail", "fund_list_item", "loan_detail", "card_detail"]
    assert families(names, CLICK) == {"fund": {"fund_detail", "fund_list_item"}}
    assert families(names[:2], CLICK) == {}  # a word in all names may be no product


@pytest.mark.parametrize("verb", ["view", "ver", "ansehen", "查看"])
def test_a_verb_in_all_item_clicks_is_no_product(verb):
    assert families([f"{verb}_{what}" for what in ("fund", "offer", "article")], CLICK) == {}


def test_verbs_in_front_of_item_clicks_are_passed_over():
    names = ["view_fund", "open_fund", "view_offer", "ClickArticle", "click/article/hint"]
    names += ["loan_view", "view", "click"]
    assert families(names, CLICK) == {"fund": set(names[:2]), "article": set(names[3:5])}


def test_long_names_have_as_few_families_as_short_ones():
    # Whatever walked all beginnings of a name took minutes.
    tails = [f"{one}{two}" for one in "bcdfgh" for two in "jklmnp"]
    names = [word + f"_{word}a" * 3_000 + "_" + tail for word in "xy" for tail in tails]
    for field in (CLICK, TRANSFORM, WIDGET):
        found = find_families(names, field)
        assert sorted(f.members for f in found) == [tuple(range(36)), tuple(range(36, 72))]


def test_two_of_a_kind_are_no_button():
    names = ["fund_confirm", "fund_list", "loan_confirm", "loan_list", "message"]
    assert families(names, WIDGET) == {"fund": set(names[:2]), "loan": set(names[2:4])}


def test_words_in_most_names_tell_nothing():
    names = [f"app/{page}/{x}/click" for page in ("fund", "loan") for x in "ab"] + ["missing"]
    assert families(names, WIDGET) == {"fund": set(names[:2]), "loan": set(names[2:4])}


def test_codes():
    names = ["page/CQA", "page/CQ0", "page/CTR", "page/EGA"]
    assert families(names, WIDGET) == {"CQ": {"page/CQA", "page/CQ0"}}
    assert families(["0132", "0136", "0212"], TRANSFORM) == {"01": {"0132", "0136"}}
    # Beginnings that hardly ever come back are chance.
    assert families([*names, "page/AAO", "page/MSG"], WIDGET) == {}


def test_capital_words_are_words():
    names = ["LOGIN", "login_face", "HOME", "CLOSE", "back"]
    assert families(names, WIDGET) == {"login": set(names[:2])}


def test_identifiers_say_nothing():
    names = ["evt_00535", "evt_00921", "evt_41230", "u0aa0b1", "u3f93d2", "uc39a0e", "login"]
    assert families(names, WIDGET) == {}
    # Of several words, each says something.
    names = ["fund_00535", "fund_00921", "loan_41230", "loan_00535", "login"]
    assert families(names, WIDGET) == {"fund": set(names[:2]), "loan": set(names[2:4])}


def test_case_and_separators_make_no_difference():
    names = ["FundList", "fund_list", "FUND-LIST", "fund", "loan", "card"]
    assert families(names, TRANSFORM)["fund_list"] == set(names[:3])


words = st.sampled_from(["fund", "loan", "list", "back", "7", "A1", "Page"])
name_lists = st.lists(
    st.lists(words, max_size=4).map("/".join) | st.text("AB01x_", max_size=4), unique=True
)


@given(names=name_lists, field=st.sampled_from([CLICK, TRANSFORM, WIDGET]), data=st.data())
def test_families_share_their_words(names, field, data):
    found = find_families(names, field)
    for family in found:
        assert len(family.members) >= 2
        for name in (names[i] for i in family.members):
            letters = "".join(filter(str.isalnum, name)).lower()
            assert all(word.replace("_", "").lower() in letters for word in family.words)
        if family.is_button:
            assert field == WIDGET
            assert len(family.members) >= 3
    # A button is in no other family; families lie inside one another or apart.
    for one in found:
        for other in found:
            a, b = set(one.members), set(other.members)
            assert a <= b or b <= a or not a & b
            assert a == b or not (a & b and (one.is_button or other.is_button))

    mixed = data.draw(st.permutations(names))
    again = {
        (f.is_button, f.words, *sorted(mixed[i] for i in f.members))
        for f in find_families(mixed, field)
    }
    assert again == {(f.is_button, f.words, *sorted(names[i] for i in f.members)) for f in found}


def test_title():
    assert Family(False, ("fund", "list"), (0, 1)).title == "fund_list"
    assert Family(False, ("181", "507"), (0, 1)).title == "181-507"
