"""Rules of layer-wise relevance propagation, put into a forward pass so that its gradient is their coefficient.

| operation | rule | coefficient |
|---|---|---|
| LayerNorm, RMSNorm | LN-rule (Ali et al. 2022) | the factor of the norm is a constant |
| attention | AH-rule (Ali et al. 2022) | the weights of attention are constants |
| activation function with f(0) = 0 | identity-rule (Rezaei Jafari et al. 2024) | f(x) / x |
| product of two activations, as gates have it | half-rule (Arras et al. 2019) | half the gradient for each |
| what is linear | 0-rule (Montavon et al. 2019) | the gradient |

The rules as RelP has them (arXiv 2508.21258). Values stay what they are, but for rounding. Operations are caught as
torch's functions, so no architecture need be known; one that has no rule and is not linear is refused (NoRuleError).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

SMALL = 1e-6  # stands for 0 where f(x) / x is asked for there
LIBRARY = "transformers.activations"
# Linear in what they are given, as long as only one of it depends on the neurons where they multiply.
LINEAR = frozenset([
    "__add__", "__get__", "__getitem__", "__iadd__", "__neg__", "__radd__", "__rsub__", "__sub__", "add", "add_", "cat",
    "chunk", "clone", "contiguous", "detach", "dropout", "expand", "expand_as", "flatten", "flip", "float", "gather",
    "index_select", "masked_fill", "mean", "movedim", "narrow", "neg", "pad", "permute", "repeat", "repeat_interleave",
    "reshape", "roll", "rsub", "select", "split", "squeeze", "stack", "sub", "sum", "swapaxes", "t", "tensor_split",
    "to", "transpose", "type", "type_as", "unbind", "unflatten", "unsqueeze", "view", "view_as", "where",
])  # fmt: skip
HALVED = frozenset(["__matmul__", "__mul__", "__rmatmul__", "__rmul__", "bmm", "matmul", "mul", "multiply"])
PRODUCTS = HALVED | {"__imul__", "__itruediv__", "__truediv__", "addmm", "div", "linear", "true_divide"}
ACTIVATIONS = frozenset(["elu", "gelu", "hardswish", "leaky_relu", "mish", "relu", "relu6", "silu", "square"])


class NoRuleError(Exception):
    """An operation between a neuron and the prediction for which relevance has no rule; the message names it."""


@contextmanager
def relevance() -> Iterator[None]:
    """Within the context gradients of what is computed are coefficients of relevance; for evaluation only."""
    entered: list[tuple[Any, torch.Tensor]] = []

    def before(module: Any, args: tuple[Any, ...]) -> Any:
        if _is_activation(module) and len(args) == 1 and _depends(args[0]):
            entered.append((module, args[0]))
            return (args[0].detach(),)  # what it does inside is none of the rules' business
        return None

    def after(module: Any, args: Any, output: Any) -> Any:
        if not entered or entered[-1][0] is not module:
            return None
        return _identity(entered.pop()[1], output, module.forward, type(module).__name__)

    handles = [hooks.register_module_forward_pre_hook(before), hooks.register_module_forward_hook(after)]
    try:
        with _Rules():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _is_activation(module: Any) -> bool:
    """The library's activation functions, several of which are formulas, and those of torch that are no plain call."""
    return type(module).__module__ == LIBRARY or isinstance(module, torch.nn.Tanh)


class _Rules(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [value for value in (*args, *kwargs.values()) if _depends(value)]
        if not given or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        name = func.__name__
        if name in RULES:
            return RULES[name](func, *args, **kwargs)
        if name in ACTIVATIONS:
            x, *more = args
            out = func(x.detach(), *more, **{k: v for k, v in kwargs.items() if k != "inplace"})
            return _identity(x, out, lambda value: func(value, *more, **kwargs), name)
        if name in PRODUCTS and len(given) > 1:
            if name not in HALVED:
                raise NoRuleError(f"no rule of relevance for torch's {name} of two activations")
            out = 0.5 * func(*args, **kwargs)
            return out + out.detach()
        out = func(*args, **kwargs)
        if name not in LINEAR and name not in PRODUCTS and _depends(out):
            raise NoRuleError(f"no rule of relevance for torch's {name}")
        return out


def _depends(value: Any) -> bool:
    """Whether a tensor, or one of a list of them, has a gradient."""
    if isinstance(value, torch.Tensor):
        return value.requires_grad
    return isinstance(value, (tuple, list)) and any(_depends(part) for part in value)


def _identity(x: torch.Tensor, out: torch.Tensor, f: Callable[[Any], Any], name: str) -> torch.Tensor:
    """x times f(x) / x, the quotient a constant."""
    with torch.no_grad():
        nothing, little = torch.zeros(1, dtype=x.dtype), torch.full((1,), SMALL, dtype=x.dtype)
        if f(nothing.clone()).item() != 0:
            raise NoRuleError(f"no rule of relevance for {name}, which does not keep 0")
        quotient = torch.where(x == 0, f(little.clone()) / SMALL, out / torch.where(x == 0, little, x))
    return x * quotient


def _layer_norm(func: Any, x: torch.Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    over = tuple(range(-len(shape), 0))
    centred = x - x.mean(over, keepdim=True)
    with torch.no_grad():
        factor = torch.rsqrt(centred.square().mean(over, keepdim=True) + eps)
    return _scaled(centred * factor, weight, bias)


def _rms_norm(func: Any, x: torch.Tensor, shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    over = tuple(range(-len(shape), 0))
    with torch.no_grad():
        least = torch.finfo(x.dtype).eps if eps is None else eps
        factor = torch.rsqrt(x.square().mean(over, keepdim=True) + least)
    return _scaled(x * factor, weight, None)


def _scaled(x: torch.Tensor, weight: Any, bias: Any) -> torch.Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _attention(func: Any, query: Any, key: Any, value: Any, *more: Any, **options: Any) -> Any:
    return func(query.detach(), key.detach(), value, *more, **options)


def _constant(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Of what norms divide by, and of the weights of attention."""
    return func(*args, **kwargs).detach()


def _power(func: Any, x: torch.Tensor, exponent: Any) -> Any:
    return _identity(x, func(x.detach(), exponent), lambda value: func(value, exponent), "pow")


RULES: dict[str, Callable[..., Any]] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "rsqrt": _constant,
    "softmax": _constant,
    "scaled_dot_product_attention": _attention,
    "pow": _power,
    "__pow__": _power,
}
