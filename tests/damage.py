"""What damages bytes, NIfTI headers and text: drawn from a random generator."""

import gzip

import nibabel
import numpy as np

Random = np.random.Generator

SHAPE = (5, 6, 7)
LARGE = 2**22
"""Bytes that a bomb unpacks to."""


def flip(content: bytes, random: Random, start: int = 0, stop: int | None = None) -> bytes:
    """Some bytes between `start` and `stop` changed, in one of several ways."""
    changed = bytearray(content)
    stop = min(len(changed), len(changed) if stop is None else stop)
    for _ in range(int(random.integers(1, 6))):
        place = int(random.integers(start, max(start + 1, stop)))
        if place < len(changed):
            changed[place] = int(random.choice([0, 1, 127, 128, 255, random.integers(256)]))
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """The beginning."""
    return content[: int(random.integers(len(content) + 1))]


def splice(content: bytes, random: Random) -> bytes:
    """A part taken out, put twice or put elsewhere."""
    first, second = sorted(random.integers(0, len(content) + 1, 2).tolist())
    middle = content[first:second]
    return [content[:first] + content[second:], content[:second] + middle + content[second:],
            middle + content[:first] + content[second:]][int(random.integers(3))]  # fmt: skip


def damaged_bytes(content: bytes, random: Random) -> bytes:
    """Flipped, cut, spliced, or noise."""
    way = int(random.integers(8))
    if way == 7:
        return random.bytes(int(random.integers(3000)))
    return (cut if way == 6 else splice if way == 5 else flip)(content, random)


NUMBERS = (0, 1, -1, 2, 7, 8, 255, 32767, -32768, 2**31 - 1, 2**62)
REALS = (0.0, -1.0, 1e-45, 1e38, -1e38, float("nan"), float("inf"), 352.0, 353.5, 2.0**40)


def nifti_bytes(random: Random) -> bytes:
    """A whole file of some type of voxels, byte order and version."""
    kind = (nibabel.Nifti1Image, nibabel.Nifti2Image)[int(random.integers(2))]
    dtype = np.dtype(str(random.choice(["u1", "i2", "u2", "i4", "f4", "f8", "i8"])))
    header = kind.header_class(endianness=str(random.choice(["<", ">"])))
    header.set_data_dtype(dtype)
    voxels = random.integers(0, random.choice([3, 100]), SHAPE).astype(dtype)
    image = kind(voxels, np.diag([1.0, 2.0, 3.0, 1.0]), header)
    if random.random() < 0.3:
        image.header.set_slope_inter(float(random.normal()), float(random.normal()))
    if random.random() < 0.2:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(6, random.bytes(int(random.integers(60)))))
    return image.to_bytes()


def wrong_field(content: bytes, random: Random) -> bytes:
    """One field of the header holds something odd."""
    header_class = nibabel.Nifti1Header if content[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") else nibabel.Nifti2Header
    size = header_class.template_dtype.itemsize
    header = header_class(content[:size], check=False)
    names = ["dim", "datatype", "bitpix", "vox_offset", "scl_slope", "scl_inter", "pixdim", "qform_code", "sform_code",
             "srow_x", "quatern_b", "xyzt_units", "sizeof_hdr", "magic"]  # fmt: skip
    block = np.frombuffer(bytearray(content[:size]), header.structarr.dtype).copy()
    field = block[str(random.choice(names))].reshape(-1)
    place = int(random.integers(len(field)))
    if field.dtype.kind == "S":
        field[place] = random.bytes(3)
    else:
        value = random.choice(NUMBERS if field.dtype.kind in "iu" else REALS)
        with np.errstate(all="ignore"):
            field[place] = np.array(value).astype(field.dtype)
    return block.tobytes() + content[size:]


def bomb(random: Random) -> bytes:
    """A small file that unpacks to a large one, as its header says or not."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    extent = int(random.choice([8, 128, 1024, 32767]))
    header.set_data_shape((extent, extent, int(random.choice([8, 256, 32767]))))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    return gzip.compress(header.binaryblock + bytes(4) + bytes(LARGE), 9 if random.random() < 0.5 else 1)


WORDS = (
    "", "0", "-1", "1e400", "nan", ".nan", "null", "~", "[]", "{}", "!!python/object/apply:os.getcwd []",
    "&a [*a]", "*a",
    "'", '"', "\x00", "é", "\ud7ff", "9" * 5000, "[" * 3000, "{a: " * 2000, "- " * 2000, "true", "2020-99-99", "%TAG",
    "!!timestamp x", "!!binary x", "!!int x", "? [a]\n: b", "<<: 1", "\t", ",,,,,", "\r", "\n\n",
    "☃", "[[True]]", "(" * 300,
)  # fmt: skip
"""What is put into text files."""

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
"""Ten lines of YAML that stand for a billion words."""


def damaged_text(text: str, random: Random) -> bytes:
    """Words put in, lines taken out or twice, or bytes changed."""
    way = random.random()
    if way < 0.3:
        return damaged_bytes(text.encode(), random)
    if way < 0.33:
        return LAUGHS.encode()
    word = str(random.choice(WORDS))
    if way < 0.5:
        place = int(random.integers(len(text) + 1))
        return (text[:place] + word + text[place:]).encode()
    lines = text.splitlines()
    place = int(random.integers(max(1, len(lines))))
    line = lines[place] if lines else ""
    for mark in (": ", ","):
        if mark in line and way < 0.9:
            parts = line.split(mark)
            parts[int(random.integers(len(parts)))] = word
            lines[place] = mark.join(parts)
            return "\n".join(lines).encode()
    lines[place : place + 1] = [line, line] if way < 0.95 else []
    return "\n".join(lines).encode()


def other_values(value: object, random: Random) -> object:
    """A JSON or YAML value with one entry somewhere replaced by something odd, or gone."""
    odd = [None, 0, -1, 1.5, 10**9, 10**30, "", "x", "../../x", [], {}, True, float("nan"), [[1]], {"a": {"b": 1}}]
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = list(value)[int(random.integers(len(value)))]
        if random.random() < 0.1:
            return {name: entry for name, entry in value.items() if name != key}
        if random.random() < 0.1:
            return {("y" if name == key else name): entry for name, entry in value.items()}
        return {**value, key: other_values(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.7:
        place = int(random.integers(len(value)))
        return [*value[:place], other_values(value[place], random), *value[place + 1 :]]
    return odd[int(random.integers(len(odd)))]
