"""What a study's ``[data]`` may say, a source of recordings a file: tables of a TOML file in, checked values out."""
