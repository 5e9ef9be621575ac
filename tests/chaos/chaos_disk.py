"""A disk that goes wrong at one chosen operation, put under a real process of the suite.

What the process does to the files of one folder (open for writing, write, sync, rename, make a folder) is counted,
and at the operation with the fault's number the fault happens: a deterministic moment, where a kill from outside would
hit another one each time. Files that were written and not synced are remembered, so that a power cut can take
them away. Exercised by ``python -m tests.chaos``.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = ("kill", "power cut", "interrupt", "full disk", "read-only")
BROKEN = {"full disk": errno.ENOSPC, "read-only": errno.EROFS}
"""What a disk that stays broken answers to everything; a full one still syncs and renames."""
PAUSE = "pause"


class WatchedFile(io.FileIO):
    """A file whose writes pass by the disk first."""

    disk: Disk

    def write(self, data: Any) -> int:
        half = memoryview(data)[: len(data) // 2]
        if self.disk.about_to("write", str(self.name)):
            self.disk.strike(lambda: super(WatchedFile, self).write(half))
        return super().write(data)


class Disk:
    """Counts the operations on the files of `folder` and goes wrong at number `at` as `kind` says (None: never).
    What happens is told by files in `scratch`: `fired`, `paused`; a paused process waits there for a file `go`.
    The lock files are left alone: they hold nothing but a message."""

    def __init__(self, folder: Path, scratch: Path, kind: str | None, at: int) -> None:
        self.folder, self.scratch, self.kind, self.at = str(folder.absolute()), scratch, kind, at
        self.count = self.answers = 0
        self.broken = False
        self.synced: dict[str, int] = {}
        """How many bytes of each file written by this process would survive a power cut."""
        self.held: dict[str, int] = {}
        """These files themselves, as descriptors: what another process has put in their place is not theirs to lose."""

    def install(self) -> None:
        """Put this disk under everything that the process opens, writes and renames from now on."""
        real = {name: getattr(os, name) for name in ("fsync", "replace", "mkdir")}
        real_open = io.open

        def open_(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **rest):
            if not (set(mode) & set("wax")) or "+" in mode or not self.holds(file):
                return real_open(file, mode, buffering, encoding, errors, newline, **rest)
            path = self.path(file)
            self.operate("open", path)
            raw = WatchedFile(path, mode.replace("b", "").replace("t", ""))
            raw.disk = self
            size = os.path.getsize(path)
            self.synced[path] = min(size, self.synced.get(path, size))
            self.hold(path, os.dup(raw.fileno()))
            if buffering == 0:
                return raw
            buffered = io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

        def fsync(descriptor):
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if self.holds(path) and os.path.isfile(path):
                self.operate("sync", path)
                self.synced[path] = os.path.getsize(path)
            real["fsync"](descriptor)

        def replace(source, target, **rest):
            if self.holds(target):
                self.operate("rename", self.path(target))
                self.synced[self.path(target)] = self.synced.pop(self.path(source), 0)
                if self.path(source) in self.held:
                    self.hold(self.path(target), self.held.pop(self.path(source)))
            real["replace"](source, target, **rest)

        def mkdir(path, *rest, **more):
            if self.holds(path):
                self.operate("mkdir", self.path(path))
            real["mkdir"](path, *rest, **more)

        io.open = builtins.open = open_  # type: ignore[assignment]
        os.fsync, os.replace, os.mkdir = fsync, replace, mkdir  # type: ignore[assignment]

    @staticmethod
    def path(file: Any) -> str:
        return os.path.abspath(os.fspath(file))

    def holds(self, file: Any) -> bool:
        return not isinstance(file, int) and f"{self.path(file)}/".startswith(f"{self.folder}/")

    def operate(self, what: str, path: str) -> None:
        """One operation other than a write, or the error of a disk that is broken already."""
        if self.about_to(what, path):
            self.strike(lambda: None)

    def about_to(self, what: str, path: str) -> bool:
        """Count an operation; True where it is the one to go wrong at. A pause counts answers alone."""
        if self.broken and (self.kind == "read-only" or what not in ("sync", "rename")):
            raise OSError(BROKEN[self.kind], os.strerror(BROKEN[self.kind]))
        self.count += 1
        self.answers += what == "write" and "/records/" in path
        if self.kind == PAUSE and what == "write" and "/records/" in path and self.answers == self.at:
            self.pause()
        return self.kind in KINDS and self.count == self.at

    def strike(self, write_half: Callable[[], object]) -> None:
        """The fault itself, in the middle of a write or before anything else."""
        self.tell("fired")
        if self.kind == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
            return
        if self.kind != "read-only":
            write_half()
        if self.kind in BROKEN:
            self.broken = True
            raise OSError(BROKEN[self.kind], os.strerror(BROKEN[self.kind]))
        if self.kind == "power cut":
            self.lose_what_was_not_synced()
        os.kill(os.getpid(), signal.SIGKILL)

    def lose_what_was_not_synced(self) -> None:
        for path, descriptor in self.held.items():
            os.ftruncate(descriptor, self.synced[path])

    def hold(self, path: str, descriptor: int) -> None:
        """Takes the descriptor of the file that is now at `path`."""
        if path in self.held:
            os.close(self.held[path])
        self.held[path] = descriptor

    def pause(self) -> None:
        self.tell("paused")
        while not (self.scratch / "go").exists():
            time.sleep(0.01)

    def tell(self, event: str) -> None:
        os.close(os.open(self.scratch / event, os.O_CREAT | os.O_WRONLY))
