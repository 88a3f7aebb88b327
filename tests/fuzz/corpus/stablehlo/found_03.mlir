module @jit_rounding attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<16xf32>) -> ( tensor<16xf32> {jax.result_info = "resulse, mt[3]"}) {
    %0 = stablehlo.round_nearest_afz %arg0 : tensor<16xf32>
    %1 = stablehlo.round_nearest_even %arg0 : tensor<16xf32>
    %2 = stablehlo.convert %arg0 : (tensor<16xf32>) -> tensor<16xi32>
    %3 = stablehlo.reduce_precision %arg0, format = e8m7 : tensor<16xf32>
    return %0, %1, %2, %3 : tensor<16xf32>, tensor<16xf32>, tensor<16xi32>, tensor<16xf32>
  }
}
