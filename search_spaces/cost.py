"""What a network costs, computed from its specification alone.

Conventions, the same everywhere in this project:

* One multiply-add of a convolution or linear layer is one MAC. Norms, activations, shifts,
  poolings, additions and concatenations are 0 MACs.
* Parameters include the affine pair of every batch norm, biases, PReLU slopes and learned shifts;
  running statistics are buffers, not parameters.
* Memory access is ShuffleNetV2's (arXiv:1807.11164, G1): elements read and written by convolutions
  and linear layers (input + output + weights), and by shifts and poolings (input + output). Norms
  and activations count as fused, additions and concatenations as free.
* Peak activations is the largest number of activation elements that must exist at once while one
  such layer runs at batch 1: its input, its output, and whatever a later merge still needs. The
  input image that a block reads counts while that block runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FLOAT_BYTES = 4

Size = tuple[int, int]  # height, width of a feature map
SIDES = range(8, 1025)  # pixels that an image may be brought to


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a part of a network at batch 1; `+` runs one part after the other.

    Attributes:
        params: learned numbers.
        macs: multiply-adds of convolutions and linear layers.
        memory_access: elements read and written.
        peak_activations: most activation elements alive at once.
    """

    params: int = 0
    macs: int = 0
    memory_access: int = 0
    peak_activations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.memory_access + other.memory_access,
            max(self.peak_activations, other.peak_activations),
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of the parameters as 32-bit floats."""
        return FLOAT_BYTES * self.params

    def holding(self, elements: int) -> Cost:
        """Return this cost with `elements` more activations kept alive beside it."""
        return replace(self, peak_activations=self.peak_activations + elements)


def chain(*costs: Cost, held: int = 0) -> Cost:
    """Cost of layers in turn, the first one's input of `held` elements being needed to the end."""
    first, *rest = costs
    return sum((cost.holding(held) for cost in rest), start=first)


def shrink(hw: Size, stride: int) -> Size:
    """Return the size of a map after a padded layer of `stride`: each side divided, rounded up."""
    return -(-hw[0] // stride), -(-hw[1] // stride)


def conv_cost(
    c_in: int,
    c_out: int,
    kernel: int,
    hw: Size,
    *,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> Cost:
    """Cost of a `kernel` x `kernel` convolution on a (c_in, *hw) map, padded to keep its size."""
    weights = kernel * kernel * c_in * c_out // groups
    h_out, w_out = shrink(hw, stride)
    pixels = h_out * w_out
    activations = c_in * hw[0] * hw[1] + c_out * pixels
    return Cost(
        weights + (c_out if bias else 0), weights * pixels, activations + weights, activations
    )


def norm_cost(channels: int) -> Cost:
    """Cost of a batch norm: its scale and its offset."""
    return Cost(params=2 * channels)


def conv_bn_cost(
    c_in: int, c_out: int, kernel: int, hw: Size, *, stride: int = 1, groups: int = 1
) -> Cost:
    """Cost of a bias-free convolution on a (c_in, *hw) map and the batch norm after it."""
    return conv_cost(c_in, c_out, kernel, hw, stride=stride, groups=groups) + norm_cost(c_out)


def linear_cost(c_in: int, c_out: int, *, bias: bool = True) -> Cost:
    """Cost of a fully connected layer."""
    weights = c_in * c_out
    return Cost(weights + (c_out if bias else 0), weights, weights + c_in + c_out, c_in + c_out)


def move_cost(channels: int, hw: Size, *, stride: int = 1) -> Cost:
    """Cost of a shift or a pooling on a (channels, *hw) map: nothing but memory."""
    h_out, w_out = shrink(hw, stride)
    activations = channels * (hw[0] * hw[1] + h_out * w_out)
    return Cost(memory_access=activations, peak_activations=activations)


def global_pool_cost(channels: int, hw: Size) -> Cost:
    """Cost of the mean of each channel of a (channels, *hw) map."""
    activations = channels * (hw[0] * hw[1] + 1)
    return Cost(memory_access=activations, peak_activations=activations)


def squeeze_excite_cost(channels: int, hw: Size, reduction: int = 4) -> Cost:
    """Cost of `layers.SqueezeExcite` on a (channels, *hw) map, which stays alive meanwhile."""
    hidden = max(1, channels // reduction)
    gate = linear_cost(channels, hidden), linear_cost(hidden, channels)
    return chain(global_pool_cost(channels, hw), *gate, held=channels * hw[0] * hw[1])
