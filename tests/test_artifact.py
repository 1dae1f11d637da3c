"""The model file: what goes in comes out, and everything else is refused with a reason."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

import burnish.artifact as artifact
from burnish.errors import ModelFileError

CONFIG = {"name": 'ü\n"quoted"', "n": 3, "nested": {"list": [1, 2.5, None, True]}, "loss": 0.1}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return artifact.write(tmp_path / "m.burnish", CONFIG, {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)})


def test_config_and_tensors_come_back_equal(model: Path) -> None:
    got = artifact.read(model)
    assert got.config == CONFIG
    assert torch.equal(got.tensors["w"], torch.arange(6.0).reshape(2, 3))
    assert got.tensors["b"].shape == () and int(got.tensors["b"]) == 7
    assert got.versions["torch"] == torch.__version__.split("+")[0] and "burnish" in got.versions


@pytest.mark.parametrize("dtype", list(artifact._DTYPES), ids=str)
def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.tensor([0, 1, 1, 0, 1]).to(dtype)
    back = artifact.read(artifact.write(tmp_path / "m", {}, {"t": tensor})).tensors["t"]
    assert back.dtype == dtype
    assert back.view(torch.uint8).tolist() == tensor.view(torch.uint8).tolist()


def test_non_contiguous_empty_and_partly_shared_tensors(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "t": base.t(),
        "slice": base[1],
        "base": base,
        "none": torch.zeros(0, 5),
        "cl": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
    }
    back = artifact.read(artifact.write(tmp_path / "m", {}, tensors)).tensors
    assert set(back) == set(tensors)
    assert all(torch.equal(back[k], tensors[k]) for k in tensors)


def test_tied_weights_are_stored_once_and_come_back_tied(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.rand(200, 200))
    path = artifact.write(tmp_path / "m", {}, {"encoder": weight, "decoder": weight})
    assert path.stat().st_size < 1.2 * weight.nbytes
    back = artifact.read(path).tensors
    assert back["encoder"].data_ptr() == back["decoder"].data_ptr()
    assert torch.equal(back["decoder"], weight)


def test_any_safetensors_reader_opens_it(model: Path) -> None:
    from safetensors.torch import load_file

    assert set(load_file(model)) == {"w", "b"}


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one = artifact.write(tmp_path / "1", {"a": 1, "b": 2}, {"x": torch.ones(2), "y": torch.zeros(2)})
    two = artifact.write(tmp_path / "2", {"b": 2, "a": 1}, {"y": torch.zeros(2), "x": torch.ones(2)})
    assert one.read_bytes() == two.read_bytes()


def test_nan_and_infinity_in_the_config_survive(tmp_path: Path) -> None:
    values = artifact.read(artifact.write(tmp_path / "m", {"v": [float("nan"), float("inf")]}, {})).config["v"]
    assert values[0] != values[0] and values[1] == float("inf")


def test_tensors_can_be_changed_without_changing_the_file(model: Path) -> None:
    artifact.read(model).tensors["w"].zero_()
    assert artifact.read(model).tensors["w"].sum() == 15


def test_overwriting_leaves_what_was_read_before_alone(model: Path) -> None:
    before = artifact.read(model).tensors["w"]
    artifact.write(model, {}, {"w": torch.zeros(2, 3)})
    assert before.sum() == 15


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_file_has_the_permissions_of_any_new_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    assert model.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_missing_folders_are_made_and_links_followed(tmp_path: Path) -> None:
    path = artifact.write(tmp_path / "a" / "b" / "m", {"v": 1}, {})
    (tmp_path / "link").symlink_to(path)
    artifact.write(tmp_path / "link", {"v": 2}, {})
    assert (tmp_path / "link").is_symlink()
    assert artifact.read(path).config == {"v": 2}


# -- what can't be written ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "tensors", "kind", "words"),
    [
        ({"f": print}, {}, TypeError, "can't be written as JSON"),
        ({}, {"a": [1, 2]}, TypeError, "is a list, not a tensor"),
        ({}, {"a": torch.eye(3).to_sparse()}, TypeError, "Make it dense"),
        ({}, {"a": torch.zeros(2, device="meta")}, TypeError, "on meta"),
        ({}, {"__metadata__": torch.zeros(1)}, ValueError, "belongs to the file's description"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, config: dict, tensors: dict, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        artifact.write(tmp_path / "m", config, tensors)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Give the name of a file"):
        artifact.write(tmp_path, {}, {})


FILLS_THE_DISK = """
import resource, signal, sys, torch
import burnish.artifact as artifact
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    artifact.write(sys.argv[1], {}, {"w": torch.zeros(500, 500)})
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs setrlimit")
def test_no_room_is_explained_and_the_old_file_survives(model: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FILLS_THE_DISK, str(model)], capture_output=True, text=True, check=True)
    assert "no room for the 1.0 MB" in run.stdout and "is as it was" in run.stdout
    assert artifact.read(model).config == CONFIG
    assert [p.name for p in model.parent.iterdir()] == ["m.burnish"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "Free some space"), (errno.EROFS, "Choose a folder of your own"), (errno.EIO, "[Ii]nput/output error")],
)
def test_a_failing_disk_leaves_the_old_file(model: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(artifact.os, "fsync", fail)
    with pytest.raises(OSError, match=words) as caught:
        artifact.write(model, {}, {})
    assert caught.value.errno == number
    assert artifact.read(model).config == CONFIG
    assert [p.name for p in model.parent.iterdir()] == ["m.burnish"]


# -- what can't be read -------------------------------------------------------------------------------------------


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


def raw_pickle(folder: Path, mark: Path) -> bytes:
    return pickle.dumps(Bomb(mark))


def torch_zip(folder: Path, mark: Path) -> bytes:
    torch.save({"m": Bomb(mark)}, folder / "x.pth")
    return (folder / "x.pth").read_bytes()


def old_torch(folder: Path, mark: Path) -> bytes:
    torch.save({"m": Bomb(mark)}, folder / "x.pth", _use_new_zipfile_serialization=False)
    return (folder / "x.pth").read_bytes()


def tar(folder: Path, mark: Path) -> bytes:
    (folder / "in").write_text("hello")
    with tarfile.open(folder / "x.tar", "w") as archive:
        archive.add(folder / "in")
    return (folder / "x.tar").read_bytes()


def zipped(folder: Path, mark: Path) -> bytes:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb(mark)))
    return (folder / "x.zip").read_bytes()


