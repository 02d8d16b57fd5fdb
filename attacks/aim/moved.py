"""A source on an accelerator: held there against itself, or left on the processor.

In: a module as an attack gets it, recordings, and torch's name of a device. Out: a :class:`~models.held.Held`: the
module there, or as it was, and why. A module may keep numbers that do not travel (the nodes of softened trees, what a
stranger's own code makes while it runs) or ask for an operator that the device has not: then nothing changes.
"""

from __future__ import annotations

from torch import Tensor, nn

from pulseproof.attacks.aim.victims import Victims
from pulseproof.core.compute.placed import Visiting, moved, steady
from pulseproof.models.held import Held, hold

FEW = 2  # recordings whose gradient shows that there is one there


def on_device(module: nn.Module, references: Victims, device: str) -> Held:
    """The module on ``device``, if its scores are the same there and a gradient comes back."""

    def there() -> nn.Module:
        visiting = Visiting(moved(module, device), device)
        place = references.signals[:FEW].clone().requires_grad_(True)
        scores: Tensor = visiting(place)
        if scores.requires_grad:
            with steady(device, visiting.inner):
                scores.sum().backward()
        return visiting.eval()

    held = hold(there, module, references.signals)
    return Held(held.module.inner, None) if isinstance(held.module, Visiting) else held
