module @jit_near_zero attributes {mhlo.num_partitions = 0 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%)arg0: }
}
