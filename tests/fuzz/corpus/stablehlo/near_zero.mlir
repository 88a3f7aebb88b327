module @jit_near_zero attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<23xf32>) -> (tensor<23xf32> {jax.result_info = "result[0]"}, tensor<23xf32> {jax.result_info = "result[1]"}, tensor<23xf32> {jax.result_info = "result[2]"}) {
    %0 = stablehlo.exponential_minus_one %arg0 : tensor<23xf32>
    %1 = stablehlo.abs %arg0 : tensor<23xf32>
    %2 = stablehlo.log_plus_one %1 : tensor<23xf32>
    %cst = stablehlo.constant dense<-0.899999976> : tensor<f32>
    %cst_0 = stablehlo.constant dense<0.899999976> : tensor<f32>
    %3 = call @clip(%arg0, %cst, %cst_0) : (tensor<23xf32>, tensor<f32>, tensor<f32>) -> tensor<23xf32>
    %4 = stablehlo.abs %3 : tensor<23xf32>
    %5 = stablehlo.negate %4 : tensor<23xf32>
    %6 = stablehlo.log_plus_one %5 : tensor<23xf32>
    return %0, %2, %6 : tensor<23xf32>, tensor<23xf32>, tensor<23xf32>
  }
  func.func private @clip(%arg0: tensor<23xf32>, %arg1: tensor<f32>, %arg2: tensor<f32>) -> tensor<23xf32> {
    %0 = stablehlo.convert %arg1 : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %0, dims = [] : (tensor<f32>) -> tensor<23xf32>
    %2 = stablehlo.maximum %1, %arg0 : tensor<23xf32>
    %3 = stablehlo.convert %arg2 : tensor<f32>
    %4 = stablehlo.broadcast_in_dim %3, dims = [] : (tensor<f32>) -> tensor<23xf32>
    %5 = stablehlo.minimum %4, %2 : tensor<23xf32>
    return %5 : tensor<23xf32>
  }
}
