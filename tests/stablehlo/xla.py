"""Runs StableHLO text by jaxlib on the CPU."""
import jax
import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jaxlib.mlir import ir


def run(path, inputs):
    """The outputs of the module's main function for these arrays."""
    device = jax.devices("cpu")[0]
    with mlir.make_ir_context():
        code = mlir.module_to_bytecode(ir.Module.parse(path.read_text()))
    program = device.client.compile_and_load(code, xla_client.DeviceList((device,)), xla_client.CompileOptions())
    with jax.enable_x64(True):  # else 64-bit inputs become 32-bit ones
        arguments = [jax.device_put(x, device) for x in inputs]
    results = program.execute_sharded(arguments).disassemble_into_single_device_arrays()
    return [np.asarray(r[0]) for r in results]
