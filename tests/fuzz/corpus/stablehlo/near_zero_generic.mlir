"builtin.module"() <{sym_name = "jit_near_zero"}> ({
  "func.func"() <{arg_attrs = [{}], function_type = (tensor<23xf32>) -> (tensor<23xf32>, tensor<23xf32>, tensor<23xf32>), res_attrs = [{jax.result_info = "result[0]"}, {jax.result_info = "result[1]"}, {jax.result_info = "result[2]"}], sym_name = "main", sym_visibility = "public"}> ({
  ^bb0(%arg3: tensor<23xf32>):
    %6 = "stablehlo.exponential_minus_one"(%arg3) : (tensor<23xf32>) -> tensor<23xf32>
    %7 = "stablehlo.abs"(%arg3) : (tensor<23xf32>) -> tensor<23xf32>
    %8 = "stablehlo.log_plus_one"(%7) : (tensor<23xf32>) -> tensor<23xf32>
    %9 = "stablehlo.constant"() <{value = dense<-0.899999976> : tensor<f32>}> : () -> tensor<f32>
    %10 = "stablehlo.constant"() <{value = dense<0.899999976> : tensor<f32>}> : () -> tensor<f32>
    %11 = "func.call"(%arg3, %9, %10) <{callee = @clip}> : (tensor<23xf32>, tensor<f32>, tensor<f32>) -> tensor<23xf32>
    %12 = "stablehlo.abs"(%11) : (tensor<23xf32>) -> tensor<23xf32>
    %13 = "stablehlo.negate"(%12) : (tensor<23xf32>) -> tensor<23xf32>
    %14 = "stablehlo.log_plus_one"(%13) : (tensor<23xf32>) -> tensor<23xf32>
    "func.return"(%6, %8, %14) : (tensor<23xf32>, tensor<23xf32>, tensor<23xf32>) -> ()
  }) : () -> ()
  "func.func"() <{arg_attrs = [{}, {}, {}], function_type = (tensor<23xf32>, tensor<f32>, tensor<f32>) -> tensor<23xf32>, res_attrs = [{}], sym_name = "clip", sym_visibility = "private"}> ({
  ^bb0(%arg0: tensor<23xf32>, %arg1: tensor<f32>, %arg2: tensor<f32>):
    %0 = "stablehlo.convert"(%arg1) : (tensor<f32>) -> tensor<f32>
    %1 = "stablehlo.broadcast_in_dim"(%0) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<23xf32>
    %2 = "stablehlo.maximum"(%1, %arg0) : (tensor<23xf32>, tensor<23xf32>) -> tensor<23xf32>
    %3 = "stablehlo.convert"(%arg2) : (tensor<f32>) -> tensor<f32>
    %4 = "stablehlo.broadcast_in_dim"(%3) <{broadcast_dimensions = array<i64>}> : (tensor<f32>) -> tensor<23xf32>
    %5 = "stablehlo.minimum"(%4, %2) : (tensor<23xf32>, tensor<23xf32>) -> tensor<23xf32>
    "func.return"(%5) : (tensor<23xf32>) -> ()
  }) : () -> ()
}) {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} : () -> ()
