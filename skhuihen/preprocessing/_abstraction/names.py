"""What operation names share: words, codes and the families that result."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, pairwise, takewhile

from skhuihen.preprocessing._abstraction.rules import FUNCTION_WIDGET, ITEM_CLICK

#: The text between separators, where the underscore is not a separator, and where it is.
_LEVEL, _PIECE = re.compile(r"\w+"), re.compile(r"[^\W_]+")
#: A version, a run of capitals (without the first letter of a word), a word, or a run of digits.
_WORD = re.compile(r"(?<![^\W_])[vV]\d+|[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
#: Capitals and digits that may be a code, such as ``CQA`` or ``0132``.
_CODE = re.compile(r"[A-Z0-9]{3,}")
#: Digits next to words mark variants of one operation: ``confirm_2`` and ``confirm.v3`` ...
_VARIANT = re.compile(r"[vV]?\d+")
#: ... but many digits, or digits amid letters, are an identifier: ``00535``, ``u0aa0b1``.
_IDENTIFIER = re.compile(r"(\D*\d){3,}\D*|(\D*\d){2}\D+|\D*\d\D+\d")
#: If this many names share an end, they are one button that appears on many pages.
_MANY = 3
#: A word in more than this share of a field's names distinguishes nothing.
_MOST = 0.75
#: Verbs for any catalog. At the start of a name they do not name a type of product.
_VERBS = frozenset(
    [
        *("browse", "check", "choose", "click", "discover", "display", "enter", "expose", "fetch"),
        *("find", "get", "goto", "hit", "hover", "impression", "inspect", "launch", "load", "look"),
        *("navigate", "on", "open", "pick", "press", "preview", "read", "request", "search", "see"),
        *("select", "show", "tap", "touch", "user", "view", "visit", "watch"),
    ]
)

Words = tuple[str, ...]
Path = tuple[Words, ...]


@dataclass(frozen=True, order=True)
class Family:
    """Operations of a field whose names share words.

    Attributes
    ----------
    is_button : bool
        Whether this is a button that appears on many pages.
    words : tuple of str
        The words that the names share.
    members : tuple of int
        Positions of the operations, at least two.
    """

    is_button: bool
    words: Words
    members: tuple[int, ...]

    @property
    def title(self) -> str:
        """The shared words as one name; numbers are joined by hyphens."""
        return ("-" if all(word.isdigit() for word in self.words) else "_").join(self.words)


def split(name: str) -> Path:
    """Split a name into the levels of its path, and each level into words.

    Separators between levels are all characters except letters, digits and the underscore. Words
    within a level are separated by underscores, changes of case, and changes between letters and
    digits. In a name without separators each word is a level.

    Parameters
    ----------
    name : str

    Returns
    -------
    tuple of tuple of str

    Examples
    --------
    >>> from skhuihen.preprocessing._abstraction.names import split
    >>> split("FundListPage.quick_buy")
    (('Fund', 'List', 'Page'), ('quick', 'buy'))
    >>> split("181-507-813")
    (('181',), ('507',), ('813',))
    >>> split("fund_buy")
    (('fund',), ('buy',))
    """
    levels = [tuple(_WORD.findall(level)) for level in _LEVEL.findall(name)]
    if len(levels) == 1:
        levels = [(word,) for word in levels[0]]
    return tuple(level for level in levels if level)


def find_families(names: Sequence[str], field: str) -> list[Family]:
    """Find the operations of a field whose names belong together.

    Parameters
    ----------
    names : sequence of str
        Distinct operations.
    field : str
        Their field.

    Returns
    -------
    list of Family
        In no particular order. Two families are either nested or disjoint.

    Notes
    -----
    A name is read as a path, from the product or page to the button or action. Three or more
    function widgets with the same end are a button that appears on many pages; the page is
    dropped. All others are grouped by how they begin: transform operations and item clicks by the
    type of product, widgets by the page.

    Within such a family, operations with the same end are closer, whatever page is in between
    (``fund/list/buy`` and ``FundDetail.buy``). Operations with a unique end are closer the longer
    they begin alike. An operation with a unique first word may still share its end with another,
    unless it is an item click. Leading verbs of item clicks are skipped: ``view_fund`` and
    ``view_offer`` belong to different catalogs, ``view_fund`` and ``open_fund`` to one.

    Case is ignored. Words in more than three quarters of the names are ignored too, because they
    distinguish nothing. In ends, digits and versions after words are ignored.

    A name is a code if nothing remains but capitals and digits (``CQA``, ``0132``), an identifier
    (``u0aa0b1``), or an identifier after a word that is the same in all such names
    (``event_00535``). Codes of one length are grouped by their first half, rounded up, if there
    are at most three quarters as many halves as codes. Otherwise they are uninformative, or are
    read as words if they have no digits.
    """
    begins, ends = _read(names)
    if field == ITEM_CLICK:
        begins = [tuple(dropwhile(_VERBS.__contains__, words)) for words in begins]
    return _families(begins, ends, field)


def first_and_last(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the first informative word of each name, and its end; empty if there is none.

    Parameters
    ----------
    names : sequence of str
        Distinct operations of a field.

    Returns
    -------
    first, last : list of str
    """
    begins, ends = _read(names)
    return ["".join(words[:1]) for words in begins], ends


