import pytest

from nas.files import write_text


def test_a_write_replaces_the_file(tmp_path):
    write_text(tmp_path / "table.csv", "old")
    write_text(tmp_path / "table.csv", "größer")
    assert (tmp_path / "table.csv").read_text("utf-8") == "größer"


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    write_text(tmp_path / "table.csv", "old")

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_text(tmp_path / "table.csv", "new")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