OTHERS = [
    (raw_pickle, "a pickle"),
    (torch_zip, "a zip archive"),
    (old_torch, "a pickle"),
    (zipped, "hold pickles, which run code"),
    (tar, "a tar archive"),
    (lambda f, m: b"\n <!DOCTYPE html><html>404</html>", "a web page"),
    (lambda f, m: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    (lambda f, m: b'{"a": 1}', "a JSON text"),
    (lambda f, m: b"", "it is empty"),
    (lambda f, m: b"abc", "something else"),
    (lambda f, m: b"\xff" * 4096, "something else"),
]


@pytest.mark.parametrize(("make", "words"), OTHERS, ids=[w for _, w in OTHERS])
def test_other_files_are_refused_and_nothing_runs(tmp_path: Path, make, words: str) -> None:
    mark = tmp_path / "executed"
    path = tmp_path / "model.burnish"
    path.write_bytes(make(tmp_path, mark))
    with pytest.raises(ModelFileError, match=words) as caught:
        artifact.read(path)
    assert "model.burnish" in str(caught.value)
    assert not mark.exists()


def test_missing_file_names_the_models_that_are_there(model: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"other.*There is: m\.burnish"):
        artifact.read(model.with_name("other"))
    with pytest.raises(ModelFileError, match=r"is a folder.*m\.burnish"):
        artifact.read(model.parent)


def test_a_file_cut_anywhere_is_refused(model: Path) -> None:
    whole = model.read_bytes()
    for length in {1, 7, 8, 9, 100, len(whole) // 2, *range(len(whole) - 40, len(whole))}:
        model.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            artifact.read(model)


def test_a_truncated_header_is_called_truncated(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:60])
    with pytest.raises(ModelFileError, match="is truncated"):
        artifact.read(model)


def test_a_byte_changed_anywhere_is_refused(model: Path) -> None:
    whole = bytearray(model.read_bytes())
    header = struct.unpack("<Q", whole[:8])[0]
    text = json.loads(whole[8 : 8 + header])
    blanks = len(whole[8 : 8 + header]) - len(whole[8 : 8 + header].rstrip())
    assert text
    for position in [*range(8, 8 + header - blanks, 7), *range(8 + header, len(whole))]:
        changed = bytearray(whole)
        changed[position] ^= 1
        model.write_bytes(changed)
        with pytest.raises(ModelFileError):
            artifact.read(model)


def test_appended_bytes_are_refused(model: Path) -> None:
    model.write_bytes(model.read_bytes() + b"\0" * 8)
    with pytest.raises(ModelFileError, match="damaged"):
        artifact.read(model)


def described(path: Path, text: str | None) -> Path:
    """A safetensors file with `text` as its description, with a right checksum."""
    from safetensors.torch import save_file

    tensors = {"w": torch.zeros(2)}
    save_file(tensors, path, None if text is None else {"burnish": text, "sha256": artifact._checksum(text, tensors)})
    return path


DESCRIPTIONS = [
    (None, "without burnish's description"),
    ("not json", "no JSON"),
    ("[" * 100_000, "no JSON that can be read"),
    ("[1]", "doesn't say which format"),
    ('{"format": "x"}', "doesn't say which format"),
    ('{"format": 99, "versions": {"burnish": "7.1"}}', r"has format 99.*reads up to 1.*burnish 7\.1.*pip install -U burnish"),
    ('{"format": 99, "versions": []}', "has format 99"),
    ('{"format": 1, "aliases": {}, "config": [1]}', "config should be an object"),
    ('{"format": 1, "aliases": {"a": "nowhere"}, "config": {}}', "ties tensors to ones that aren't there"),
    ('{"format": 1, "aliases": {"a": [1]}, "config": {}}', "ties tensors"),
    ('{"format": 1, "aliases": 3, "config": {}}', "aliases should be an object"),
    ('{"format": 1, "aliases": {}, "config": ' + '{"a":' * 80 + "1" + "}" * 80 + "}", "nested more than 64 deep"),
]


@pytest.mark.parametrize(("text", "words"), DESCRIPTIONS, ids=[w[:24] for _, w in DESCRIPTIONS])
def test_absurd_descriptions_are_refused(tmp_path: Path, text: str | None, words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        artifact.read(described(tmp_path / "m", text))


def test_a_header_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(struct.pack("<Q", artifact.MAX_HEADER + 1) + b"{")
    with pytest.raises(ModelFileError, match="not a burnish model"):
        artifact.read(tmp_path / "m")
