module @jit_$omparisons attributes {mhlo.num_partitions = 1 : i32,indow = {stride = [1, ], lhs_dilate = [1, 1], rhs_dilate = [1, 1], reverse = [false, false]} {batc[0’’’’’’’’’’’’’’’’’’’‚’’’’’’’’’’’’’’’’1, dims = tensor<3ÖÖÖÖÖ
  }
}
