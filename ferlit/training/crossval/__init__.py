"""Cross-validation: systems x seeds x folds, each fit a process of its own."""
