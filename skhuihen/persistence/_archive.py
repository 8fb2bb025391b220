"""The outer form of a model file: a zip of parts, each with its hash and size in the manifest.

The zip itself packs nothing: a part named ``.gz`` is gzip's, and is unpacked here, once its hash
is right, into no more than what the manifest and `LARGEST_RATIO` allow.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

#: The format that is written; older ones are read for ever.
FORMAT = 1
MANIFEST, MANIFEST_HASH = "manifest.json", "manifest.sha256"
#: No file that is longer is opened, and its parts are no longer when they are unpacked.
LARGEST_FILE = 256 * 2**20
#: Bytes that one packed byte may become; a part that shrinks further is kept as it is.
LARGEST_RATIO = 30
#: Text becomes objects that take up to twenty times as much memory.
LARGEST_JSON = 16 * 2**20
MOST_PARTS = 1_000
#: Lists and objects inside one another.
DEEPEST = 60
_NAME = re.compile(r"[a-z0-9_]{1,40}(/[0-9]{1,4})?\.(json|sha256|safetensors|txt|skops)(\.gz)?")
_GZIP = 16 + zlib.MAX_WBITS
#: A zip without a note; the time of its parts says nothing, so that it is always the same.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class ModelFileError(ValueError):
    """A model file is damaged, was altered, or is of a kind that is not read here."""


def sha256_of(content: bytes) -> str:
    """Return the hash of some bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def to_json(value: Any) -> bytes:
    """Write JSON as it is written here: ASCII, without NaN."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def from_json(content: bytes, part: str) -> Any:
    """Read JSON, and refuse what is ambiguous or too large or deep."""
    if len(content) > LARGEST_JSON:
        raise ModelFileError(f"{part} has {len(content)} bytes; {LARGEST_JSON} at most are read.")
    with refusing(part):
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
        _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a key twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for found in level:
            if isinstance(found, dict):
                inner.extend(v for v in found.values() if isinstance(v, dict | list))
            elif isinstance(found, list):
                inner.extend(v for v in found if isinstance(v, dict | list))
        if not inner:
            return
        level = inner
    raise ValueError(f"lists and objects stand inside one another more than {DEEPEST} deep")


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into a `ModelFileError` that names the part."""
    try:
        yield
    except ModelFileError:
        raise
    # Hostile content may raise anything; none of it is our caller's mistake.
    except Exception as error:
        raise ModelFileError(
            f"{what} cannot be read ({type(error).__name__}: {str(error)[:300]}). The file is "
            "damaged or was altered: fetch it again, or save the model anew."
        ) from error


