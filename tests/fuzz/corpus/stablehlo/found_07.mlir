module @jit_near_zero attributes {mhnm_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<23xf32>) -> (tensor<23xf32> {{ja23rf32>
  }
}
