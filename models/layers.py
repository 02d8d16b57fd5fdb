"""The layer table of a net, read off the net itself by running it once. For the docs and for a reader in doubt."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.models.systems import SYSTEMS

SHOWN = (nn.Conv1d, nn.LSTM, nn.Linear)


def layer_table(system: str, leads: int, samples: int, classes: int) -> str:
    """Markdown: each convolution, LSTM and linear layer in the order in which it runs, with output and parameters."""
    found = SYSTEMS.get(system)
    if found is None or found.net is None:
        nets = ", ".join(name for name, one in SYSTEMS.items() if one.net)
        raise InputError(f"{system!r} is not a built-in net", f"nets: {nets}")
    net = found.net(leads, samples, classes).eval()
    lines: list[str] = []

    def note(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            shape = tuple((out[0] if isinstance(out, tuple) else out).shape[1:])
            count = sum(parameter.numel() for parameter in module.parameters())
            lines.append(f"| `{name}` | {_say(module)} | {' x '.join(map(str, shape))} | {count:,} |")

        return hook

    for name, module in net.named_modules():
        if isinstance(module, SHOWN):
            module.register_forward_hook(note(name, module))
    with torch.inference_mode():
        net(torch.zeros(1, leads, samples))
    total = sum(parameter.numel() for parameter in net.parameters())
    head = ["| layer | what | output | parameters |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *lines, f"| all, with batch norm | | | {total:,} |"])


def _say(module: nn.Module) -> str:
    if isinstance(module, nn.Conv1d):
        stride = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
        return f"convolution {module.in_channels} to {module.out_channels}, kernel {module.kernel_size[0]}{stride}"
    if isinstance(module, nn.LSTM):
        return f"LSTM, {module.input_size} in, {module.hidden_size} hidden"
    assert isinstance(module, nn.Linear)
    return f"linear {module.in_features} to {module.out_features}"
