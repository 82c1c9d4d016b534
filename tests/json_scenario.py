"""A museum whose commands' JSON answers show every key: a failure, a lost file, a comment, a running task and so on."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import select

from archive.batches.running.last_run import record_begin, record_end
from archive.catalogue import Catalogue
from archive.catalogue.schema.tables import ModelAlias, Task
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.comments import add_comment
from archive.display_labels import FURTHER_LIST_FIELDS
from archive.settings import load_settings
from tests.small_archive import MODEL, SmallArchive, change_one_byte, command, write_model, write_scan, write_style

Answers = dict[str, list[Any]]
"""The answers by command, such as ``archive list --rows masters``."""

_STYLE = "simulated-sepia"
_TABLE = """filename,accession_number,title,date,polarity,access,reference,picture_area,rights,ARK,Shelf
a.tif,1906.1,A street,1906~,positive,open,clean/a.tif,2 2 40 30,CC0,ark:/99/x1,A 1
b.tif,1906.2,A house,ca. 19x6,,restricted,,,,,
c.tif,1906.3,A grave,,negative,open,,,,,
d.tif,1906.4,A lake,,,open,,,,,
e.tif,1906.5,A pier,,,open,,,,,
gone.tif,1906.9,,,,,,,,,
"""


class Scenario:
    """Runs commands on a home and keeps their JSON answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: Answers = defaultdict(list)
        self.errors = ""
        self.museum = SmallArchive(home=folder / "home", scans=folder / "scans")

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue.open(load_settings(self.museum.home))

    def ask(self, *arguments: str | Path, code: int = 0, about: str = "", form: str = "json") -> Any:
        """Runs a command with ``--format json``; ``about`` are the options that its section of the page names."""
        answer = self.museum.run(*arguments, "--format", form)
        assert answer.code == code, (arguments, answer.errors)
        text, self.errors = answer.output, answer.errors
        found = [json.loads(line) for line in text.splitlines()] if form == "jsonl" else json.loads(text)
        words = arguments[:2] if arguments[0] in ("batch", "credentials", "mapping", "model", "user") else arguments[:1]
        self.answers[" ".join(["archive", *map(str, words), about]).strip()].append(found)
        return found

    def run(self) -> Answers:
        """Goes through all commands; an answer's exit code and JSON are checked."""
        self._ingest()
        self._restore()
        self._models()
        self._decide()
        self._sign_and_package()
        self._list_and_show()
        self._lose_files()
        self._remove()
        return self.answers

    def _ingest(self) -> None:
        museum, scans = self.museum, self.museum.scans
        assert command("init", museum.home).code == 0
        museum.done("model", "add", write_model(self.folder / "model"))
        museum.done("model", "alias", MODEL, "9.0", "approved")
        for seed, name in enumerate("abcde"):
            write_scan(scans / f"{name}.tif", seed=seed)
        write_scan(scans / "clean" / "a.tif", seed=9)
        (scans / "bad.tif").write_bytes(b"II*\0 and no more")
        (scans / "items.csv").write_text(_TABLE, encoding="utf-8")
        mapping = self.folder / "mapping.toml"
        mapping.write_text('[identifiers]\nark = "ARK"\n', encoding="utf-8")
        given = ("--metadata", scans / "items.csv", "--mapping", mapping)
        self.ask("ingest", scans, *given, "--dry-run", code=3)
        done = self.ask("ingest", scans, *given, code=3)
        assert (done["added"], done["refused"], [row["action"] for row in done["files"]]) == (5, 1, ["added"] * 5)
        (scans / "e.tif").rename(scans / "e2.tif")
        (again,) = self.ask("ingest", scans / "e2.tif")["files"]
        assert (again["path"], again["action"]) == (str(scans / "e2.tif"), "moved")
        assert "1 moved" in self.errors  # people see the counts too
        table = self.folder / "export.csv"
        table.write_text("Inventory No.,Side\n1906.1,Vorderseite\n", encoding="utf-8")
        self.ask("mapping", "suggest", table)
        self.ask("mapping", "list")

    def _restore(self) -> None:
        museum, scans = self.museum, self.museum.scans
        change_one_byte(scans / "d.tif")
        planned = self.ask("restore", "--plan")
        assert (planned["batch"], planned["plan"]["tasks"], planned["result"]) == (1, 4, None)
        assert self.ask("restore", "--dry-run")["plan"]["overlapping_batches"] == [{"batch": 1, "tasks": 4}]
        with self.catalogue.session() as session:  # as a process on another machine that works on it
            task = session.scalars(select(Task).order_by(Task.id)).first()
            assert task is not None
            now = datetime.now(UTC)
            task.status, task.lease_host, task.lease_pid, task.lease_device = TaskStatus.RUNNING, "node7 x", 7, "cpu"
            task.started_at = task.lease_renewed_at = task.lease_expires_at = now
        begun_at = record_begin(self.catalogue, 1)
        self.ask("batch", "show", "1")
        record_end(self.catalogue, 1, begun_at, "the disk was full")
        assert self.ask("status")["interrupted_batches"] == [{"id": 1, "is_lost": False}]
        resumed = self.ask("batch", "resume", "1", code=3)
        assert (resumed["result"]["done"], resumed["result"]["failed"]) == (3, 1)
        self.ask("batch", "show", "1")
        masks = self.folder / "masks"
        masks.mkdir()
        Image.fromarray(np.full((40, 48), 255, np.uint8)).save(masks / "1906.1_001.png")
        museum.done("model", "add", write_style(self.folder / "style", name=_STYLE))
        styled = ("--model", "none", "--style", _STYLE, "--style-mask", masks)
        assert self.ask("restore", "accession_number:1906.1", *styled)["result"]["done"] == 1
        trial = self.ask("restore", "--sample", "1", "--strength", "0.5", "accession_number:1906.5")
        assert len(trial["result"]["contact_sheets"]) == 1
        assert self.ask("promote", "--batch", str(trial["batch"]))["promoted"] == 1
        self.ask("batch", "list")

    def _models(self) -> None:
        self.museum.done("model", "add", write_model(self.folder / "newer", version="9.1", seed=1))
        self.ask("rerun", "accession_number:1906.1 OR accession_number:1906.2", "--model", f"{MODEL}@9.1")
        self.ask("model", "list")
        self.ask("model", "compare", f"{MODEL}@9.0", f"{MODEL}@9.1")
        self.ask("model", "evaluate", MODEL, "--data", self.museum.scans / "clean", "--no-peers")
        with self.catalogue.session() as session:  # as if `archive model alias` had been killed
            alias = session.scalars(select(ModelAlias).where(ModelAlias.alias == "approved")).first()
            assert alias is not None
            alias.unapplied_since = datetime.now(UTC)
        assert self.ask("status")["unapplied_versions"]

    def _decide(self) -> None:
        museum = self.museum
        first = museum.show("1906.1")["derivatives"][0]
        self.ask("review", "1906.1", "--accept", "--derivative", str(first["id"]), "--reason", "true to the print")
        change_one_byte(Path(museum.show("1906.2")["derivatives"][0]["path"]))
        decided = self.ask("review", "batch:1", "--accept", code=3)
        assert (decided["recorded"], decided["decided_before"], len(decided["failures"])) == (1, 1, 1)
        self.ask("review", "batch:1", "--accept", "--dry-run")
        place: Any = {"x": 1, "y": 1, "width": 4, "height": 4}
        add_comment(self.catalogue, first["id"], **place, text="a scratch", author="A. Curator")
        museum.done("user", "add", "anna", "--no-password")
        self.ask("user", "list")

    def _sign_and_package(self) -> None:
        museum = self.museum
        assert command("credentials", "init", "--organisation", "City Museum").code == 0
        current = Path(museum.done("list", "accession_number:1906.5", "--format", "json").json()[0]["path"])
        away = current.rename(current.with_suffix(".away"))
        signed = self.ask("credentials", "sign", "--output", self.folder / "signed", code=3)
        assert (len(signed["signed"]), len(signed["failed"]), signed["not_open"]) == (1, 1, 1)
        away.rename(current)
        change_one_byte(Path(signed["signed"][0]["path"]))
        self.answers["archive credentials verify"].append(
            command("credentials", "verify", signed["signed"][0]["path"], "--format", "json").json()
        )
        self.answers["archive credentials show"].append(command("credentials", "show", "--format", "json").json())
        bag = ("--layout", "bagit", "--output", self.folder / "bag")
        assert self.ask("package", "accession_number:1906.1", *bag)["items"] == 1

    def _list_and_show(self) -> None:
        self.ask("show", "1906.1")
        further = ",".join(FURTHER_LIST_FIELDS)
        self.ask("list")
        self.ask("list", "batch:1")
        self.ask("list", "--fields", further, form="jsonl")
        for rows in ("masters", "derivatives"):
            self.ask("list", "--rows", rows, about=f"--rows {rows}")
        for rows in ("items", "masters", "derivatives"):
            output = self.folder / f"{rows}.jsonl"
            given = ("--rows", rows, "--include-restricted", "--files", "--output", output)
            self.museum.done("export", "NOT accession_number:1906.2", *given, "--format", "jsonl")
            lines = output.read_text(encoding="utf-8").splitlines()
            self.answers[f"archive export --rows {rows}"].append([json.loads(line) for line in lines])

    def _lose_files(self) -> None:
        museum = self.museum
        first = museum.show("1906.1")["derivatives"][0]
        why = ("--derivative", str(first["id"]), "--reason", "the family asked for it")
        withdrawn = self.ask("withdraw", "1906.1", *why)
        assert (withdrawn["withdrawn"], withdrawn["path"]) == (True, first["path"])
        Path(first["path"]).write_bytes(b"left by an interrupted withdrawal")
        assert self.ask("verify", code=3)["completed_withdrawals"] == [first["path"]]
        self.ask("show", "1906.1")
        assert self.ask("withdraw", "1906.1", *why, "--lift")["withdrawn"] is False
        repaired = self.ask("verify", "--repair", code=3)
        assert [each["as_recorded"] for each in repaired["repair"]["recreated"]] == [True]
        assert {each["problem"] for each in repaired["broken"]} == {"changed"}
        self.ask("reproduce", "accession_number:1906.5")
        away = museum.scans.rename(museum.scans.with_name("away"))
        assert self.ask("verify", code=3)["absent_folders"] == [
            {"path": str(museum.scans), "kind": "master", "files": 5}
        ]
        self.ask("reproduce", "--limit", "1", code=3)
        away.rename(museum.scans)

    def _remove(self) -> None:
        why = ("--reason", "wrong folder")
        assert self.ask("remove", "accession_number:1906.3", "--dry-run")["removed"] is None
        gone = self.ask("remove", "accession_number:1906.5", "--with-derivatives", *why, "--yes")
        assert gone["removed"] == {"masters": 1, "items": 1, "derivatives": 2}
        self.ask("remove", "--list", about="--list")
