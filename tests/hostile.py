"""Model files as an attacker, or a bad disk, would make them.

``python -m tests.hostile --files 10000`` loads so many of them, and says what became of each kind,
how long the slowest took and how much memory the largest. It does the same with files that hold a
`PointsScaler` and a `Monitor`.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import resource
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skhuihen import Monitor, PointsScaler, ProfileEncoder, save_model
from skhuihen.persistence import ModelFileError, load_model
from skhuihen.persistence._archive import pack_part, sha256_of, unpack_parts


def stored(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the parts as they are for who reads the model: none of them packed."""
    parts = stored(content)
    heads = {name: parts.pop(name) for name in ("manifest.json", "manifest.sha256")}
    return {**heads, **unpack_parts(json.loads(heads["manifest.json"]), parts)}


def pack(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return target.getvalue()


def sealed(
    manifest: dict[str, Any], parts: dict[str, bytes], notes: dict[str, dict[str, Any]]
) -> bytes:
    """Pack parts under hashes that are right: as whoever knows the format can."""
    listed = {
        name: {**notes.get(name, {"size": len(part)}), "sha256": sha256_of(part)}
        for name, part in parts.items()
    }
    text = json.dumps({**manifest, "parts": listed}).encode()
    return pack({"manifest.json": text, "manifest.sha256": sha256_of(text).encode(), **parts})


def resealed(parts: dict[str, bytes]) -> bytes:
    """Seal parts of `unpack`, some of them as they are."""
    parts = dict(parts)
    manifest = json.loads(parts.pop("manifest.json"))
    parts.pop("manifest.sha256")
    packed, notes = {}, {}
    for name, part in parts.items():
        if name == "check.json":
            packed[name] = part
        else:
            known, content, note = pack_part(name, part, 4 if "weights" in name else 1)
            packed[known], notes[known] = content, note
    return sealed(manifest, packed, notes)


def flip_bits(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 8])):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def cut(content: bytes, dice: random.Random) -> bytes:
    start, stop = sorted(dice.randrange(len(content) + 1) for _ in range(2))
    return content[:start] if dice.random() < 0.5 else content[:start] + content[stop:]


def overwrite(content: bytes, dice: random.Random) -> bytes:
    at, length = dice.randrange(len(content)), dice.choice([1, 4, 8, 100])
    filler = dice.choice([b"\x00", b"\xff", b"\x7f"]) * length
    return content[:at] + filler + content[at + length :]


def of_the_end(content: bytes, dice: random.Random) -> bytes:
    """Alter the directory at the end, where sizes, names and places of the parts stand."""
    at = content.rindex(b"PK\x01\x02") - dice.randrange(200)
    changed = bytearray(content)
    for _ in range(dice.choice([1, 3])):
        position = dice.randrange(max(at, 0), len(changed))
        changed[position] = dice.randrange(256)
    return bytes(changed)


def swap_parts(content: bytes, dice: random.Random) -> bytes:
    parts = stored(content)
    one, other = dice.sample(sorted(parts), 2)
    kind = dice.randrange(4)
    if kind == 0:
        parts[one], parts[other] = parts[other], parts[one]
    elif kind == 1:
        del parts[one]
    elif kind == 2:
        parts[one] = parts[other]
    else:
        parts[dice.choice(["../../etc/passwd", "/tmp/x", "a\\..\\b", "x.pkl", "model.json/"])] = (
            b"x"
        )
    return pack(parts)


def swap_and_reseal(content: bytes, dice: random.Random) -> bytes:
    parts = unpack(content)
    names = sorted(set(parts) - {"manifest.json", "manifest.sha256"})
    one, other = dice.sample(names, 2)
    parts[one] = parts[other]
    return resealed(parts)


