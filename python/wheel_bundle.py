"""Makes the libraries of a wheel run on machines where what they need is not installed: it is copied in beside them.

Only the platform is left outside: the C library, and GCC's two run-time libraries, which are newer on every newer system
and which all C++ code of a process has to share. Copies get names of their own (libfmt-1a2b3c4d.so.9), so that neither
another library of the same name in the process is taken for ours nor ours for it, and find each other by $ORIGIN. So do
the symbols by which we call them: TensorFlow offers its own protobuf to the whole process, which ours would be bound to.
"""
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

PLATFORM = re.compile(r"(ld-linux-x86-64|lib(c|m|dl|rt|pthread|util|resolv|gcc_s|stdc\+\+))\.so\.\d+$")
STATIC = ("llvm-19-dev", "liblld-19-dev", "nlohmann-json3-dev", "libcli11-dev")  # linked in or compiled in: Debian packages


def _output(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def needed(library):
    return _output("patchelf", "--print-needed", library).split()


def _beside(library):
    """Name -> path of everything that the dynamic linker would load with a library."""
    lines = re.findall(r"^\s*(\S+) => (\S+|not found)", _output("ldd", library), re.M)
    if missing := [name for name, path in lines if not path.startswith("/")]:
        raise SystemExit(f"{library} needs {', '.join(missing)}, which is not there")
    return {name: Path(os.path.realpath(path)) for name, path in lines if not PLATFORM.match(name)}


def _defined(library):
    """The dynamic symbols that a library defines."""
    lines = _output("nm", "--dynamic", "--defined-only", "--format=posix", library).splitlines()
    return {line.split()[0].split("@")[0] for line in lines}


def _names_of_our_own(copies, libraries):
    """Lines "old new" for the symbols that only `copies` define, of all that `libraries` are loaded with."""
    everybodys = set()
    for name, path in re.findall(r"^\s*(\S+) => (/\S+)", _output("ldd", *libraries), re.M):
        if PLATFORM.match(name):
            everybodys |= _defined(path)
    symbols = set().union(*map(_defined, copies)) - everybodys - {"_init", "_fini"}
    return "".join(f"{symbol} rooftune_{symbol}\n" for symbol in sorted(symbols))


def bundle(libraries, folder):
    """Copies `libraries` and what they need into `folder`, ready to be moved together; the paths where the copies are from."""
    found = {}
    for library in libraries:
        found.update(_beside(library))
    renamed = {}
    for name, path in found.items():
        stem, version = name.split(".so", 1)
        renamed[name] = f"{stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.so{version}"
    symbols = Path(folder) / "symbols"
    symbols.write_text(_names_of_our_own(found.values(), libraries))
    for name, path in [(p.name, p) for p in map(Path, libraries)] + list(found.items()):
        copy = Path(folder) / renamed.get(name, name)
        shutil.copyfile(path, copy)
        copy.chmod(0o755)
        subprocess.run(["strip", "--strip-unneeded", copy], check=True)
        replaced = [word for old in needed(copy) if old in renamed for word in ("--replace-needed", old, renamed[old])]
        own_name = ["--set-soname", renamed[name]] if name in renamed else []
        subprocess.run(["patchelf", "--set-rpath", "$ORIGIN", *own_name, *replaced, copy], check=True)
        subprocess.run(["patchelf", "--rename-dynamic-symbols", symbols, copy], check=True)
        if strangers := [n for n in needed(copy) if n not in renamed.values() and not PLATFORM.match(n)]:
            raise SystemExit(f"{copy.name} still needs {', '.join(strangers)}")
    symbols.unlink()
    return list(found.values())


def licences(sources):
    """Debian package -> its statement of copyright and licences, of what is copied or linked in."""
    packages = set(STATIC)
    for path in sources:
        names = [str(path), str(path).removeprefix("/usr")]  # dpkg knows some files by the old place
        owner = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True).stdout
        if not owner:
            raise SystemExit(f"{path} belongs to no Debian package: its licence is not known")
        packages.add(owner.split(":")[0])
    return {package: Path("/usr/share/doc", package, "copyright") for package in sorted(packages)}


def platform_tag():
    """Wheels run where the C library is as new as the one they were built with."""
    major, minor = os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")
    return f"manylinux_{major}_{minor}_{os.uname().machine}"
