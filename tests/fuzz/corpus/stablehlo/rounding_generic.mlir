"builtin.module"() <{sym_name = "jit_rounding"}> ({
  "func.func"() <{arg_attrs = [{}], function_type = (tensor<16xf32>) -> (tensor<16xf32>, tensor<16xf32>, tensor<16xi32>, tensor<16xf32>), res_attrs = [{jax.result_info = "result[0]"}, {jax.result_info = "result[1]"}, {jax.result_info = "result[2]"}, {jax.result_info = "result[3]"}], sym_name = "main", sym_visibility = "public"}> ({
  ^bb0(%arg0: tensor<16xf32>):
    %0 = "stablehlo.round_nearest_afz"(%arg0) : (tensor<16xf32>) -> tensor<16xf32>
    %1 = "stablehlo.round_nearest_even"(%arg0) : (tensor<16xf32>) -> tensor<16xf32>
    %2 = "stablehlo.convert"(%arg0) : (tensor<16xf32>) -> tensor<16xi32>
    %3 = "stablehlo.reduce_precision"(%arg0) <{exponent_bits = 8 : i32, mantissa_bits = 7 : i32}> : (tensor<16xf32>) -> tensor<16xf32>
    "func.return"(%0, %1, %2, %3) : (tensor<16xf32>, tensor<16xf32>, tensor<16xi32>, tensor<16xf32>) -> ()
  }) : () -> ()
}) {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} : () -> ()
