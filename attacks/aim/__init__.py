"""What every attack of a family shares: its aim (the objective, the ball, the model before its end) and how its
recordings are judged.
"""
