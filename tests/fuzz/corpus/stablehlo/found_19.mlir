module @jit_halves attributes {mhlo.num_replicas = 0 : i32} {
  func.func public @main(%arg0: tensor<3x4xf16>, %arg1: tensor<4x5xf32>) ÿÿÿÿÿÿÿÿÿÿply %3, %#15 : teo.con  }
}
