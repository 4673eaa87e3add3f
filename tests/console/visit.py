"""One tab, watched: what it asks for, what it complains of, what it leaves behind."""

import json
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Request

# Violations of the policy are said to the document, whatever the browser logs of them.
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


class Visit:
    """A tab with a profile of its own. With `key` it is as if the key had been given before."""

    def __init__(self, browser: Browser, url: str, key: str | None, **context: Any) -> None:
        self._url = url
        self.key = key
        self._context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **context}
        )
        self._context.set_default_timeout(10_000)
        self._context.add_init_script(_WATCH)
        if key is not None:
            self._context.add_init_script(
                "if (!sessionStorage.getItem('visited')) {"
                f" sessionStorage.setItem('rollcall.key', {json.dumps(key)});"
                " sessionStorage.setItem('visited', '1'); }"
            )
        self.page = self._context.new_page()
        self._messages: list[str] = []
        self._faults: list[str] = []
        self._asked: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self._faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self._faults.append(f"dialog {dialog.message}"))
        self.page.on("request", self._asks)

    def close(self) -> None:
        """Raises AssertionError for whatever must not happen on any screen."""
        try:
            kept = self.page.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
            assert kept == '[{},""]', "something outlives the tab"
            violations = self.page.evaluate("window.violations")
            assert violations == [], violations
            assert self._faults == [], self._faults
            said = "\n".join(self._messages)
            assert "Content Security Policy" not in said, said
            elsewhere = [
                each for each in self._asked
                if not each.startswith((self._url + "/", "blob:", "data:"))
            ]  # fmt: skip
            assert elsewhere == [], "a request left the service's origin"
            if self.key is not None:
                told = "\n".join([*self._asked, said, self.page.url])
                assert self.key not in told and self.key.split("_", 2)[2] not in told
        finally:
            self._context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        self._messages.append(message.text)

    def _asks(self, request: Request) -> None:
        self._asked.append(request.url)
        if urlsplit(request.url).path.startswith(("/console/", "/docs")):
            assert "authorization" not in request.headers
