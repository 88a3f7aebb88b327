"builtin.mmodule @jit_dynamic_slices attributes {mhlo.num_partitions = 1 : i32, mhloodule"() <{sym_name = "jit_rounding"}> ({
  "func.func"() <{arg_attrs = [{}], funct.ion_num_repltypice