def _read(names: Sequence[str]) -> tuple[list[Words], list[str]]:
    """Return the words with which names begin, and their ends; empty if uninformative."""
    paths = [split(name) for name in names]
    counts = Counter(word for path in paths for word in {word.lower() for word in _flat(path)})
    common = {word for word, count in counts.items() if count > _MOST * len(names)}
    both = [_begin_and_end(path, common) for path in paths]
    begins, ends = [begin for begin, _ in both], [end for _, end in both]
    for codes in _codes(names, common):
        halves = {i: code[: (len(code) + 1) // 2] for i, code in codes.items()}
        recurring = len(set(halves.values())) <= _MOST * len(halves)
        for i, code in codes.items():
            if recurring:
                begins[i], ends[i] = (halves[i], code), ""
            elif not code.isalpha():
                begins[i], ends[i] = (), ""
    return begins, ends


def _begin_and_end(path: Path, common: set[str]) -> tuple[Words, str]:
    """Return the words of a path without common ones, and its last level without variants."""
    informative = _without(path, lambda word: word.lower() in common) or path
    plain = _without(informative, _VARIANT.fullmatch) or informative
    begin = tuple(word.lower() for word in _flat(informative))
    return begin, "_".join(plain[-1]).lower() if plain else ""


def _codes(names: Sequence[str], common: set[str]) -> list[dict[int, str]]:
    """Return the names that are codes, by position, for each code length."""
    found = {i: pair for i, name in enumerate(names) if (pair := _code_of(name, common))}
    # Different words before the codes distinguish the names.
    has_one_prefix = len({prefix for prefix, _ in found.values() if prefix}) <= 1
    by_length: dict[int, dict[int, str]] = {}
    for i, (prefix, code) in found.items():
        if has_one_prefix or not prefix:
            by_length.setdefault(len(code), {})[i] = code
    return list(by_length.values())


def _code_of(name: str, common: set[str]) -> tuple[str, str] | None:
    """Return the word before a name's code, if any, and the code; None if it is not a code."""
    pieces = [
        "".join(word for word in _WORD.findall(piece) if word.lower() not in common)
        for piece in _PIECE.findall(name)
    ]
    *before, last = [piece for piece in pieces if piece] or [""]
    if not before and (_CODE.fullmatch(last) or _IDENTIFIER.fullmatch(last)):
        return "", last
    if len(before) == 1 and before[0].isalpha() and _IDENTIFIER.fullmatch(last):
        return before[0].lower(), last
    return None


def _families(begins: list[Words], ends: list[str], field: str) -> list[Family]:
    """Return the families of a field."""
    rest = set(range(len(begins)))
    buttons = _sharing(ends, rest, _MANY) if field == FUNCTION_WIDGET else {}
    rest.difference_update(*buttons.values())
    firsts = _sharing(["".join(words[:1]) for words in begins], rest, 2)
    rest.difference_update(*firsts.values())
    lasts = _sharing(ends, rest, 2) if field != ITEM_CLICK else {}

    families = [Family(True, (end,), tuple(found)) for end, found in buttons.items()]
    families += [Family(False, (last,), tuple(found)) for last, found in lasts.items()]
    for first, found in firsts.items():
        ending = [i for i in found if ends[i].split("_")[0] != first]
        end_alike = set().union(*_sharing(ends, ending, 2).values())
        families += _beginning_alike(
            {i: (first, ends[i]) if i in end_alike else begins[i] for i in found}
        )
    return families


def _beginning_alike(words_of: dict[int, Words]) -> Iterator[Family]:
    """Find sets of names that begin alike, each with all the words that it shares.

    The names must share their first word. The number of sets is limited by the number of names,
    however long the names are.
    """
    in_order = sorted(words_of, key=lambda i: (words_of[i], i))
    shared = [_n_shared(words_of[one], words_of[two]) for one, two in pairwise(in_order)]
    # Names that begin alike are adjacent. A set opens where its words start to be shared, as
    # (number of words, position of the first name), and closes where one of the words ends.
    is_open: list[tuple[int, int]] = []
    for at, length in enumerate([*shared, 0]):
        start = at
        while is_open and is_open[-1][0] > length:
            n_words, start = is_open.pop()
            members = in_order[start : at + 1]
            yield Family(False, words_of[members[0]][:n_words], tuple(sorted(members)))
        if length and (not is_open or is_open[-1][0] < length):
            is_open.append((length, start))


def _n_shared(one: Words, two: Words) -> int:
    """Return how many leading words two names share."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))


def _sharing(words: Sequence[str], candidates: Iterable[int], least: int) -> dict[str, list[int]]:
    """Return the candidates that share a word, by word, if there are at least `least`."""
    found: dict[str, list[int]] = {}
    for i in sorted(candidates):
        if words[i]:
            found.setdefault(words[i], []).append(i)
    return {word: members for word, members in found.items() if len(members) >= least}


def _flat(path: Path) -> Words:
    return tuple(word for level in path for word in level)


def _without(path: Path, unwanted: Callable[[str], object]) -> Path:
    """Return a path without some words, and without levels that become empty."""
    levels = (tuple(word for word in level if not unwanted(word)) for level in path)
    return tuple(level for level in levels if level)