def of_safetensors(content: bytes, dice: random.Random) -> bytes:
    """Claim other shapes, types and places of arrays."""
    parts = unpack(content)
    # A model without a network has no weights.
    names = ["weights.safetensors", "arrays.safetensors"]
    name = dice.choice([name for name in names if b'"dtype"' in parts[name]])
    part = parts[name]
    (length,) = struct.unpack("<Q", part[:8])
    head, data = json.loads(part[8 : 8 + length]), part[8 + length :]
    tensors = [key for key in head if key != "__metadata__"]
    tensor = head[dice.choice(tensors)]
    kind = dice.randrange(5)
    if kind == 0:
        tensor["shape"] = [10**9] * dice.randrange(1, 4)
    elif kind == 1:
        tensor["dtype"] = dice.choice(["F64", "BF16", "I8", "OBJ", "BOOL"])
    elif kind == 2:
        tensor["data_offsets"] = [0, 10 ** dice.randrange(3, 18)]
    elif kind == 3:
        tensor["shape"] = [*tensor["shape"], 1]
    else:
        del head[dice.choice(tensors)]
    text = json.dumps(head).encode()
    length = dice.choice([len(text), len(text), 2**62, 0])
    parts[name] = struct.pack("<Q", length) + text + data
    return resealed(parts)


#: What stands in the place of a value.
VALUES: list[Any] = [
    None,
    -1,
    2**70,
    1e300,
    "x" * 10_000,
    [[[[]]]],
    {},
    {"a": 1, "b": 2},
    {"object": ["builtins.eval", {}]},
    {"object": ["os.system", {"command": "true"}]},
    {"object": ["skhuihen.Sessionizer", {"fit": 1}]},
    {"object": ["skhuihen.Sessionizer", {"__class__": 1}]},
    {"object": ["sklearn.Pipeline", {}]},
    {"object": ["sklearn.Bunch", {"keys": 1}]},
    {"same": 0},
    {"same": 10**9},
    {"array": "a10000"},
    {"objects": [[10**9], []]},
    {"objects": [[-1, -1], [1]]},
    {"texts": ["<U900000", [1], ["a"]]},
    {"texts": ["<U10000", [2000], ["a" * 10_000] + ["a"] * 1_999]},
    {"times": ["<M8[Y]", {"array": "a0"}]},
    {"range": [0, 10**15, 1]},
    {"tuple": [{"range": [0, 10**15, 1]}]},
    {"frame": [[], {"range": [0, 10**12, 1]}, None]},
    {"type": "eval"},
    {"dtype": "O"},
    {"optimizer": "lr_scheduler"},
    {"scalar": ["float64", 1e308]},
    {"float": "nan"},
    {"dict": [[[], 1]]},
    {"dict": [[1, 1], [1, 2]]},
    {"path": "/etc/passwd"},
    {"skops": "model.json"},
    {"random_state": [1, 2, 3, 4]},
    # For a monitor.
    10**15,
    2**53,
    [-1],
    [0, 10**9],
    ["inf"],
    "builtins.eval",
    {"__class__": "os.system"},
]


def hostile_json(content: bytes, dice: random.Random) -> bytes:
    """Put another value somewhere into the model, under hashes that are right."""
    parts = unpack(content)
    names = ["model.json", "model.json", "check.json", "manifest.json"]
    name = dice.choice([*names, *["monitor.json"] * (8 * ("monitor.json" in parts))])
    if dice.random() < 0.15:
        text = dice.choice(
            [
                b"[" * 100_000,
                b'{"a":' * 100_000,
                b"1" * 100_000,
                b"[NaN]",
                b"\xff\xfe",
                b"",
                b"[]",
                b'{"a":1,"a":2}',
                b"1e999",
                b"null",
                b"[" + b"[]," * 200_000 + b"[]]",
            ]
        )
    else:
        tree = json.loads(parts[name])
        put(tree, dice.choice(VALUES), dice)
        text = json.dumps(tree).encode()
    parts[name] = text
    if name == "manifest.json":
        of_manifest = {"manifest.json": text, "manifest.sha256": sha256_of(text).encode()}
        return pack({**stored(content), **of_manifest})
    return resealed(parts)


