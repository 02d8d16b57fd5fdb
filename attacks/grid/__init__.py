"""Where signal sets are made: the tasks of a study, the pools that do them, and what they leave."""
