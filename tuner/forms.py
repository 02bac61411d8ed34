"""A multipart form, written to a folder while it comes: files to disk, short fields to memory.

Owns what parts a data set's form may have. Nothing but one chunk of a file is ever in memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tuner.dataset_folder import EXTENSIONS, PARTS
from tuner.domain.errors import FieldError, InvalidError, TooLargeError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELDS_BYTES = 2**20
MAX_PARTS = 32


class Form:
    """Takes a form chunk by chunk. `feed` and `finish` wait for the disk: they are for a thread.

    Attributes:
        fields: text by name, as soon as the form is finished.
        files: names of files in the folder, in the order of their coming.

    Args:
        content_type: the request's header, with the boundary.
        folder: where files go, as `PART.EXTENSION`.
        limit_bytes: of the whole form.
    """

    def __init__(self, content_type: str, folder: Path, limit_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise InvalidError([FieldError("", "send multipart/form-data: curl -F data=@FILE -F target=COLUMN")])
        self.fields: dict[str, str] = {}
        self.files: list[str] = []
        self._folder = folder
        self._left_bytes = self._limit_bytes = limit_bytes
        self._left_fields_bytes = MAX_FIELDS_BYTES
        self._parts = 0
        self._header = b""
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._text = bytearray()
        self._file: IO[bytes] | None = None
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_begin": self._on_header_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        self._is_whole = False
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks)
        except FormParserError as error:
            raise _not_a_form(error) from None

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes.

        Raises:
            TooLargeError: more than allowed.
            InvalidError: not a form, or with parts that a data set has not.
        """
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            limit_mb = self._limit_bytes // 2**20
            raise TooLargeError(f"the files are larger than {limit_mb} MB: send less, or raise TUNER_MAX_UPLOAD_MB")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _not_a_form(error) from None

    def finish(self) -> None:
        """No more bytes come."""
        if not self._is_whole:
            raise _not_a_form("it ends before its last boundary")

    def close(self) -> None:
        """Closes what an upload that was broken off has left open."""
        if self._file is not None:
            self._file.close()

    # ---- the parser's words --------------------------------------------------------------------------------------

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidError([FieldError("", f"more than {MAX_PARTS} parts: send fewer")])
        self._headers.clear()
        self._text.clear()

    def _on_header_begin(self) -> None:
        self._header = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end].lower()

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._headers[self._header] = self._headers.get(self._header, b"") + data[start:end]

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode(errors="replace")
        if self._name in self.fields or any(name.startswith(f"{self._name}.") for name in self.files):
            raise InvalidError([FieldError(f"/{self._name}", "given twice: leave one out")])
        filename = options.get(b"filename")
        if filename is None and self._name in PARTS:
            raise InvalidError([FieldError(f"/{self._name}", f"send a file: curl -F {self._name}=@FILE")])
        if filename is not None:
            self._open(filename.decode(errors="replace"))

    def _open(self, filename: str) -> None:
        if self._name not in PARTS:
            raise InvalidError([FieldError(f"/{self._name}", f"a file is one of {', '.join(PARTS)}: rename the part")])
        extension = filename.rpartition(".")[2].lower() if "." in filename else ""
        if extension not in EXTENSIONS:
            detail = f"{filename!r} should end in .{', .'.join(EXTENSIONS)}: convert it, or rename it to what it is"
            raise InvalidError([FieldError(f"/{self._name}", detail)])
        self.files.append(f"{self._name}.{extension}")
        self._file = (self._folder / self.files[-1]).open("xb")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])
            return
        self._left_fields_bytes -= end - start
        if self._left_fields_bytes < 0:
            raise TooLargeError(f"the fields are larger than {MAX_FIELDS_BYTES} bytes: send less")
        self._text += data[start:end]

    def _on_part_end(self) -> None:
        if self._file is None:
            try:
                self.fields[self._name] = self._text.decode()
            except UnicodeDecodeError:
                raise InvalidError([FieldError(f"/{self._name}", "not UTF-8 text: send it as UTF-8")]) from None
            return
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())  # an acknowledged data set outlives the machine's power
        self._file = None

    def _on_end(self) -> None:
        self._is_whole = True


def _not_a_form(why: object) -> InvalidError:
    return InvalidError([FieldError("", f"not a whole multipart form ({why}): send it again, as curl -F does")])
