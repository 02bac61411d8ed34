"""The page that asks a browser for the key; plain HTML, no script."""

from __future__ import annotations

from html import escape

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tuner: log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem; color: #1c2733; }}
input, button {{ font: inherit; padding: .5rem .7rem; border: 1px solid #9fb0c0; border-radius: 6px; }}
input {{ width: 100%; box-sizing: border-box; margin: .5rem 0 1rem; }}
button {{ background: #14508c; color: white; border-color: #14508c; cursor: pointer; }}
.wrong {{ color: #a3231b; }} code {{ background: #eef2f6; padding: .1rem .3rem; border-radius: 4px; }}
</style></head><body>
<h1>Log in</h1>
{wrong}
<form method="post" action="/login">
<label for="key">Admin key</label>
<input id="key" name="key" type="password" autocomplete="current-password" autofocus required>
<input name="next" type="hidden" value="{target}">
<button type="submit">Log in</button>
</form>
<p>On the machine that serves this page, <code>tuner link</code> prints a link that logs you in.</p>
</body></html>
"""


def render(target: str, *, wrong: bool = False) -> str:
    """The page; after login the browser goes to `target`."""
    hint = '<p class="wrong">That is not the admin key.</p>' if wrong else ""
    return _PAGE.format(target=escape(target, quote=True), wrong=hint)
