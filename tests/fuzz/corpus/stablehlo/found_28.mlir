module @jit_near_zero attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<23xf32>) -> (tensor<23xf32> {jax.result_info = "result[0]"}, tensor<23xf32> {jax.result_info = "result[1]"}, tensor<23xf32> {jax.result_info = "result[2]"}) {
    %0 = stablehlo.expo1 : tensor<23xf32>
    %cst = stablehlo.constant dense<-0.899999976> : tensor<f32>
    %cst_0 = stablehlo.constant dense<0.899999976> : tensor<f32>
    %3 = call @cliarg2 : tensor<f32>
    %4 = stablehlo.broadcast_in_dim %2, dims = [] : (tensor<f32>) -> tensor<23xf32>
    %5 = stablehlo.minimum %4, %2 : tensor<23xf32>
    return %5 : tensor<23xf32>
  }
}
