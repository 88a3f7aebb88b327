module @jit_special_values attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<7xf32>) -> (tensor<7xi1> {jax.result_info = "result[0]"}, tensor<7xi1> {jax.result_info = "result[1]"}, tensor<7xi1> {jax.result_info = "result[2]"}, tensor<7xf32> {jax.result_info = "result[3]"}, tensor<1x7xf32> {jax.result_info = "result[4]"}) {
    %0 = stablehlo.compare NE, %arg0, %arg0, FLOAT : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xi1>
    %1 = stablehlo.is_finite %arg0 : (tensor<7xf32>) -> tensor<7xi1>
    %2 = call @isinf(%arg0) : (tensor<7xf32>) -> tensor<7xi1>
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %3 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<7xf32>
    %4 = stablehlo.compare GT, %arg0, %3, FLOAT : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xi1>
    %c = stablehlo.constant dense<0> : tensor<i32>
    %5 = call @_where(%4, %arg0, %c) : (tensor<7xi1>, tensor<7xf32>, tensor<i32>) -> tensor<7xf32>
    %6 = stablehlo.broadcast_in_dim %arg0, dims = [1] : (tensor<7xf32>) -> tensor<1x7xf32>
    return %0, %1, %2, %5, %6 : tensor<7xi1>, tensor<7xi1>, tensor<7xi1>, tensor<7xf32>, tensor<1x7xf32>
  }
  func.func private @isinf(%arg0: tensor<7xf32>) -> tensor<7xi1> {
    %0 = stablehlo.abs %arg0 : tensor<7xf32>
    %cst = stablehlo.constant dense<0x7F800000> : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<7xf32>
    %2 = stablehlo.compare EQ, %0, %1, FLOAT : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xi1>
    return %2 : tensor<7xi1>
  }
  func.func private @_where(%arg0: tensor<7xi1>, %arg1: tensor<7xf32>, %arg2: tensor<i32>) -> tensor<7xf32> {
    %0 = stablehlo.convert %arg2 : (tensor<i32>) -> tensor<f32>
    %1 = stablehlo.broadcast_in_dim %0, dims = [] : (tensor<f32>) -> tensor<7xf32>
    %2 = stablehlo.select %arg0, %arg1, %1 : tensor<7xi1>, tensor<7xf32>
    return %2 : tensor<7xf32>
  }
}
