"""What a study file may say beside its main tables, how it is completed, and what is wrong with one in words."""
