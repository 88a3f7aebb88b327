#!/usr/bin/env python3
"""make_seeds.py FOLDER [LARGEST]: the StableHLO texts of all programs, to start fuzzing from: each in its pretty form, in
the generic form, and as jax.export prints it, with locations. Texts of more than LARGEST bytes (20000) are left out.

tests/fuzz/corpus/stablehlo holds those of at most 2600 bytes, and beside them small inputs that fuzzing came to
(found_*), chosen for what they cover."""
import sys
from pathlib import Path

import jax
import numpy as np
from jax import export

import programs

ROOT = Path(__file__).resolve().parents[2]


def texts():
    """(name, text)"""
    rng = np.random.default_rng(1)
    for name, (function, makers, _) in programs.PROGRAMS.items():
        inputs = [np.asarray(make(rng)) for make in makers]
        lowered = jax.jit(function).lower(*inputs)
        yield name, lowered.as_text()
        yield f"{name}_generic", lowered.compiler_ir("stablehlo").operation.get_asm(print_generic_op_form=True)
        yield f"{name}_export", export.export(jax.jit(function))(*inputs).mlir_module()
    batch, length = export.symbolic_shape("b, s")
    specs = [jax.ShapeDtypeStruct((batch, length, 4), np.float32), jax.ShapeDtypeStruct((batch, 4), np.float32)]
    polymorphic = export.export(jax.jit(lambda x, y: jax.nn.softmax(x + y[:, None]).reshape(x.shape[0] * x.shape[1], -1)))
    yield "polymorphic_export", polymorphic(*specs).mlir_module()


def main():
    folder = Path(sys.argv[1])
    largest = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts():
        if len(text) <= largest:
            (folder / f"{name}.mlir").write_text(text.replace(f"{ROOT}/", ""))  # locations name this file
    print(f"{len(list(folder.iterdir()))} seeds in {folder}")


if __name__ == "__main__":
    main()
