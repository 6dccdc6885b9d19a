"""How far the planner's cost model is off on published throughput."""
