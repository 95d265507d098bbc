"""What the tests of the reports share."""

import shutil
import subprocess

import pytest


@pytest.fixture
def browser(tmp_path):
    """Opens a page in Chromium: `browser(page, *flags)` is what that writes on its standard output."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]

    def show(page, *more):
        command = [chromium, *flags, *more, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    return show
