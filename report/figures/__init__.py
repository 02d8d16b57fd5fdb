"""Pictures as files, for papers and docs."""
