"""A trained net without its batch norms: the same scores, fewer operators.

In: a module in inference mode. Out: a module with every batch norm folded into the convolution or linear layer before
it (Jacob et al. 2018, section 3.2). The exporters need it (a batch norm that stays splits an int8 graph), and the
attacks gain a fifth of their time from it.

``torch.fx``'s own ``fuse`` folds once a *call*: a block that a net calls twice, or one encoder called for each lead,
gets its batch norm multiplied in once for every call, without a word (pytorch #104593, #197539). Here a layer is folded
once, and only where *each* of its calls is followed by the same batch norm and by nothing else. What stands for a net
is compared with it all the same (:func:`held_fold`): tracing can lose what depends on the data.
"""

from __future__ import annotations

import copy
from collections import defaultdict

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from pulseproof.models.held import Held, hold

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# A subclass may do anything in its forward, so types are compared, not their ancestors.
PAIRS = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.Linear: nn.BatchNorm1d,
}


def held_fold(module: nn.Module, signals: Tensor) -> Held:
    """:func:`folded`, held against the module on recordings (k, leads, samples) mV; the module itself where the copy
    computes something else, and why.

    A batch norm behind a dense layer that is called on more than rows of features (n, steps, features) normalises the
    steps, which only shapes tell: where the copy does not hold, the convolutions alone are folded.
    """
    whole = hold(lambda: folded(module), module, signals)
    if whole.reason is None:
        return whole
    convolutions = hold(lambda: folded(module, dense=False), module, signals)
    return convolutions if convolutions.reason is None and convolutions.module is not module else whole


def folded(module: nn.Module, dense: bool = True) -> nn.Module:
    """The module with its batch norms folded away, in inference mode and frozen; its scores differ by rounding alone.

    A module without batch norm, one that torch.fx cannot trace (its control flow depends on the data), or one of which
    nothing can be folded is given back as it is. The module that came in is not changed. ``dense``: behind linear
    layers as well.
    """
    module.eval()
    if not any(isinstance(part, BATCH_NORMS) for part in module.modules()):
        return module
    try:
        traced = fx.symbolic_trace(copy.deepcopy(module))
    except Exception:  # a user's own code may raise anything when it meets a tensor without numbers
        return module
    if not _fold_all(traced, dense):
        return module
    traced.graph.lint()
    traced.recompile()
    traced.eval()
    for parameter in traced.parameters():
        parameter.requires_grad_(False)
    return traced


def _fold_all(traced: fx.GraphModule, dense: bool) -> bool:
    """Fold what can be folded, in place; False when nothing could be."""
    modules = dict(traced.named_modules(remove_duplicate=False))
    calls: dict[int, list[fx.Node]] = defaultdict(list)
    for node in traced.graph.nodes:
        if node.op == "call_module":
            calls[id(modules[node.target])].append(node)
    read = [str(node.target) for node in traced.graph.nodes if node.op == "get_attr"]
    found = False
    for nodes in list(calls.values()):
        layer = modules[nodes[0].target]
        norm = _norm_behind(layer, nodes, modules)
        names = {name for name, part in modules.items() if part is layer}
        if norm is None or (isinstance(layer, nn.Linear) and not dense):
            continue
        if any(target.rpartition(".")[0] in names for target in read):
            continue
        fuse = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
        whole = fuse(layer, norm)
        for name in names:
            traced.set_submodule(name, whole)
        for node in nodes:
            (behind,) = node.users
            behind.replace_all_uses_with(node)
            traced.graph.erase_node(behind)
        found = True
    if found:
        traced.delete_all_unused_submodules()
    return found


def _norm_behind(layer: nn.Module, calls: list[fx.Node], modules: dict[str, nn.Module]) -> _BatchNorm | None:
    """The one batch norm behind every call of a layer, if nothing else takes the layer's output anywhere."""
    kind = PAIRS.get(type(layer))
    if kind is None or _is_hooked(layer):
        return None
    behind = [next(iter(node.users)) if len(node.users) == 1 else None for node in calls]
    norms = {
        id(modules[str(node.target)]) if node is not None and node.op == "call_module" else None for node in behind
    }
    if len(norms) != 1 or None in norms:
        return None
    assert behind[0] is not None
    norm = modules[str(behind[0].target)]
    # Without running statistics it looks at the batch.
    if type(norm) is not kind or not isinstance(norm, _BatchNorm) or norm.running_mean is None or _is_hooked(norm):
        return None
    if isinstance(layer, nn.Linear) and layer.out_features != norm.num_features:
        return None
    return norm


def _is_hooked(part: nn.Module) -> bool:
    """Weight and spectral normalisation write a layer's weight anew before each call, and folding would be lost."""
    return bool(part._forward_hooks or part._forward_pre_hooks)