def put(tree: Any, value: Any, dice: random.Random) -> None:
    """Replace something in a tree of lists and dicts."""
    here = tree
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = dice.choice(keys) if keys else None
        if key is None:
            return
        below = here[key]
        if not isinstance(below, dict | list) or not below or dice.random() < 0.1:
            here[key] = value
            return
        here = below


def bombs(content: bytes, dice: random.Random) -> bytes:
    """Have the zip pack the parts, one of them a bomb, or lie about their sizes."""
    parts = stored(content)
    name = dice.choice(sorted(parts))
    kind = dice.randrange(3)
    if kind == 0:
        return pack(parts, zipfile.ZIP_DEFLATED)
    if kind == 1:
        parts[name] = b"\x00" * 50_000_000
        return pack(parts, zipfile.ZIP_DEFLATED)
    changed = bytearray(pack(parts))
    start = 0
    while (start := changed.find(b"PK\x01\x02", start)) >= 0:  # each entry of the directory
        changed[start + 20 : start + 28] = struct.pack("<II", 2**31, 2**31)
        start += 4
    return bytes(changed)


def inner_bombs(content: bytes, dice: random.Random) -> bytes:
    """Pack a part so that it becomes much, or other than is listed, under hashes that are right."""
    parts = stored(content)
    manifest = json.loads(parts.pop("manifest.json"))
    parts.pop("manifest.sha256")
    notes = {name: dict(note) for name, note in manifest["parts"].items()}
    name = dice.choice([name for name in parts if name.endswith(".gz")])
    kind = dice.randrange(9)
    if kind == 0:  # a thousandfold, and honest about it
        parts[name], notes[name]["size"] = gzip.compress(b"\x00" * 50_000_000), 50_000_000
    elif kind == 1:  # and not
        parts[name] = gzip.compress(b"\x00" * 50_000_000)
    elif kind == 2:
        notes[name]["size"] = dice.choice([0, -1, 1, 2**31, 2**62, 10**30, None, "1", 1.0, True])
    elif kind == 3:
        notes[name]["stride"] = dice.choice([0, -1, 2, 3, 8, 2**40, None, "4", 4.0, [4]])
    elif kind == 4:  # more behind the end
        parts[name] += dice.choice([b"\x00", parts[name], gzip.compress(b"x" * 1000)])
    elif kind == 5:
        parts[name] = parts[name][: dice.randrange(len(parts[name]))]
    elif kind == 6:
        parts[name.removesuffix(".gz")] = parts[name]
    elif kind == 7:
        parts[name.removesuffix(".gz")] = parts.pop(name)
    else:  # deep inside, and as much as is let through: random bytes, then nothing
        filler = dice.randbytes(200_000) + b"\x00" * 5_000_000
        parts[name], notes[name]["size"] = gzip.compress(filler), len(filler)
    return sealed(manifest, parts, notes)


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    flip_bits,
    cut,
    overwrite,
    of_the_end,
    swap_parts,
    swap_and_reseal,
    of_safetensors,
    hostile_json,
    hostile_json,
    hostile_json,
    bombs,
    inner_bombs,
]


def load_altered(
    content: bytes, n: int, seed: int, path: Path, X: Any
) -> tuple[dict[str, int], float]:
    """Load altered files, each of which is refused or gives the same scores.

    Returns
    -------
    outcomes : dict of str to int
        How many of each kind were refused, and how many loaded.
    seconds : float
        How long the slowest took.
    """
    path.write_bytes(content)
    expected = load_model(path).predict_proba(X)
    dice = random.Random(seed)
    outcomes: dict[str, int] = {}
    slowest = 0.0
    for number in range(n):
        kind = MUTATIONS[number % len(MUTATIONS)]
        altered = kind(content, dice)
        path.write_bytes(altered)
        started = time.process_time()
        try:
            model = load_model(path)
        except ModelFileError:
            outcome = "refused"
        else:
            outcome = "loaded"
            if not np.array_equal(model.predict_proba(X), expected):
                kept = path.with_name(f"other_scores_{number}.model")
                kept.write_bytes(altered)
                raise AssertionError(f"file {number}, {kind.__name__}, gives other scores: {kept}")
        slowest = max(slowest, time.process_time() - started)
        key = f"{kind.__name__} {outcome}"
        outcomes[key] = outcomes.get(key, 0) + 1
    return outcomes, slowest


