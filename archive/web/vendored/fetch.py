"""Fetches OpenSeadragon from the npm registry that npm is set up for, and checks it: ``python fetch.py``.

The package's published integrity and the digest of each file are in ``vendored.json``. A new version is taken by
writing its number and integrity (``npm view openseadragon dist.integrity``) there and running this.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
RECORD = FOLDER / "vendored.json"


def fetch() -> None:
    """Writes the files named in ``vendored.json`` beside it, with their digests."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        reference = f"{record['package']}@{record['version']}"
        command = ["npm", "pack", reference, "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        (archive,) = Path(folder).glob("*.tgz")
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if integrity != record["integrity"]:
            sys.exit(f"{reference} has the integrity {integrity}, not {record['integrity']}: nothing was written")
        with tarfile.open(archive) as package:
            for name, file in record["files"].items():
                member = package.extractfile(f"package/{file['path']}")
                if member is None:
                    sys.exit(f"{reference} holds no {file['path']}")
                content = member.read()
                (FOLDER / name).write_bytes(content)
                file["sha256"] = hashlib.sha256(content).hexdigest()
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    fetch()
