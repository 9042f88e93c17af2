"""Pictures in and out: files, layouts, colour, kernels, figures and the folder of a run."""
