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

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

from tuner import show, up
from tuner.client import Client
from tuner.settings import Settings, child_environment
from tuner.wire import StudyOut

HERE = Path(__file__).parent
STUDY = HERE.parents[1] / "examples" / "digits.yaml"
WAIT_MS = 60_000
COLUMNS = 120


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
    shown = ""
    for words in (("submit", str(STUDY), "--watch"), ("best", "digits")):
        shown += f"\x1b[1m$ tuner {' '.join(words).replace(str(STUDY), 'examples/digits.yaml')}\x1b[0m\n"
        shown += last_frame(in_terminal(service, words)) + "\n"
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(shown.rstrip()))
    console.save_svg(str(HERE / "terminal.svg"), title="tuner")


def in_terminal(service: up.Service, words: tuple[str, ...]) -> str:
    """What a command prints on a terminal."""
    reading, writing = pty.openpty()
    environment = child_environment(
        "TUNER_",
        TUNER_URL=service.settings.base_url,
        TUNER_KEY=service.admin_key,
        COLUMNS=str(COLUMNS),
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
    return printed.decode()


def last_frame(printed: str) -> str:
    """A live line is drawn over and over: the last time counts."""
    lines = []
    for line in printed.replace("\r\n", "\n").split("\n"):
        cleaned = re.sub(r"\x1b\[\?25[lh]|\x1b\[1A", "", line.rpartition("\x1b[2K")[2].rpartition("\r")[2])
        lines.append(cleaned)
    return "\n".join(line for line in lines if line.strip())


def browser_pages(service: up.Service) -> None:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        sys.exit("no Chromium: install it (Debian: apt install chromium)")
    with Client(service.settings.base_url, service.admin_key) as client, sync_playwright() as playwright:
        study = client.study("digits")
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-background-networking", *root])
        photograph(browser, service, study, "mlflow", "25 matching runs")
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
