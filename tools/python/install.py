"""Installs a locked set of Python packages into a virtual environment, once, and prints its interpreter.

    python3 install.py REQUIREMENTS FOLDER

Whatever runs later finds the environment as it is; another set of packages, or another Python, makes it anew. Exit
status 75 says that the environment cannot be had on this machine now: the registry of packages does not answer, or
Python has no venv. Only the standard library is used.
"""

import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys

INSTALL_S_MAX = 180
REQUEST_S_MAX = 20
UNAVAILABLE = 75


def main(requirements: pathlib.Path, folder: pathlib.Path) -> int:
    folder.parent.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()
    python, stamp = folder / "bin" / "python", folder / "installed"
    # Two runs at one time install once.
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted):
            shutil.rmtree(folder, ignore_errors=True)
            if not install(requirements, folder, python):
                return UNAVAILABLE
            stamp.write_text(wanted)
    print(python)
    return 0


def install(requirements: pathlib.Path, folder: pathlib.Path, python: pathlib.Path) -> bool:
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    pip += ["--timeout", str(REQUEST_S_MAX), "--retries", "1", "--require-hashes", "-r", requirements]
    venv = [sys.executable, "-m", "venv", folder]
    for step, hint in (
        (venv, "Python makes no virtual environment: install its `venv`"),
        (pip, f"pip cannot have the packages of {requirements.name}: look whether their registry answers"),
    ):
        try:
            done = subprocess.run(step, stdout=sys.stderr, timeout=INSTALL_S_MAX).returncode == 0
        except subprocess.TimeoutExpired:
            print(f"not within {INSTALL_S_MAX} s", file=sys.stderr)
            done = False
        if not done:
            print(hint, file=sys.stderr)
            return False
    return True


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
