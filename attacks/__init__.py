"""Adversarial and control recordings: a differentiable module or nothing in, signal sets out.

A method sees a ``torch.nn.Module`` and arrays, never a file format or a data set; :mod:`attacks.grid.study` alone knows
of studies. One family a file.
"""
