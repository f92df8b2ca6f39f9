"""Files are replaced as a whole or not at all, and that they can be is found out first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from classifier.training.staged import CannotWrite, must_be_writable, replacing


def held(folder):
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def fill(folder, text):
    for name in ("card", "model"):
        (folder / name).write_text(text)


def test_new_files_take_the_place_of_the_old_and_leave_others_alone(tmp_path):
    fill(tmp_path, "old")
    (tmp_path / "other").write_text("kept")
    with replacing(tmp_path, "card") as made:
        fill(made, "new")
        assert held(made.parent / made.name) == {"card": "new", "model": "new"}
    assert held(tmp_path) == {"card": "new", "model": "new", "other": "kept"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_what_goes_wrong_leaves_what_was_there(tmp_path, error):
    fill(tmp_path, "old")
    with pytest.raises((error, CannotWrite)), replacing(tmp_path, "card") as made:
        (made / "model").write_text("new")
        raise error
    assert held(tmp_path) == {"card": "old", "model": "old"}


def test_a_write_that_fails_says_where(tmp_path):
    with (
        pytest.raises(CannotWrite, match=f"cannot write {tmp_path}: .*what was there is as it was"),
        replacing(tmp_path),
    ):
        raise OSError(28, "No space left on device")


def test_what_cannot_be_written_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "card").mkdir()
    worked = []
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path):
        with pytest.raises(CannotWrite), replacing(folder, "card"):
            worked.append(folder)
    assert not worked


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_found_before_the_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CannotWrite, match="Permission denied"):
        must_be_writable(tmp_path)


def test_a_try_leaves_nothing_behind(tmp_path):
    must_be_writable(tmp_path / "a" / "b", "card")
    assert list(tmp_path.iterdir()) == []


def test_the_file_that_vouches_comes_last(tmp_path):
    """Where a move fails, those before it are done and those after it are not."""
    fill(tmp_path, "old")
    with pytest.raises(OSError, match="model"), replacing(tmp_path, "model", "card") as made:
        fill(made, "new")
        (tmp_path / "model").unlink()
        (tmp_path / "model" / "blocks").mkdir(parents=True)
    assert (tmp_path / "card").read_text() == "old"


def test_files_are_as_readable_as_any(tmp_path):
    (tmp_path / "usual").write_text("")
    with replacing(tmp_path) as made:
        (Path(made) / "moved").write_text("")
    assert (tmp_path / "moved").stat().st_mode == (tmp_path / "usual").stat().st_mode
