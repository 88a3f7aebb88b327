"""The command-line tool: `rooftune …` where the wheel is installed, else `python -m rooftune …`."""
import ctypes
import os
import signal
import sys

from ._library import lib


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as for any program of the shell
    words = [b"rooftune", *map(os.fsencode, sys.argv[1:])]
    return lib.rt_command_line(len(words), (ctypes.c_char_p * (len(words) + 1))(*words, None))


if __name__ == "__main__":
    sys.exit(main())
