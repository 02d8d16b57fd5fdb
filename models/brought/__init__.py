"""Models that somebody brings, a stranger's until they were looked at: files, torch modules, estimators."""
