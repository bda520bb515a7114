"""Benchmarks that are somebody else's packages: found, named by version, digested; missing ones are one-line hints."""

import functools
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from practicum.digests import digest, digest_file
from practicum.errors import EnvironmentFault


@dataclass(frozen=True)
class Benchmark:
    """An installed benchmark.

    Attributes:
        distribution: Its name in the package index.
        module: The package it installs.
        install: The command that installs it with what it needs here.
    """

    distribution: str
    module: str
    install: str

    @property
    def version(self) -> str:
        """The installed version; ``absent`` where there is none."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "absent"

    @property
    def folder(self) -> Path:
        """Folder of its package, found without importing it.

        Raises:
            EnvironmentFault: it is not installed.
        """
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise EnvironmentFault(f"{self.distribution} is not installed", fix=self.install)
        return Path(next(iter(spec.submodule_search_locations))).resolve()

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Imports of the benchmark's modules go in here.

        Raises:
            EnvironmentFault: the benchmark, or a module it needs, is not there or is another version's.
        """
        self.folder  # noqa: B018 (raises where nothing is installed)
        try:
            yield
        except ImportError as error:
            raise EnvironmentFault(
                f"{self.distribution} {self.version} cannot be imported: {error}", fix=self.install
            ) from error

    def digest(self, *patterns: str) -> str:
        """SHA-256 over the names and contents of the package's files that match, taken once per process.

        Raises:
            EnvironmentFault: it is not installed, or a pattern matches nothing.
        """
        return _digest(self.folder, patterns)


@functools.cache
def _digest(folder: Path, patterns: tuple[str, ...]) -> str:
    files: set[Path] = set()
    for pattern in patterns:
        matched = {path for path in folder.glob(pattern) if path.is_file()}
        if not matched:
            raise EnvironmentFault(
                f"the package holds no {pattern}", where=str(folder), fix="install the version this was written for"
            )
        files |= matched
    return digest([(path.relative_to(folder).as_posix(), digest_file(path)) for path in sorted(files)])
