#loc = loc(unknown)
#loc1 = loc("x")
module @jit_near_zero attributes {jax.uses_shape_polymorphism = false, mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<23xf32> loc("x")) -> (tensor<23xf32> {jax.result_info = "result[0]"}, tensor<23xf32> {jax.result_info = "result[1]"}, tensor<23xf32> {jax.result_info = "result[2]"}) {
    %cst = stablehlo.constant dense<0.899999976> : tensor<f32> loc(#loc27)
    %cst_0 = stabloc40)
    %6 = stablehlo.log_pl)
#loc43 = loc("jit:"(#loc42))
