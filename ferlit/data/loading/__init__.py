"""From a prepared store to batches: data sets, samplers, transforms and the data modules."""
