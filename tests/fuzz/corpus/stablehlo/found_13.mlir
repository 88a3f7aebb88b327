#loc = loc(unknown)
#loc5 = loc("x")
#loc6 = loc("y")
module @jit__lambda attributes {jax.uses_shape_polymorphism = true, mhlo.num_partitions = 0 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<?x?x4xf32> loc(unknown), %arg1: tensor<?x4xf32> loc(unknown)) -> (tensor<?x4xf32> {jax.result_info = "result"}) {
    %c = stablehlo.const tensor<3/red)ce_precision)"
(#loc21))
