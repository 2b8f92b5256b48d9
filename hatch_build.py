"""Compiles the pure part with mypyc while a wheel is built, when ``HATCH_BUILD_HOOK_ENABLE_CUSTOM=true`` asks for it.

What is compiled is the list ``modules`` in pyproject.toml. Everything happens in a temporary folder and goes from there
into the wheel: no extension module is left beside its source, where it would hide every later edit. The sources are in
the wheel too, for readers of tracebacks. Called by hatchling, never by the product; run as a program it says
whether this machine can compile (docs/decisions/0036).
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "orchestrator_core"  # holds all of it; the modules are entrances to it
OPTIMISATION = "1"  # 2 and 3 were measured: not faster, and twice as long to build


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the compiled modules to the wheel and says that it is one for this platform."""

    def dependencies(self) -> list[str]:
        """What is needed beside hatchling: mypy reads the types of what the modules import."""
        return ["mypy[mypyc]>=2.0", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; what mypy or the C compiler has to complain about ends the build."""
        if version == "editable":
            raise RuntimeError(
                "an editable installation is interpreted; for a compiled one install a wheel (make wheel)"
            )
        if lacking := cannot_compile():
            raise RuntimeError(f"{lacking}; without HATCH_BUILD_HOOK_ENABLE_CUSTOM the wheel is an interpreted one")
        self._folder = TemporaryDirectory(prefix="orchestrator-compiled-")
        packages = _compile(self.config["modules"], Path(self._folder.name))
        for path in packages.rglob("*"):
            if path.is_file():
                build_data["force_include"][str(path)] = str(path.relative_to(packages))
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is written."""
        self._folder.cleanup()


def cannot_compile() -> str:
    """What this machine lacks for compiling; empty when it lacks nothing."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"no C compiler ({compiler}) was found (on Debian and Ubuntu: apt-get install gcc)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "the headers of this Python were not found (on Debian and Ubuntu: apt-get install python3-dev)"
    return ""


def _compile(modules: list[str], folder: Path) -> Path:
    """The folder that the compiled modules are in, laid out like the packages they belong to."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    options = ["--config-file=pyproject.toml", "--ignore-missing-imports", f"--cache-dir={folder / 'cache'}"]
    extensions = mypycify(
        [*options, *modules], opt_level=OPTIMISATION, target_dir=str(folder / "c"), group_name=LIBRARY
    )
    work = Distribution({"name": LIBRARY, "ext_modules": extensions}).get_command_obj("build_ext")
    work.build_lib, work.build_temp = str(folder / "packages"), str(folder / "objects")
    work.ensure_finalized()
    work.run()
    return folder / "packages"


if __name__ == "__main__":
    if found := cannot_compile():
        sys.exit(f"Not compiled: {found}.")
