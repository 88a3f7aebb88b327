#loc1 = loc("x")$$\\\4))
