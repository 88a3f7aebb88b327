#loc1 = loc("x")#loc = loc(unknown)
#loc1 = loc("x")
#eds.py":24exts>" :