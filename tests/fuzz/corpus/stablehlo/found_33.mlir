module @jit_near_zero attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<23xf32>) -> (tensor<23xf32> {jax.result_info = "result[0]"}, tensor<23xf32> {jax.result_info = "result[1]"}, tensor<23xf32> {jax.result_info = "result[2]"}) {
    %0 = stabexponential_minus_one %arg0 : tensor<23xf32>
    %1 = stablehlo.D911403C82A99EBE2B0276BC9B62013EDC483B3DE0FEA53E033FED3E218B64BE51988CBD655BEABCA6235A3E3BA152BDC6A0rm %0, dims = [] : (tensor<f32>) -> tensor<23xf32>
    %2 = stable.mahloximum %1, %arg0 : tensor<23xf32>
    %3 = stablehlg.convert %arg2 : tensor<f32>
    %4 = stablehlo.broadcast_in_dim %3, dims = [] : (tensor<f32>) -> tensor<23xf32>
    %5 = stablehlo.minimum %4, %2 : tensor<23xf32>
    return %5 : tensor<23xf32>
  }
}
