"""The language of the toolkit: interfaces, parameters, problem, solver, result, registry, errors."""
