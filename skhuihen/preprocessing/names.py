"""What the names of operations share: words, codes, and the families that follow from them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skhuihen.preprocessing.rules import FUNCTION_WIDGET, ITEM_CLICK

#: A run of capitals (but not the first letter of a word), a word, or a run of digits.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
#: Capitals and digits without a separator, which may be a code, such as ``CQA`` or ``0132``.
_CODE = re.compile(r"[A-Z0-9]{3,}")
#: Digits beside words tell variants of one thing, as in ``confirm_2`` and ``confirm.v3``.
_VARIANT = re.compile(r"v?\d+")
#: The same word at the end of so many names is a button that stands on many pages.
_MANY = 3
#: A word in a larger share of a field's names tells nothing apart.
_MOST = 0.75

Words = tuple[str, ...]


@dataclass(frozen=True, order=True)
class Family:
    """Operations of a field whose names begin, or end, with the same words.

    Attributes
    ----------
    is_button : bool
        Whether this is a button that stands on many pages.
    words : tuple of str
        What the names share.
    members : tuple of int
        Positions of the operations, at least two.
    """

    is_button: bool
    words: Words
    members: tuple[int, ...]

    @property
    def title(self) -> str:
        """The shared words as one name; numbers keep a hyphen between them."""
        return ("-" if all(word.isdigit() for word in self.words) else "_").join(self.words)


def split(name: str) -> Words:
    """Split a name at separators, at changes of case, and between letters and digits.

    Parameters
    ----------
    name : str

    Returns
    -------
    tuple of str
        The words. All characters but letters and digits are separators.

    Examples
    --------
    >>> from skhuihen.preprocessing.names import split
    >>> split("FundListPage.confirm")
    ('Fund', 'List', 'Page', 'confirm')
    >>> split("181-507-813")
    ('181', '507', '813')
    """
    return tuple(_WORD.findall(name))


def find_families(names: Sequence[str], field: str) -> list[Family]:
    """Find the operations of a field that belong together by their names.

    Parameters
    ----------
    names : sequence of str
        Distinct operations.
    field : str
        Their field.

    Returns
    -------
    list of Family
        In no particular order; those that share more words lie inside those that share fewer.

    Notes
    -----
    A name is read as a path, from the product or page to the button. If three or more function
    widgets end with the same word, it is a button that stands on many pages, and the page is
    dropped. All others belong together by how they begin: transform operations and item clicks by
    the type of product, widgets by the page. An operation whose first word no other has may still
    end as another does, unless it is an item click.

    Case is ignored. So are words in more than three quarters of the names, since they tell
    nothing apart, and digits behind words where endings are compared. Where nothing but a code is
    left, in capitals and digits and all of one length, such as ``CQA`` or ``0132``, its first
    half is the path.
    """
    begins, ends = _read([split(name) for name in names], most=_MOST)
    families = _families(begins, ends, field)
    if field == ITEM_CLICK and not families:  # all are of one type
        families = _families(*_read([split(name) for name in names], most=1.0), field)
    return families


def _read(names: list[Words], most: float) -> tuple[list[Words], list[str | None]]:
    """Return the words with which each name begins, and the one with which it ends."""
    counts = Counter(word for words in names for word in {word.lower() for word in words})
    telling = [
        tuple(word for word in words if counts[word.lower()] <= most * len(names)) or words
        for words in names
    ]
    codes = {words[0] for words in telling if len(words) == 1 and _CODE.fullmatch(words[0])}
    if len({len(code) for code in codes}) > 1:
        codes = set()
    begins: list[Words] = []
    ends: list[str | None] = []
    for words in telling:
        if len(words) == 1 and words[0] in codes:
            code = words[0]
            begins.append((code[: (len(code) + 1) // 2], code))
            ends.append(None)  # the second half means nothing without the first
        else:
            lower = tuple(word.lower() for word in words)
            plain = [word for word in lower if not _VARIANT.fullmatch(word)] or lower
            begins.append(lower)
            ends.append(plain[-1] if plain else None)
    return begins, ends


def _families(begins: list[Words], ends: list[str | None], field: str) -> list[Family]:
    """Return the families of a field."""
    rest = set(range(len(begins)))
    buttons = _sharing(ends, rest, _MANY) if field == FUNCTION_WIDGET else {}
    rest.difference_update(*buttons.values())
    firsts = _sharing([words[0] if words else None for words in begins], rest, 2)
    rest.difference_update(*firsts.values())
    lasts = _sharing(ends, rest, 2) if field != ITEM_CLICK else {}

    members: dict[tuple[bool, Words], list[int]] = {}
    for found in firsts.values():
        for i in found:
            for length in range(1, len(begins[i]) + 1):
                members.setdefault((False, begins[i][:length]), []).append(i)
    for word, found in lasts.items():
        members.setdefault((False, (word,)), []).extend(found)
    members |= {(True, (word,)): found for word, found in buttons.items()}
    return [Family(*key, tuple(found)) for key, found in members.items() if len(found) > 1]


def _sharing(
    words: Sequence[str | None], candidates: Iterable[int], least: int
) -> dict[str, list[int]]:
    """Return the candidates that have a word in common, by word, where they are enough."""
    found: dict[str, list[int]] = {}
    for i in sorted(candidates):
        word = words[i]
        if word is not None:
            found.setdefault(word, []).append(i)
    return {word: members for word, members in found.items() if len(members) >= least}
