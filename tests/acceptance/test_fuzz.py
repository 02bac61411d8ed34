"""Every operation of the OpenAPI document against a running control plane, by schemathesis: no mistake of ours, no hang, and
answers as the document says.

Bounded, with a fixed seed; FUZZ_EXAMPLES=1000 is thorough, and adds schemathesis' own thousands of edge cases.
`schemathesis.toml` says what is checked, `fuzz_hooks.py` what is special about this API.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import LoneServer
from tuner.settings import child_environment

ROOT = Path(__file__).parents[2]
IS_THOROUGH = "FUZZ_EXAMPLES" in os.environ
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "10")
PHASES = "coverage,fuzzing,stateful" if IS_THOROUGH else "fuzzing,stateful"
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.timeout(36_000 if IS_THOROUGH else 300)
def test_no_request_that_the_document_allows_or_forbids_is_a_mistake_of_ours(
    lone_server: LoneServer, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
        *("run", f"{lone_server.url}/api/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {lone_server.admin_key}"),
        *("--phases", PHASES, "--max-examples", EXAMPLES, "--seed", "1", "--no-shrink"),
        *("--continue-on-failure", "--warnings", "off"),
    ]
    environment = child_environment(
        PYTHONPATH=str(ROOT),
        SCHEMATHESIS_HOOKS="tests.acceptance.fuzz_hooks",
        FUZZ_URL=lone_server.url,
        FUZZ_KEY=lone_server.admin_key,
    )

    ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    selected, tested = re.findall(r"Selected: (\d+)/.*?Tested: (\d+)", ran.stdout, re.DOTALL)[0]
    assert int(tested) == int(selected) > 35
    assert "unexpected error" not in lone_server.log.read_text()
