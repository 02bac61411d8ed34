"""Makes the README's pictures from the real thing: a study on a service of its own, seen in terminal and browser.

Run as `make pictures`. Needs Chromium, and the test extra for Playwright.
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pyte
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tuner import show, up
from tuner.client import Client
from tuner.settings import Settings, child_environment
from tuner.wire import StudyOut

HERE = Path(__file__).parent
STUDY = HERE.parents[1] / "examples" / "digits.yaml"
WAIT_MS = 120_000
COLUMNS, LINES = 120, 200  # so many lines that nothing scrolls away


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="tuner-pictures-") as folder,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        port = free.getsockname()[1]
        free.close()
        Path(folder).chmod(0o711)  # as root, PostgreSQL runs as another user, who must get there
        with up.running(Settings(data=Path(folder), port=port), slots=2) as service:
            terminal(service)
            browser_pages(service)


def terminal(service: up.Service) -> None:
    """A submit that is watched to its end, and the best trial, as a terminal shows them."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for words in (("submit", str(STUDY), "--watch"), ("best", "digits")):
        said = " ".join(words).replace(str(STUDY), "examples/digits.yaml")
        console.print(Text(f"$ tuner {said}", style="bold"))
        console.print(as_seen(in_terminal(service, words)))
    console.save_svg(str(HERE / "terminal.svg"), title="tuner")


def in_terminal(service: up.Service, words: tuple[str, ...]) -> bytes:
    """What a command prints on a terminal."""
    reading, writing = pty.openpty()
    environment = child_environment(
        "TUNER_",
        TUNER_URL=service.settings.base_url,
        TUNER_KEY=service.admin_key,
        COLUMNS=str(COLUMNS),
        LINES=str(LINES),
        TERM="xterm-256color",
    )
    command = [sys.executable, "-m", "tuner.cli", *words]
    process = subprocess.Popen(command, stdin=writing, stdout=writing, stderr=writing, env=environment)
    os.close(writing)
    printed = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal so when its last process has gone
        while chunk := os.read(reading, 65_536):
            printed += chunk
    os.close(reading)
    assert process.wait() == 0
    return printed


def as_seen(printed: bytes) -> Text:
    """What stands on the terminal in the end: a live view is drawn over and over, and the last time counts."""
    screen = pyte.Screen(COLUMNS, LINES)
    pyte.ByteStream(screen).feed(printed)
    lines = (
        Text("").join(Text(cell.data, style=_style(cell)) for _, cell in sorted(screen.buffer[row].items()))
        for row in range(screen.cursor.y + 1)
    )
    shown = Text("\n").join(lines)
    shown.rstrip()
    return shown


def _style(cell: pyte.screens.Char) -> Style:
    """The same colours in rich's words."""
    named = {"default": None, "brown": "yellow", "brightbrown": "bright_yellow"}
    color = named.get(cell.fg, cell.fg.replace("bright", "bright_"))
    is_number = color is not None and re.fullmatch(r"[0-9a-f]{6}", color) is not None
    return Style(color=f"#{color}" if is_number else color, bold=cell.bold, italic=cell.italics)


def browser_pages(service: up.Service) -> None:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        sys.exit("no Chromium: install it (Debian: apt install chromium)")
    with Client(service.settings.base_url, service.admin_key) as client, sync_playwright() as playwright:
        study = client.study("digits")
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-background-networking", *root])
        photograph(browser, service, study, "mlflow", "26 matching runs")  # trials, study, final model
        photograph(browser, service, study, "dashboard", "Hyperparameter Importance")
        browser.close()


def photograph(browser: Browser, service: up.Service, study: StudyOut, name: str, seen: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(show.login_link(service.settings.base_url, service.admin_key, study.links[name]))
    page.get_by_text(seen).first.wait_for(timeout=WAIT_MS)
    page.wait_for_timeout(5_000)  # plots are drawn after their titles
    page.screenshot(path=HERE / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()
