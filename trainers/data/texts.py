"""Text files as Unicode: which encoding, which delimiter, and at which line a record begins; stdlib only."""

from __future__ import annotations

import csv
import io
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from trainers.data.faults import Fault, FaultsError

DELIMITERS = ",;\t|"
SNIFFED_RECORDS = 50
TOLD_BY_BYTES = 2**18
BINARY = {b"PK\x03\x04": "an Excel or zip file", b"\x1f\x8b": "a gzip file", b"PAR1": "a Parquet file"}
UTF8_MARK = b"\xef\xbb\xbf"
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")


def decode(file: str, content: bytes, encoding: str | None) -> str:
    """The text of a file, without a byte order mark.

    Args:
        file: its name, for faults.
        content: its bytes.
        encoding: as Python names it; None is UTF-8, or UTF-16 where the file begins with that mark.

    Raises:
        FaultsError: for an unknown encoding and for bytes that are none of it, with an encoding that reads them.
    """
    for mark, name in BINARY.items():
        if content.startswith(mark):
            raise FaultsError(Fault(file=file, detail=f"this is {name}: unpack it, or save the table as CSV in UTF-8"))
    tried = encoding or ("utf-16" if content.startswith(WIDE_MARKS) else "utf-8")
    if content.startswith(UTF8_MARK):
        tried = "utf-8"  # whatever was said: no text in another encoding begins like this
    try:
        text = content.decode(tried)
    except LookupError:
        detail = f"there is no encoding {encoding!r}: say utf-8, latin-1, cp1252, gbk or another that Python knows"
        raise FaultsError(Fault(file=file, detail=detail)) from None
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        row = content.count(b"\n", 0, start) + 1
        cure = "save it as UTF-8"
        if not content.startswith(WIDE_MARKS):
            cure = f"say encoding: {likely_encoding(_lines_from(content, start))}, or {cure}"
        raise FaultsError(Fault(file=file, row=row, detail=f"it is not {tried} here: {cure}")) from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise FaultsError(Fault(file=file, row=row, detail="there is a NUL character: save it as a text file in UTF-8"))
    return text.removeprefix("\ufeff")


def _lines_from(content: bytes, start: int) -> bytes:
    """Some whole lines from a place on: enough to tell an encoding by."""
    begins = content.rfind(b"\n", 0, start) + 1
    ends = content.find(b"\n", begins + TOLD_BY_BYTES)
    return content[begins : None if ends < 0 else ends]


def as_utf8(file: str, text: str) -> bytes:
    """The bytes of a text in UTF-8 with a line end, which is what Arrow reads.

    Raises:
        FaultsError: for half a character, which encodings with escapes may give.
    """
    try:
        return (text if text.endswith(("\n", "\r")) else f"{text}\n").encode()
    except UnicodeEncodeError as error:
        row = text.count("\n", 0, error.start) + 1
        raise FaultsError(Fault(file=file, row=row, detail="half a character: save it as UTF-8")) from None


def likely_encoding(content: bytes) -> str:
    """An encoding that reads what is no UTF-8.

    Chinese text in GBK is made of pairs of high bytes, the first of the common characters from B0 to F7; an accented
    letter in a Western encoding stands between ASCII letters.
    """
    for candidate in ("utf-8", "gb18030"):
        try:
            text = content.decode(candidate)
        except UnicodeError:
            continue
        wide = [character for character in text if ord(character) > 0x7F]
        common = sum("\u4e00" <= character <= "\u9fff" and _is_common(character) for character in wide)
        if candidate == "utf-8" or 2 * common > len(wide):
            return "gbk" if candidate == "gb18030" else candidate
    try:
        content.decode("cp1252")
    except UnicodeError:
        return "latin-1"
    return "latin-1" if not any(0x80 <= byte < 0xA0 for byte in content) else "cp1252"


def _is_common(character: str) -> bool:
    """Whether it is one of the 6,763 characters of GB 2312, whose two bytes are both high."""
    return character.encode("gb2312", "ignore") != b""


def sniff_delimiter(text: str) -> str:
    """The delimiter that cuts the first records into the most cells, the same number in most of them."""
    opening = "\n".join(text[: 2**18].splitlines()[: SNIFFED_RECORDS * 4])

    def judged(delimiter: str) -> tuple[float, int]:
        records = csv.reader(io.StringIO(opening, newline=""), delimiter=delimiter)
        lengths = Counter(len(record) for record, _ in zip(records, range(SNIFFED_RECORDS), strict=False) if record)
        cells, agreeing = lengths.most_common(1)[0] if lengths else (1, 0)
        return (agreeing / max(1, lengths.total()) if cells > 1 else 0.0, cells)

    return max(DELIMITERS, key=judged)


def header(file: str, text: str, delimiter: str) -> list[str]:
    """The cells of the first record that is no blank line; empty where there is none.

    Raises:
        FaultsError: for a cell without end.
    """
    try:
        return next((record for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if record), [])
    except csv.Error:
        detail = "the header has a cell without end: look for a quote that is not closed"
        raise FaultsError(Fault(file=file, row=1, detail=detail)) from None


class Lines:
    """At which line each record of a text begins: cells may hold line breaks, and blank lines are no records.

    The text is read once, and no further than to the last record that was asked for.

    Args:
        text: of the file.
        delimiter: between cells.
    """

    def __init__(self, text: str, delimiter: str) -> None:
        self._begins = array("q")
        self._records = _begins(text, delimiter)

    def of(self, record: int) -> int:
        """The line of a record, counted from 0, which is the header; the last one's where there are not so many."""
        self._begins.extend(islice(self._records, max(0, record + 1 - len(self._begins))))
        return self._begins[min(record, len(self._begins) - 1)]


def _begins(text: str, delimiter: str) -> Iterator[int]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins
            begins = reader.line_num + 1
    except csv.Error:  # a cell without end
        yield begins
