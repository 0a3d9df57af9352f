"""What a file is, by its name and by its content: pictures that are read, and what looks like one.

A name only says what a file is meant to be; whether it is read is decided by the content, see
`ferlit.data.media.pictures`. The tables here are for naming what is not read.
"""

from pathlib import Path, PurePath
from typing import Literal, NamedTuple

Group = Literal["picture", "drawing", "video", "archive"]


class Kind(NamedTuple):
    """A kind of file that may hold pictures."""

    name: str
    group: Group


_ENDINGS: dict[Kind, str] = {
    Kind("PNG", "picture"): "png apng",
    Kind("JPEG", "picture"): "jpg jpeg jpe jfif jfi jif pjpeg pjp mpo",
    Kind("BMP", "picture"): "bmp dib",
    Kind("TIFF", "picture"): "tif tiff",
    Kind("WebP", "picture"): "webp",
    Kind("GIF", "picture"): "gif",
    Kind("PPM", "picture"): "ppm pgm pbm pnm",
    Kind("AVIF", "picture"): "avif avifs",
    Kind("HEIC", "picture"): "heic heif hif heics heifs",
    Kind("JPEG 2000", "picture"): "jp2 j2k j2c jpc jpf jpx jpm",
    Kind("JPEG XL", "picture"): "jxl",
    Kind("JPEG XR", "picture"): "jxr wdp hdp",
    Kind("Photoshop", "picture"): "psd psb",
    Kind("GIMP", "picture"): "xcf",
    Kind("icon", "picture"): "ico cur icns",
    Kind("TGA", "picture"): "tga icb vda vst",
    Kind("DDS", "picture"): "dds",
    Kind("PCX", "picture"): "pcx dcx",
    Kind("OpenEXR", "picture"): "exr",
    Kind("floating-point map", "picture"): "pfm",
    Kind("Portable Any Map", "picture"): "pam",
    Kind("SGI", "picture"): "sgi",
    Kind("Sun raster", "picture"): "ras",
    Kind("X bitmap", "picture"): "xbm xpm",
    Kind("QuickDraw", "picture"): "pct pict",
    Kind("QOI", "picture"): "qoi",
    Kind("BPG", "picture"): "bpg",
    Kind("FLIF", "picture"): "flif",
    Kind("MNG", "picture"): "mng jng",
    Kind("DICOM", "picture"): "dcm dicom",
    Kind("FITS", "picture"): "fits",
    Kind("camera raw", "picture"): (
        "dng cr2 cr3 crw nef nrw arw srf sr2 orf rw2 raf pef srw x3f raw 3fr erf kdc mrw iiq rwl"
    ),
    Kind("SVG", "drawing"): "svg svgz",
    Kind("PostScript", "drawing"): "eps ps ai epsf",
    Kind("PDF", "drawing"): "pdf",
    Kind("metafile", "drawing"): "wmf emf",
    Kind("video", "video"): (
        "avi mp4 mov mkv webm m4v mpg mpeg wmv flv ogv 3gp ts mts m2ts vob asf mjpeg mjpg"
    ),
    Kind("archive", "archive"): "zip rar 7z tar gz tgz bz2 xz zst lzma",
}
KINDS = {f".{ending}": kind for kind, endings in _ENDINGS.items() for ending in endings.split()}

# At the start of a file, unless another place is given.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (8, b"CR\x02\x00", "camera raw"),
    (0, b"FUJIFILMCCD-RAW", "camera raw"),
    (0, b"IIRO", "camera raw"),
    (0, b"IIRS", "camera raw"),
    (0, b"MMOR", "camera raw"),
    (0, b"IIU\x00", "camera raw"),
    (0, b"FOVb", "camera raw"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"gimp xcf", "GIMP"),
    (0, b"DDS ", "DDS"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"qoif", "QOI"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"FLIF", "FLIF"),
    (0, b"\x8aMNG", "MNG"),
    (0, b"\x8bJNG", "MNG"),
    (128, b"DICM", "DICOM"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"icns", "icon"),
    (0, b"\x00\x00\x01\x00", "icon"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (8, b"AVI ", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (0, b"\x00\x00\x01\xba", "video"),
    (0, b"PK\x03\x04", "archive"),
    (0, b"Rar!", "archive"),
    (0, b"7z\xbc\xaf", "archive"),
    (0, b"\x1f\x8b", "archive"),
)
# The brands of pictures in the ISO container, which videos use too.
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_EITHER = {b"mif1", b"msf1", b"miaf"}
HEAD = 512  # bytes that tell what a file is

_BY_NAME = {kind.name: kind for kind in _ENDINGS}
_ADVICE = {
    "HEIC": "install ferlit[heic], or convert it to PNG or JPEG",
    "AVIF": "install Pillow 11.3 or later, or convert it to PNG or JPEG",
    "camera raw": "develop it, and save it as PNG or JPEG",
    "archive": "unpack it",
    "video": "save its frames as PNG or JPEG",
    "drawing": "save it as PNG or JPEG",
    "picture": "convert it to PNG or JPEG",
}
_TEXTS = {
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<!doctype html": "a web page, which a failed download leaves",
    b"<html": "a web page, which a failed download leaves",
}


def kind_of_name(name: str) -> Kind | None:
    """What a file is meant to be, by its ending.

    >>> kind_of_name("a.JFIF"), kind_of_name("a.txt")
    (Kind(name='JPEG', group='picture'), None)
    """
    return KINDS.get(PurePath(name).suffix.lower())


def kind_of_content(head: bytes) -> Kind | None:
    r"""What a file is, by its first `HEAD` bytes; None where they do not tell.

    >>> kind_of_content(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
    Kind(name='HEIC', group='picture')
    """
    if head[4:8] == b"ftyp":
        size = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
        if head[8:12] in _AVIF | _HEIC | _EITHER:
            return _BY_NAME["AVIF" if brands & _AVIF and not brands & _HEIC else "HEIC"]
        return _BY_NAME["camera raw" if head[8:12] == b"crx " else "video"]
    for place, mark, name in _MARKS:
        if head.startswith(mark, place):
            return _BY_NAME[name]
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return _BY_NAME["BMP"]
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return _BY_NAME["PPM"]
    return _BY_NAME["SVG"] if b"<svg" in head.lower() else None


def read_head(path: Path) -> bytes:
    """The first bytes of a file; b"" where it is none, as a pipe, or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def not_read(kind: Kind) -> str:
    """Why a file of a kind is not read, and what to do.

    >>> not_read(KINDS[".heic"])
    'HEIC is not read; install ferlit[heic], or convert it to PNG or JPEG'
    >>> not_read(KINDS[".zip"])
    'archive is not read; unpack it'
    """
    advice = _ADVICE.get(kind.name, _ADVICE[kind.group])
    return f"{kind.name} is not read; {advice}"


def what_lies_there(head: bytes) -> str:
    """Why a file that was meant to be a picture is none that is read.

    >>> what_lies_there(b"<!DOCTYPE html><title>Not found")
    'a web page, which a failed download leaves'
    >>> what_lies_there(b"no picture at all")
    'not a picture of a known kind'
    """
    kind = kind_of_content(head)
    if kind is not None:
        return not_read(kind)
    start = head.lstrip().lower()
    for mark, what in _TEXTS.items():
        if start.startswith(mark):
            return what
    return "not a picture of a known kind"
