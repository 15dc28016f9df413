"""How near painted tissue is to real tissue, with intervals, and the thresholds it shall keep."""
