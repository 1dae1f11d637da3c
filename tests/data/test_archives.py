"""Unpacking archives from elsewhere: whole, and harmless whatever is in them."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from burnish.data import archives
from burnish.data.archives import UnsafeArchiveError, unpack
from burnish.data.notes import captured_notes
from burnish.errors import UnreadableFileError


def tar(path, members, mode="w:gz"):
    """An archive of (name, content) and of TarInfos."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def outside(tmp_path):
    return sorted(p.name for p in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.zip"])
def test_what_is_in_it_comes_out_and_a_single_folder_becomes_the_folder(tmp_path, name):
    files = [("set/cat/1.txt", b"one"), ("set/dog/2.txt", b"two"), ("set/__MACOSX/x", b""), ("set/cat/._1.txt", b"")]
    mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(name.split(".")[-1], "w")
    made = zipped(tmp_path / name, files) if name.endswith("zip") else tar(tmp_path / name, files, mode)
    assert content(unpack(made, tmp_path / "out")) == {"cat/1.txt": b"one", "dog/2.txt": b"two", "__MACOSX/x": b""}
    assert outside(tmp_path) == [name, "out"]


def test_several_things_at_the_top_stay_there(tmp_path):
    made = zipped(tmp_path / "a.zip", [("a.txt", b"a"), ("b/c.txt", b"c"), ("__MACOSX/._a.txt", b"")])
    assert content(unpack(made, tmp_path / "out")) == {"a.txt": b"a", "b/c.txt": b"c"}


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "C:\\evil.txt", "a\\..\\..\\evil.txt", "\\evil.txt"])
@pytest.mark.parametrize("make", [tar, zipped])
def test_names_that_lead_out_are_refused(tmp_path, name, make):
    made = make(tmp_path / f"a.{'zip' if make is zipped else 'tgz'}", [("fine.txt", b"x"), (name, b"evil")])
    with pytest.raises(UnsafeArchiveError, match=r"holds .*evil.txt.*outside of the folder.*Nothing was unpacked"):
        unpack(made, tmp_path / "out")
    assert outside(tmp_path) == [made.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
def test_links_that_lead_out_are_refused(tmp_path, kind, target):
    made = tar(tmp_path / "a.tgz", [("set/fine.txt", b"x"), special("set/link", kind, target)])
    with pytest.raises(UnsafeArchiveError, match=r"holds a link to '.*passwd', which is outside"):
        unpack(made, tmp_path / "out")
    assert outside(tmp_path) == ["a.tgz"]


def test_nothing_is_written_through_a_link(tmp_path):
    """A link to a folder outside, then a file "in" it: the classic way out."""
    made = tar(tmp_path / "a.tgz", [special("x", tarfile.SYMTYPE, str(tmp_path)), ("x/evil.txt", b"evil")])
    with pytest.raises(UnsafeArchiveError):
        unpack(made, tmp_path / "out")
    assert outside(tmp_path) == ["a.tgz"]


def test_links_inside_become_copies(tmp_path):
    links = [
        special("set/b/soft", tarfile.SYMTYPE, "../a/1.txt"),
        special("set/hard", tarfile.LNKTYPE, "set/a/1.txt"),
        special("set/soft2", tarfile.SYMTYPE, "b/soft"),
        special("set/folder", tarfile.SYMTYPE, "a"),
        special("set/round", tarfile.SYMTYPE, "round"),
    ]
    with captured_notes() as notes:
        out = unpack(tar(tmp_path / "a.tgz", [*links, ("set/a/1.txt", b"one")]), tmp_path / "out")
    assert content(out) == dict.fromkeys(["a/1.txt", "b/soft", "hard", "soft2"], b"one")
    assert not any(p.is_symlink() for p in out.rglob("*"))
    assert notes == ["2 link(s) in a.tgz lead to folders or to nothing and are left out: set/folder, set/round."]


def test_a_link_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("set/1.txt", b"one")
        for name, target in (("set/good", "1.txt"), ("set/bad", "../../../etc/passwd")):
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    with pytest.raises(UnsafeArchiveError, match=r"a link to '\.\./\.\./etc/passwd'"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path, kind):
    with pytest.raises(UnsafeArchiveError, match=r"holds 'dev', a device or a pipe"):
        unpack(tar(tmp_path / "a.tgz", [special("dev", kind)]), tmp_path / "out")


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_bomb_is_stopped_early(tmp_path, make, monkeypatch):
    monkeypatch.setattr(archives, "_FREE_TO_GROW", 1_000_000)
    made = make(tmp_path / "a.zip", [("zeros", bytes(20_000_000))])
    with pytest.raises(UnsafeArchiveError, match=r"unpacks to more than .* MB, 300 times its size.*zip bombs.*Nothing of it was kept"):
        unpack(made, tmp_path / "out")
    assert outside(tmp_path) == ["a.zip"]


def test_limits_of_size_and_number(tmp_path):
    made = tar(tmp_path / "a.tgz", [(f"{i}.txt", b"x" * 100) for i in range(10)])
    with pytest.raises(UnsafeArchiveError, match=r"more than 5e-07 GB, the limit \(max_bytes=500\)"):
        unpack(made, tmp_path / "out", max_bytes=500)
    with pytest.raises(UnsafeArchiveError, match=r"more than 9 files, the limit \(max_files=9\)"):
        unpack(made, tmp_path / "out", max_files=9)
    assert len(content(unpack(made, tmp_path / "out", max_files=10, max_bytes=1000))) == 10


@pytest.mark.parametrize("name", ["a.tgz", "a.zip"])
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_damaged_archive_is_named_and_leaves_nothing(tmp_path, name, share):
    import random

    noise = random.Random(0).randbytes(200_000)
    made = (tar if name == "a.tgz" else zipped)(tmp_path / name, [("1.bin", noise), ("2.bin", noise[::-1])])
    made.write_bytes(made.read_bytes()[: int(share * made.stat().st_size)])
    with pytest.raises(UnreadableFileError, match=f"{name} is (no tar or zip archive, or it is )?damaged"):
        unpack(made, tmp_path / "out")
    assert outside(tmp_path) == [name]


@pytest.mark.parametrize("keep", [1024, 1024 + 200, 2048])
def test_a_tar_that_is_cut_off_between_two_files_is_damaged(tmp_path, keep):
    made = tmp_path / "a.tar"
    with tarfile.open(made, "w") as archive:
        for i in range(3):
            info = tarfile.TarInfo(f"{i}.txt")
            info.size = 5
            archive.addfile(info, io.BytesIO(b"12345"))
    whole = made.read_bytes()
    assert sorted(p.name for p in unpack(made, tmp_path / "whole").iterdir()) == ["0.txt", "1.txt", "2.txt"]
    made.write_bytes(whole[:keep])
    with pytest.raises(UnreadableFileError, match="was cut off, for the block that ends an archive is missing"):
        unpack(made, tmp_path / "out")


def test_a_flipped_byte_in_a_zip_is_found(tmp_path):
    made = zipped(tmp_path / "a.zip", [("1.txt", bytes(range(256)) * 40)])
    raw = bytearray(made.read_bytes())
    raw[60] ^= 255
    made.write_bytes(raw)
    with pytest.raises(UnreadableFileError, match="damaged"):
        unpack(made, tmp_path / "out")


def test_no_archive_a_web_page_and_an_existing_folder(tmp_path):
    (tmp_path / "a.zip").write_text("<html>not found</html>")
    with pytest.raises(UnreadableFileError, match=r"a\.zip is a web page, which a server gave in the place of an archive\. Fetch it again"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    (tmp_path / "b.zip").write_text("nothing of the kind")
    with pytest.raises(UnreadableFileError, match="is no tar or zip archive"):
        unpack(tmp_path / "b.zip", tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="is there already; an archive is unpacked to a new folder"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_name_that_is_a_file_and_a_folder(tmp_path):
    with pytest.raises(UnreadableFileError, match="damaged"):
        unpack(tar(tmp_path / "a.tgz", [("a", b"x"), ("a/b", b"x")]), tmp_path / "out")
