"""The outer form of a model file: a zip of parts, each with its hash and size in the manifest.

The zip itself compresses nothing. A part named ``.gz`` is compressed with gzip. It is decompressed
here after its hash was checked, to at most the size that the manifest and `LARGEST_RATIO` allow.
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

#: The format that is written. All later versions of this package read it.
FORMAT = 1
MANIFEST, MANIFEST_HASH = "manifest.json", "manifest.sha256"
#: Largest size of a file, and of all its parts together after decompression.
LARGEST_FILE = 256 * 2**20
#: Largest compression ratio; a part that shrinks more is stored without compression.
LARGEST_RATIO = 30
#: JSON takes up to twenty times as much memory when it is parsed.
LARGEST_JSON = 16 * 2**20
MOST_PARTS = 1_000
#: Deepest nesting of lists and objects.
DEEPEST = 60
_NAME = re.compile(r"[a-z0-9_]{1,40}(/[0-9]{1,4})?\.(json|sha256|safetensors|txt|skops)(\.gz)?")
_GZIP = 16 + zlib.MAX_WBITS
_REMEDY = (
    "The file is damaged or was altered. Copy it again from its source, or save the model again."
)
#: Time of all parts in the zip; it is fixed, so that equal models give equal files.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class ModelFileError(ValueError):
    """A model file is damaged, was altered, or has a format that this version cannot read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from skhuihen import load_model
    >>> from skhuihen.persistence import ModelFileError
    >>> path = Path(mkdtemp()) / "risk.model"
    >>> n_bytes = path.write_bytes(b"not a model")
    >>> try:
    ...     load_model(path)
    ... except ModelFileError as error:
    ...     print(error)
    '...risk.model' is not a model file: its first bytes are not those of one. Pass a file ...
    """


class PartError(ModelFileError):
    """What is wrong in a part of a file. `refusing` adds the name of the file and the remedy."""


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of some bytes, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def to_json(value: Any) -> bytes:
    """Return a value as JSON in ASCII, without NaN."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def from_json(content: bytes, part: str) -> Any:
    """Read JSON; reject it if it is ambiguous, too large or nested too deeply."""
    if len(content) > LARGEST_JSON:
        raise ModelFileError(
            f"{part} has {len(content)} bytes; it must have at most {LARGEST_JSON}."
        )
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
        raise ValueError("an object has a key twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not valid JSON")


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
    raise ValueError(f"lists and objects are nested more than {DEEPEST} levels deep")


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn every error while a file is read into a `ModelFileError` that names the file or part."""
    try:
        yield
    except PartError as error:
        raise ModelFileError(f"{what} cannot be read: {error}. {_REMEDY}") from error
    except ModelFileError:
        raise
    # Hostile content can raise any error, and the caller is to blame for none of them.
    except Exception as error:
        raise ModelFileError(
            f"{what} cannot be read ({type(error).__name__}: {str(error)[:300]}). {_REMEDY}"
        ) from error


def write_archive(
    path: str | os.PathLike[str],
    parts: Mapping[str, bytes],
    head: Any,
    strides: Mapping[str, int] | None = None,
) -> None:
    """Write parts and a manifest with their hashes. An existing file is replaced in one step.

    Parameters
    ----------
    path : path
    parts : mapping of str to bytes
    head : dict
        The rest of the manifest.
    strides : mapping of str to int, default=None
        Size in bytes of each number of a part, for parts that consist of weights.
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
            f"The model has {size} bytes; a model file can have at most {LARGEST_FILE}. Check that "
            "no parameter of the model is a table, or fit it with fewer networks or trees."
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
    """Return the name of a part in the zip, its bytes there, and its entry in the manifest."""
    note: dict[str, Any] = {"size": len(content)}
    how = zlib.Z_DEFAULT_STRATEGY if stride == 1 else zlib.Z_FILTERED
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP, strategy=how)
    # The first bytes of all numbers come first, then the second bytes, and so on. Exponents are
    # similar, and nothing else in weights can be compressed.
    by_place = _transposed(content, len(content) // stride, stride)
    packed = packer.compress(by_place) + packer.flush()
    if len(content) <= LARGEST_RATIO * len(packed):
        name, content = f"{name}.gz", packed
        if stride > 1:
            note["stride"] = stride
    return name, content, {**note, "sha256": sha256_of(content)}


def unpack_parts(manifest: Mapping[str, Any], stored: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the decompressed parts, by their names without ``.gz``."""
    sizes = {name: note["size"] for name, note in manifest["parts"].items()}
    if sum(sizes.values()) > LARGEST_FILE:
        raise ModelFileError(
            f"The parts have {sum(sizes.values())} bytes; they must have at most {LARGEST_FILE}."
        )
    parts: dict[str, bytes] = {}
    for name, content in stored.items():
        plain = name.removesuffix(".gz")
        if plain in parts:
            raise ModelFileError(
                f"The part {plain!r} exists twice, compressed and not compressed. {_REMEDY}"
            )
        if plain != name:
            with refusing(name):
                content = _unpack(content, sizes[name], manifest["parts"][name].get("stride", 1))
        parts[plain] = content
    return parts


def _unpack(content: bytes, size: int, stride: int) -> bytes:
    if size > LARGEST_RATIO * len(content):
        raise ModelFileError(
            f"The manifest says that {len(content)} compressed bytes become {size}, which is more "
            f"than {LARGEST_RATIO} times as many. {_REMEDY}"
        )
    unpacker = zlib.decompressobj(_GZIP)
    found = unpacker.decompress(content, size + 1)
    if len(found) != size or not unpacker.eof or unpacker.unused_data:
        raise ModelFileError(
            f"A compressed part does not become the {size} bytes that the manifest lists. {_REMEDY}"
        )
    return _transposed(found, stride, len(found) // stride)


def _transposed(content: bytes, rows: int, columns: int) -> bytes:
    """Swap rows and columns of bytes; a remainder at the end stays in place."""
    table = np.frombuffer(content, np.uint8, rows * columns).reshape(rows, columns)
    return table.T.tobytes() + content[rows * columns :]


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a file; reject it if it is empty or too large for a model."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(LARGEST_FILE + 1) if size <= LARGEST_FILE else b""
    if not content or len(content) > LARGEST_FILE:
        raise ModelFileError(
            f"{str(path)!r} has {size} bytes; a model file has between 1 and {LARGEST_FILE}."
        )
    return content


def read_zip(content: bytes, what: str) -> dict[str, bytes]:
    """Return the parts of a zip that compresses nothing, so they are no larger than the zip."""
    wrong = (zipfile.BadZipFile, NotImplementedError, struct.error)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = archive.infolist()
            if len(found) > MOST_PARTS:
                raise ModelFileError(
                    f"{what} has {len(found)} parts; it must have at most {MOST_PARTS}."
                )
            if len({info.filename for info in found}) != len(found):
                raise ModelFileError(f"{what} has two parts with the same name. {_REMEDY}")
            for info in found:
                stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 0x1
                if not stored or info.file_size != info.compress_size:
                    raise ModelFileError(
                        f"{what} has a part {info.filename[:60]!r} that the zip compresses or "
                        f"encrypts, which a model file never does. {_REMEDY}"
                    )
            if sum(info.file_size for info in found) > len(content):
                raise ModelFileError(f"{what} has parts that are larger than the file. {_REMEDY}")
            with refusing(what):
                return {info.filename: archive.read(info) for info in found}
    except wrong as error:
        raise ModelFileError(
            f"{what} is not a model file, or is damaged ({error}). Copy it again from its source, "
            "or save the model again."
        ) from error
    except ModelFileError:
        raise
    except Exception as error:  # zipfile on hostile headers
        raise ModelFileError(
            f"{what} is not a model file ({type(error).__name__}). Pass a file written by "
            "save_model."
        ) from error


def read_parts(content: bytes, what: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the stored parts of a model file, after checking their hashes."""
    if content[:4] != b"PK\x03\x04":
        raise ModelFileError(
            f"{what} is not a model file: its first bytes are not those of one. Pass a file "
            "written by save_model."
        )
    parts = read_zip(content, what)
    for name in parts:
        if not _NAME.fullmatch(name):
            raise ModelFileError(
                f"{what} has a part named {name[:60]!r}, which no model file has. {_REMEDY}"
            )
    for name in (MANIFEST, MANIFEST_HASH):
        if name not in parts:
            raise ModelFileError(
                f"{what} has no part {name!r}, which every model file has. {_REMEDY}"
            )
    text, digest = parts.pop(MANIFEST), parts.pop(MANIFEST_HASH)
    if sha256_of(text).encode("ascii") != digest:
        raise ModelFileError(
            f"{what}: the manifest has a different hash than when it was written. {_REMEDY}"
        )
    manifest = from_json(text, f"{what}: manifest")
    if not isinstance(manifest, dict) or type(manifest.get("format")) is not int:
        raise ModelFileError(f"{what}: the manifest has no format number. {_REMEDY}")
    if manifest["format"] > FORMAT or manifest["format"] < 1:
        raise ModelFileError(
            f"{what} has format {manifest['format']}, but this version reads formats 1 to "
            f"{FORMAT}. Install a newer skhuihen to load it."
        )
    listed = manifest.get("parts")
    if not isinstance(listed, dict) or set(listed) != set(parts):
        raise ModelFileError(f"{what}: the parts are not those that the manifest lists. {_REMEDY}")
    for name, part in parts.items():
        note = listed[name]
        if not isinstance(note, dict) or note.get("sha256") != sha256_of(part):
            raise ModelFileError(
                f"{what}: the part {name!r} has a different hash than when it was written. "
                f"{_REMEDY}"
            )
        size, stride = note.get("size"), note.get("stride", 1)
        is_packed = name.endswith(".gz")
        if (
            type(size) is not int
            or not 0 <= size <= LARGEST_FILE
            or not (is_packed or size == len(part))
            or not (stride == 1 or (is_packed and type(stride) is int and stride in (2, 4, 8)))
        ):
            raise ModelFileError(
                f"{what}: the part {name!r} has a different size than the manifest lists. {_REMEDY}"
            )
    return manifest, parts
