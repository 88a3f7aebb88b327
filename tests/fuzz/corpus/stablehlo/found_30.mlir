#loc = loc(unknown)
#loc1 = loc("x")
#loc2 = loc("te4Ò444444.py":24:32 to :744444444444444444444444444Ò44444t:"(#?oc84))
