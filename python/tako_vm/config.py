"""
The configuration that takod would use, read and checked by takod's own code:
both functions run the command "tako-vm", so that there is one set of rules.

What load_config gives has the password in database_url and the API keys as
they are, as in 0.3: the command shows them to those who can read the file.
TAKO_VM_COMMAND names the command where it is not in PATH.
"""
from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

__all__ = ["ConfigurationError", "ContainerLimits", "JobTypeConfig",
           "JobTypeGPUConfig", "TakoVMConfig", "load_config",
           "validate_config_file"]


class ConfigurationError(Exception):
    """The configuration cannot be used; errors has a text for each reason."""

    def __init__(self, errors: List[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclasses.dataclass(frozen=True)
class ContainerLimits:
    nofile_soft: int
    nofile_hard: int
    nproc_soft: int
    nproc_hard: int
    fsize: int  # bytes
    tmpfs_size: str
    pids_limit: int


@dataclasses.dataclass(frozen=True)
class JobTypeGPUConfig:
    enabled: bool = False
    vendor: Optional[str] = None
    count: Optional[int] = None
    device_ids: List[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class JobTypeConfig:
    name: str
    requirements: List[str]
    python_version: str
    base_image: Optional[str]
    shared_code: List[str]
    environment: Dict[str, str]
    memory_limit: str
    cpu_limit: float
    timeout: int  # seconds
    startup_timeout: int  # seconds
    network_enabled: bool
    allowed_hosts: List[str]
    session_enabled: bool
    gpu: JobTypeGPUConfig
    warm_pool_size: Optional[int]
    preload: List[str]


@dataclasses.dataclass(frozen=True)
class TakoVMConfig:
    """
    Every key as an attribute: those that other programs ask for are named
    here; the rest, takod's own, are found by their names as well.
    """
    data_dir: Path
    seccomp_profile_path: Optional[Path]
    container_limits: ContainerLimits
    job_types: List[JobTypeConfig]
    values: Dict[str, Any] = dataclasses.field(repr=False)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(
                "no configuration key %r" % name) from None

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, as an attribute has it."""
        return getattr(self, key) if key in self.values else default


def _known(kind: Any, values: Dict[str, Any]) -> Any:
    """An object of a kind; fields that a newer command adds are left out."""
    fields = {}
    for field in dataclasses.fields(kind):
        if field.name in values:
            fields[field.name] = values[field.name]
        elif (field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING):
            fields[field.name] = None
    return kind(**fields)


def _job_type(values: Dict[str, Any]) -> JobTypeConfig:
    return _known(JobTypeConfig, {
        **values, "gpu": _known(JobTypeGPUConfig, values.get("gpu") or {})})


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = os.environ.get("TAKO_VM_COMMAND", "tako-vm")
    try:
        return subprocess.run([command, *arguments], text=True,
                              errors="replace", stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise ConfigurationError([
            "%s: %s (it comes with takod; TAKO_VM_COMMAND may name it)"
            % (command, error.strerror)]) from None


def _parse(done: subprocess.CompletedProcess[str]) -> Dict[str, Any]:
    try:
        value = json.loads(done.stdout)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError(
            done.stderr.splitlines() or ["%s: no answer, status %d" % (
                done.args[0], done.returncode)])
    return value


def load_config(
        config_path: Union[str, "os.PathLike[str]", None] = None
) -> TakoVMConfig:
    """
    The effective configuration: of that file, else of the one that takod
    would find, with the environment variables. Raises ConfigurationError.
    """
    named = [] if config_path is None else ["--config", os.fspath(config_path)]
    done = _run(*named, "config", "--json", "--show-secrets")
    if done.returncode != 0:
        prefix = "Configuration error: "
        errors = [line[len(prefix):] for line in done.stderr.splitlines()
                  if line.startswith(prefix)]
        raise ConfigurationError(errors or done.stderr.splitlines())
    values = _parse(done)
    profile = values["seccomp_profile_path"]
    return TakoVMConfig(
        data_dir=Path(values["data_dir"]),
        seccomp_profile_path=None if profile is None else Path(profile),
        container_limits=_known(ContainerLimits, values["container_limits"]),
        job_types=[_job_type(one) for one in values["job_types"]],
        values=values)


def validate_config_file(path: Union[str, "os.PathLike[str]"]) -> List[str]:
    """The errors of a file, one text each; none when takod would take it."""
    answer = _parse(_run("validate", "--json", "--", os.fspath(path)))
    errors = []
    for error in answer["errors"]:
        where = [str(error[part]) for part in ("file", "line", "column")
                 if error[part] is not None]
        text = [":".join(where)] if where else []
        text += [error["key"]] if error["key"] is not None else []
        errors.append(": ".join(text + [error["message"]]))
    return errors
