"""What a person sees who opens the two links: runs in MLflow, best on top, and the study in the dashboard."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.waiting import ended
from tuner import show, up
from tuner.client import Client
from tuner.wire import StudyOut

WAIT_MS = 60_000


@pytest.fixture(scope="module")
def study(service: up.Service) -> StudyOut:
    spec = {"name": f"seen {uuid.uuid4().hex[:8]}", "dataset": "iris", "fixed": {"epochs": 3}, "budget": {"trials": 6}}
    with Client(service.settings.base_url, service.admin_key) as client:
        return ended(client, client.submit(spec).id)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1500, "height": 950})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    yield opened
    context.close()


def open_link(page: Page, service: up.Service, target: str) -> None:
    page.goto(show.login_link(service.settings.base_url, service.admin_key, target))


def test_mlflow_opens_on_the_studys_runs_with_the_best_on_top(page: Page, service: up.Service, study: StudyOut) -> None:
    open_link(page, service, study.links["mlflow"])

    expect(page.get_by_text(f"{study.name} (#{study.id})").first).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("8 matching runs")).to_be_visible(
        timeout=WAIT_MS
    )  # six trials, their parent and the final model
    assert study.best is not None
    with Client(service.settings.base_url, service.admin_key) as client:
        equals = [trial.number for trial in client.trials(study.id) if trial.values == [study.best.value]]
    first = page.locator("a", has_text=re.compile(r"^trial \d+$")).first
    expect(first).to_have_text(re.compile(rf"^trial ({'|'.join(map(str, equals))})$"), timeout=WAIT_MS)


def test_the_dashboard_opens_on_the_study(page: Page, service: up.Service, study: StudyOut) -> None:
    refused: list[str] = []
    page.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)

    open_link(page, service, study.links["dashboard"])

    expect(page.get_by_text(study.name).first).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("Hyperparameter Importance").first).to_be_visible(timeout=WAIT_MS)
    page.goto(f"{service.settings.base_url}{study.links['dashboard']}/trials")
    expect(page.get_by_text("Intermediate Values").first).to_be_visible(timeout=WAIT_MS)
    assert refused == []


def test_a_stranger_is_shown_the_login_page(page: Page, service: up.Service, study: StudyOut) -> None:
    page.goto(f"{service.settings.base_url}{study.links['dashboard']}")

    page.get_by_label("Admin key").fill(service.admin_key)
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_text(study.name).first).to_be_visible(timeout=WAIT_MS)
