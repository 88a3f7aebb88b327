#loc1 = loc("x")
module @jit_rounding attributes {jax.uses_shape_polymorphism = false, mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<16xf32> loc("x")) -> (tensor<16xf32> {jax.result_info = "result[0]"}, tensor<16xf32> {jax.result_info = "result[1]"}, tensor<16xi32> {jax.result_info = "result[2]"}, tensor<16xf32> {jax.result_info = "result[3]"}) {
    %0 = stablehlo.round_nearest_afz %arg0 : tensor<16xf32> ln %0, %1, %2, %3 : tensor<16xf32>, tensor<16xf32>, tensor<16xi32>, tensor<16xf32> loc(#loc22)
  } loc(#loc)
} loc(#loc)
#loc = loc(unknown)
#loc2 = loc("tests/stablehlo/proging)/round"(#loc19))
#loc25 = loc("jit(rounding)/convert_element_type"(#loc20))
#loc26 = loc("jit(rounding)/reduce_precision"(#loc21))
