"""Folders that hold no whole model of ours: each is refused in one line that names the folder and the remedy."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.astromorphic import AstromorphicConfig, AstromorphicForCausalLM
from models.errors import ModelError

load = AstromorphicForCausalLM.from_pretrained


@pytest.fixture
def saved(tiny, tmp_path) -> Path:
    tiny().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("a network connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def refusal(folder) -> str:
    """The message, which must be one line."""
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kept", [0, 4, 100, -7])
def test_cut_weights(saved, kept):
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    message = refusal(saved)
    assert message.startswith(f"{saved} cannot be loaded (") and "cut short" in message


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_damaged_config(saved, content):
    (saved / "config.json").write_bytes(content)
    assert "config.json is damaged" in refusal(saved)


def test_missing_weights(saved):
    (saved / "model.safetensors").unlink()
    assert f"{saved} holds config.json but no model.safetensors" in refusal(saved)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "model.ckpt"])
def test_only_a_pickle(saved, name):
    (saved / "model.safetensors").rename(saved / name)
    assert f"holds no model.safetensors but {name}, a pickle" in refusal(saved)


def test_weights_win_over_a_pickle_beside_them(saved):
    (saved / "pytorch_model.bin").write_bytes(b"no pickle at all")
    assert load(saved).config.hidden_size == 16


def edit(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_foreign_tensors(saved):
    save_file({"wte.weight": torch.ones(3)}, saved / "model.safetensors", metadata={"format": "pt"})
    message = refusal(saved)
    assert "missing keys: lm_head.weight, model.embed.weight" in message and "unexpected keys: wte.weight" in message


def test_a_tensor_of_another_shape(saved):
    edit(saved, lambda w: w.update({"model.embed.weight": torch.ones(5, 4)}))
    assert "mismatched keys: model.embed.weight is [5, 4] instead of [31, 16]" in refusal(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(saved, value):
    edit(saved, lambda w: w["model.layers.1.up.weight"].__setitem__((3, 2), value))
    assert "holds NaN or infinity in model.layers.1.up.weight" in refusal(saved)


def test_a_model_of_another_type(saved):
    file = saved / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_type": "gpt2"}))
    assert "holds a model of type 'gpt2', expected 'astromorphic'" in refusal(saved)


def test_a_config_that_asks_for_more_than_the_memory(saved):
    file = saved / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "hidden_size": 10**9}))
    assert "lower hidden_size = 1000000000" in refusal(saved)


def test_no_folder_at_all(tmp_path, saved):
    assert f"{tmp_path / 'nowhere'} does not exist" in refusal(tmp_path / "nowhere")
    assert "gpt2 does not exist; name the folder of a saved model (nothing is downloaded)" in refusal("gpt2")
    file = saved / "config.json"
    assert f"{file} is a file; name the folder of a saved model, such as {saved}" in refusal(file)
    assert "path is None; expected the folder of a saved model" in refusal(None)


def test_asking_for_the_network_does_not_reach_it():
    with pytest.raises(ModelError, match="nothing is downloaded"):
        load("gpt2", local_files_only=False)


def test_a_run_folder_names_its_models(tmp_path, saved):
    for arm in ("fitted", "alpha025", "none"):
        for seed in (0, 1):
            shutil.copytree(saved, tmp_path / "run" / "models" / f"{arm}-seed{seed}")
    message = refusal(tmp_path / "run")
    assert "run holds no config.json; name one of its folders models/alpha025-seed0, models/alpha025-seed1" in message
    assert message.endswith("... (6 in all)")
    assert "name one of its folders fitted-seed0" in refusal(only(tmp_path / "run" / "models", "fitted-seed0"))
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty").endswith("holds no config.json; name the folder of a saved model")


def only(folder: Path, kept: str) -> Path:
    for child in folder.iterdir():
        if child.name != kept:
            shutil.rmtree(child)
    return folder


def test_loading_is_quiet(saved, capfd):
    edit(saved, lambda w: w.update({"foreign": torch.ones(3)}))
    refusal(saved)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_saved_files_have_the_ordinary_mode(tiny, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        tiny().save_pretrained(tmp_path / "model")
    finally:
        os.umask(before)
    found = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "model").iterdir()}
    assert "model.safetensors" in found and set(found.values()) == {mode}, found


def test_saving_onto_a_file_is_refused(tiny, tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(ModelError, match="is a file; name a folder to save the model in"):
        tiny().save_pretrained(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def test_networks_larger_than_the_memory_are_refused_before_they_are_built():
    for settings in ({"hidden_size": 10**9}, {"intermediate_size": 2**31 - 1}, {"max_position_embeddings": 10**7}):
        config = AstromorphicConfig(**{"num_attention_heads": 1, **settings})
        with pytest.raises(
            ModelError, match=r"parameters and needs [\d,.]+ GiB .* but [\d,.]+ GiB of memory are free; lower"
        ):
            AstromorphicForCausalLM(config)
