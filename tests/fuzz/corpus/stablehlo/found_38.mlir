module attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replilhscas = 1 t}
