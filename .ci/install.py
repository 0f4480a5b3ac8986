"""Installs the pinned requirements: with uv under pip's own settings, else with pip.

uv takes a sixth of pip's processor time for the same files. The settings, which say where packages
come from, are this machine's and pip's; whatever uv has no word for, or cannot do, is left to pip.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
QUIET = ("--quiet", "--quiet")

# What pip calls a setting, and what uv does.
NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
# Several values stand side by side, in most variables with a space between them.
WITH_COMMAS = ("UV_FIND_LINKS",)
OF_NO_MATTER = {"disable-pip-version-check", "no-cache-dir", "no-input", "quiet"}


def settings_of_uv(listed: str) -> dict[str, str] | None:
    """What `pip config list` says in uv's variables; None where uv has no word for something."""
    # As pip does: all places of packages are alike, and the newest that fits is taken.
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    # Those of the environment last: they win over files.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in OF_NO_MATTER:
            continue
        if name not in NAMES:
            return None
        between = "," if NAMES[name] in WITH_COMMAS else " "
        found[NAMES[name]] = between.join(str(ast.literal_eval(value)).split())
    return found


def with_uv(requirements: Path) -> bool:
    """Install with uv, at its own pin among the requirements; whether that went well."""
    pin = re.search(r"^uv==\S+", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True)
    settings = settings_of_uv(listed.stdout) if listed.returncode == 0 else None
    if pin is None or settings is None:
        return False
    fetched = subprocess.run([*PIP, *QUIET, "install", pin[0]], stderr=subprocess.DEVNULL)
    if fetched.returncode != 0:
        return False
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable]
    installed = subprocess.run(
        [*command, "--requirement", requirements],
        env={**os.environ, **settings},
        stderr=subprocess.DEVNULL,
    )
    return installed.returncode == 0


if __name__ == "__main__":
    asked = Path(sys.argv[1])
    if not with_uv(asked):
        # Byte code is compiled afterwards, on all processors.
        install = [*PIP, *QUIET, "install", "--no-compile", "--requirement", str(asked)]
        sys.exit(subprocess.run(install).returncode)
