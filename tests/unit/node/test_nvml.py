"""The library, where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze_node import nvml


def test_it_is_loaded_only_where_a_driver_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nvml, "DRIVER", tmp_path / "none")
    monkeypatch.setattr(nvml, "CONTROL", tmp_path / "none")
    assert nvml.load_nvml() is None
    monkeypatch.setattr(nvml, "CONTROL", tmp_path)
    library = nvml.load_nvml()
    assert library is not None
    # Every function that is used is there under that name.
    for name in (name for name in dir(nvml.Nvml) if name.startswith("nvml")):
        assert callable(getattr(library, name)), name


def test_strings_of_older_bindings_are_bytes() -> None:
    assert (nvml.text_of(b"GPU-1"), nvml.text_of("GPU-1")) == ("GPU-1", "GPU-1")
