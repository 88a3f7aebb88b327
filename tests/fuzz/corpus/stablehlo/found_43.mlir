module @jit_bools attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<3x5xi1>, %arg1: tensor<3x5xi1>, %arg2: tensor<3x5xf3<3x5xi+>, }
}