def check_altered(
    content: bytes, n: int, seed: int, path: Path, table: Any
) -> tuple[dict[str, int], float]:
    """Load the monitors of altered files: each is refused, or checks a table without a crash.

    A monitor has no scores to be compared. Whoever knows the format can make another one, but a
    file that was damaged must not become another one.
    """
    path.write_bytes(content)
    expected = Monitor.load(path).to_json()
    dice = random.Random(seed)
    outcomes: dict[str, int] = {}
    slowest = 0.0
    for number in range(n):
        kind = MUTATIONS[number % len(MUTATIONS)]
        altered = kind(content, dice)
        path.write_bytes(altered)
        started = time.process_time()
        try:
            monitor = Monitor.load(path)
        except ValueError:
            outcome = "refused"
        else:
            outcome = "the same" if monitor.to_json() == expected else "another"
            if outcome == "another" and kind not in (hostile_json, swap_and_reseal):
                raise AssertionError(f"file {number}, {kind.__name__}, is another monitor")
            try:
                monitor.check("p", table, "overdue")
            except ValueError:
                outcome += ", refuses the table"
        slowest = max(slowest, time.process_time() - started)
        key = f"monitor, {kind.__name__} {outcome}"
        outcomes[key] = outcomes.get(key, 0) + 1
    return outcomes, slowest


def with_monitor(path: Path) -> tuple[bytes, Any]:
    """Return a file with a `PointsScaler` and a `Monitor`, and a table to check."""
    rng = np.random.default_rng(0)
    n = 600
    score = rng.normal(size=n)
    month = (np.datetime64("2024-01") + rng.integers(0, 3, n)).astype("datetime64[us]")
    table = pd.DataFrame(
        {
            "applied_at": month,
            "income": score.round(2),
            "kind": rng.choice(["a", "b", "c"], n),
            "overdue": (rng.random(n) < 1 / (1 + np.exp(1 - score))).astype(int),
        }
    )
    inner = make_pipeline(ProfileEncoder(), LogisticRegression())
    model = PointsScaler(inner).fit(table[["income", "kind"]], table["overdue"])
    table["p"] = model.predict_proba(table[["income", "kind"]])[:, 1]
    monitor = Monitor().fit("p", table, "overdue")
    save_model(model, path, table[["income", "kind"]], table["overdue"], monitor=monitor)
    return path.read_bytes(), table


def main() -> None:
    """Load many altered files."""
    from skhuihen import attach_behaviors
    from skhuihen.datasets import make_loan_data

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    content = (Path(__file__).parent / "data" / "format_1.model").read_bytes()
    bank = make_loan_data(n_new=160, n_old=0, overdue_rate=0.4, random_state=0)
    X = attach_behaviors(bank.applications, bank.events, lookback="30D")[:20]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    path = Path(tempfile.mkdtemp()) / "a.model"
    outcomes, slowest = load_altered(content, arguments.files, arguments.seed, path, X)
    content, table = with_monitor(path)
    inputs = table[["income", "kind"]]
    for found, seconds in (
        load_altered(content, arguments.files, arguments.seed, path, inputs),
        check_altered(content, arguments.files, arguments.seed, path, table),
    ):
        slowest = max(slowest, seconds)
        for key, count in found.items():
            outcomes[key] = outcomes.get(key, 0) + count
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(*(f"{key}: {count}" for key, count in sorted(outcomes.items())), sep="\n")
    print(f"slowest {slowest:.2f} s; memory rose by {after - before:.0f} MB")


if __name__ == "__main__":
    main()
