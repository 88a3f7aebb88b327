"""The hash under which tuned schedules are kept changes with the sources of generated code, and with nothing else."""
import pathlib
import subprocess

SCRIPT = pathlib.Path(__file__).parents[2] / "cmake" / "code_version.cmake"


def version(out, *sources):
    subprocess.run(["cmake", f"-DOUT={out}", "-DSOURCES=" + ";".join(map(str, sources)), "-P", str(SCRIPT)], check=True)
    return out.read_text()


def test_follows_the_sources(tmp_path):
    a, b, out = tmp_path / "a.cpp", tmp_path / "b.cpp", tmp_path / "version.cpp"
    a.write_text("int a;")
    b.write_text("int b;")
    first = version(out, a, b)
    written = out.stat().st_mtime_ns
    assert version(out, b, a) == first and out.stat().st_mtime_ns == written, "nothing changed: nothing is rebuilt"
    b.write_text("int b = 1;")
    assert version(out, a, b) != first
    b.write_text("int b;")
    assert version(out, a, b) == first