def write_archive(
    path: str | os.PathLike[str],
    parts: Mapping[str, bytes],
    head: Any,
    strides: Mapping[str, int] | None = None,
) -> None:
    """Write parts and a manifest with their hashes; a file that is there is replaced as a whole.

    Parameters
    ----------
    path : path
    parts : mapping of str to bytes
    head : dict
        The rest of the manifest.
    strides : mapping of str to int, default=None
        Bytes of the numbers that a part consists of, for those of weights.
    """
    stored: dict[str, bytes] = {}
    known: dict[str, dict[str, Any]] = {}
    for name, content in parts.items():
        name, packed, note = pack_part(name, content, (strides or {}).get(name, 1))
        stored[name], known[name] = packed, note
    manifest = json.dumps({**head, "parts": known}, allow_nan=False, indent=1).encode("ascii")
    everything = {
        MANIFEST: manifest,
        MANIFEST_HASH: sha256_of(manifest).encode("ascii"),
        **stored,
    }
    size = sum(map(len, parts.values()))
    if size > LARGEST_FILE - 2**20:
        raise ValueError(
            f"The model has {size} bytes, and files of up to {LARGEST_FILE} are read. Is a table "
            "among its parameters? Give it fewer networks or trees."
        )
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
            for name, content in everything.items():
                archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def pack_part(name: str, content: bytes, stride: int = 1) -> tuple[str, bytes, dict[str, Any]]:
    """Return the name of a part in the zip, its bytes there, and what the manifest says of it."""
    note: dict[str, Any] = {"size": len(content)}
    how = zlib.Z_DEFAULT_STRATEGY if stride == 1 else zlib.Z_FILTERED
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP, strategy=how)
    # First bytes of all numbers together, then the second ones: exponents are alike, and no more
    # is to be found in weights.
    by_place = _transposed(content, len(content) // stride, stride)
    packed = packer.compress(by_place) + packer.flush()
    if len(content) <= LARGEST_RATIO * len(packed):
        name, content = f"{name}.gz", packed
        if stride > 1:
            note["stride"] = stride
    return name, content, {**note, "sha256": sha256_of(content)}


def unpack_parts(manifest: Mapping[str, Any], stored: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return parts as they were before they were packed, by their names without ``.gz``."""
    sizes = {name: note["size"] for name, note in manifest["parts"].items()}
    if sum(sizes.values()) > LARGEST_FILE:
        raise ModelFileError(f"The parts have {sum(sizes.values())} bytes; {LARGEST_FILE} at most.")
    parts: dict[str, bytes] = {}
    for name, content in stored.items():
        plain = name.removesuffix(".gz")
        if plain in parts:
            raise ModelFileError(f"The part {plain!r} is there twice, packed and as it is.")
        if plain != name:
            with refusing(name):
                content = _unpack(content, sizes[name], manifest["parts"][name].get("stride", 1))
        parts[plain] = content
    return parts


def _unpack(content: bytes, size: int, stride: int) -> bytes:
    if size > LARGEST_RATIO * len(content):
        raise ModelFileError(f"{len(content)} packed bytes are said to become {size}.")
    unpacker = zlib.decompressobj(_GZIP)
    found = unpacker.decompress(content, size + 1)
    if len(found) != size or not unpacker.eof or unpacker.unused_data:
        raise ModelFileError(f"A packed part does not become the {size} bytes that are listed.")
    return _transposed(found, stride, len(found) // stride)


def _transposed(content: bytes, rows: int, columns: int) -> bytes:
    """Swap rows and columns of bytes; what is left over at the end stays there."""
    table = np.frombuffer(content, np.uint8, rows * columns).reshape(rows, columns)
    return table.T.tobytes() + content[rows * columns :]


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a file that is not too long for a model."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(LARGEST_FILE + 1) if size <= LARGEST_FILE else b""
    if not content or len(content) > LARGEST_FILE:
        raise ModelFileError(
            f"{str(path)!r} has {size} bytes; a model file has some, and {LARGEST_FILE} at most."
        )
    return content


def read_zip(content: bytes, what: str) -> dict[str, bytes]:
    """Return the parts of a zip of stored parts, which can be no longer than the zip itself."""
    wrong = (zipfile.BadZipFile, NotImplementedError, struct.error)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = archive.infolist()
            if len(found) > MOST_PARTS:
                raise ModelFileError(f"{what} has {len(found)} parts; {MOST_PARTS} at most.")
            if len({info.filename for info in found}) != len(found):
                raise ModelFileError(f"{what} has two parts of one name.")
            for info in found:
                stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 0x1
                if not stored or info.file_size != info.compress_size:
                    raise ModelFileError(
                        f"{what} has a part {info.filename[:60]!r} that is packed or encrypted; "
                        "parts are stored as they are."
                    )
            if sum(info.file_size for info in found) > len(content):
                raise ModelFileError(f"{what} has parts that are longer than itself.")
            with refusing(what):
                return {info.filename: archive.read(info) for info in found}
    except wrong as error:
        raise ModelFileError(
            f"{what} is no model file, or a damaged one ({error}). Fetch it again, or save the "
            "model anew."
        ) from error
    except ModelFileError:
        raise
    except Exception as error:  # zipfile on hostile headers
        raise ModelFileError(f"{what} is no model file ({type(error).__name__}).") from error


def read_parts(content: bytes, what: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the parts of a model file as they are stored, checked by hash."""
    if content[:4] != b"PK\x03\x04":
        raise ModelFileError(f"{what} is no model file: it does not begin as one.")
    parts = read_zip(content, what)
    for name in parts:
        if not _NAME.fullmatch(name):
            raise ModelFileError(f"{what} has a part named {name[:60]!r}, which no model file has.")
    for name in (MANIFEST, MANIFEST_HASH):
        if name not in parts:
            raise ModelFileError(f"{what} has no part {name!r}, which every model file has.")
    text, digest = parts.pop(MANIFEST), parts.pop(MANIFEST_HASH)
    if sha256_of(text).encode("ascii") != digest:
        raise ModelFileError(f"{what}: the manifest is not what was written; its hash differs.")
    manifest = from_json(text, f"{what}: manifest")
    if not isinstance(manifest, dict) or type(manifest.get("format")) is not int:
        raise ModelFileError(f"{what}: the manifest names no format.")
    if manifest["format"] > FORMAT or manifest["format"] < 1:
        raise ModelFileError(
            f"{what} is of format {manifest['format']}, and this version reads formats up to "
            f"{FORMAT}. Install a newer skhuihen to load it."
        )
    listed = manifest.get("parts")
    if not isinstance(listed, dict) or set(listed) != set(parts):
        raise ModelFileError(f"{what}: the parts are not those that the manifest lists.")
    for name, part in parts.items():
        note = listed[name]
        if not isinstance(note, dict) or note.get("sha256") != sha256_of(part):
            raise ModelFileError(
                f"{what}: part {name!r} is not what was written; its hash differs."
            )
        size, stride = note.get("size"), note.get("stride", 1)
        is_packed = name.endswith(".gz")
        if (
            type(size) is not int
            or not 0 <= size <= LARGEST_FILE
            or not (is_packed or size == len(part))
            or not (stride == 1 or (is_packed and type(stride) is int and stride in (2, 4, 8)))
        ):
            raise ModelFileError(f"{what}: part {name!r} is of another size than is listed.")
    return manifest, parts
