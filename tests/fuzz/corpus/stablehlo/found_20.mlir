#loc = loc(unknown)
#loc1 = loc("x")
#loc2 = loc("