"""RR intervals found in a recording, as a torch module: what the writers of this room put before a file's graph.

In: an :class:`~models.front.others.RrPlan`. Out: float32 (n, leads, samples) mV to float32 (n, intervals).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from pulseproof.models.front.others import SHARE, TINY, RrPlan


class RrModule(nn.Module):
    """See the module."""

    def __init__(self, plan: RrPlan) -> None:
        super().__init__()
        self.plan = plan

    def forward(self, x: Tensor) -> Tensor:
        plan = self.plan
        slope = x[:, :, 2 * plan.slope :] - x[:, :, : -2 * plan.slope]
        energy = f.avg_pool1d((slope * slope).mean(dim=1, keepdim=True), plan.smooth, 1)
        places = torch.arange(plan.places, dtype=x.dtype, device=x.device)[None, None]
        own = slice(plan.own[0], plan.own[1] + 1)
        beat, most = _weighed(energy[:, :, own], places[:, :, own]), energy[:, :, own].amax(dim=2, keepdim=True)
        found = []
        for way in plan.of:
            first, count = plan.side(way)
            seen, here = energy[:, :, first : first + count], places[:, :, first : first + count]
            above = (seen > SHARE * torch.minimum(seen.amax(dim=2, keepdim=True), most)).to(x.dtype)
            distance = (here if way < 0 else plan.places - here) * above
            edge = distance.amax(dim=2, keepdim=True)
            edge = edge if way < 0 else plan.places - edge
            far = edge + way * (plan.hump + 0.5)
            low, high = (far, edge + 0.5) if way < 0 else (edge - 0.5, far)
            near = ((here > low) & (here < high)).to(x.dtype)
            neighbour = _weighed(seen * near, here)
            found.append(beat - neighbour if way < 0 else neighbour - beat)
        return torch.cat(found, dim=2)[:, 0] * plan.scale + plan.offset


def _weighed(energy: Tensor, places: Tensor) -> Tensor:
    weights = energy * energy
    return (weights * places).mean(dim=2, keepdim=True) / (weights.mean(dim=2, keepdim=True) + TINY)
