"""What our dashboard page adds to Optuna's: buttons that would be refused are hidden, MLflow's addresses are links.

Owns the two files that the page loads beside Optuna's. They come from our own origin, as its content policy wants, and
leave the page's own elements in place, which React would otherwise miss.
"""

from __future__ import annotations

STYLE_PATH = "/static/tuner.css"
SCRIPT_PATH = "/static/tuner.js"

HEAD = f'<link rel="stylesheet" href="{STYLE_PATH}"><script defer src="{SCRIPT_PATH}"></script></head>'

STYLE = """\
[aria-label="rename study"], [aria-label="delete study"], [aria-label="skip trial"], [aria-label="delete artifact"] {
  display: none !important;
}
"""

SCRIPT = r"""
"use strict";
(() => {
  // Studies are made, and trials ended, over REST or with the `tuner` command.
  const refused = new Set(["Create", "Fail Trial"]);
  const address = /^mlflow (\/api\/v1\/studies\/\d+\/trials\/\d+\/mlflow)$/;
  const target = (element) => (element.childElementCount === 0 ? address.exec(element.textContent.trim()) : null);

  function mark() {
    for (const button of document.querySelectorAll("button")) {
      const hide = refused.has(button.textContent.trim());
      if (hide) button.style.setProperty("display", "none", "important");
      else if (button.dataset.tunerHidden) button.style.removeProperty("display");
      if (hide) button.dataset.tunerHidden = "1";
      else delete button.dataset.tunerHidden;
    }
    for (const line of document.querySelectorAll("p")) {
      if (!target(line)) continue;
      line.style.cursor = "pointer";
      line.style.textDecoration = "underline";
      line.title = "open this trial's run in MLflow";
    }
  }

  document.addEventListener("click", (event) => {
    const found = event.target instanceof Element ? target(event.target) : null;
    if (found) window.open(found[1], "_blank", "noopener");
  });
  new MutationObserver(mark).observe(document.documentElement, { childList: true, subtree: true });
  mark();
})();
"""
