"""The blocks of MAD-Net (IEEE document 10777476): AdaDCM of the encoder, MemA²M of the bottleneck."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from madnet.errors import expect_number, expect_whole
from madnet.models.layers.conv_blocks import ConvBNReLU
from madnet.models.layers.foldable import Foldable
from madnet.models.layers.padding import pad_reflect
from madnet.models.layers.precision import full_precision
from madnet.ops import conv3x3, has_kernels, memory_gate, mirrored_conv

# Each border cell of the 3×3 kernel (flat, row by row) and the one before it on a clockwise walk around the
# centre.
_PRECEDING_CELL = (3, 0, 1, 6, 4, 2, 7, 8, 5)

_BRANCHES = ('horizontal', 'vertical', 'angular', 'plain')


def _mixing() -> Tensor:
    """What each of the 3 + 3 + 9 + 9 weights of the branches adds to each cell of a 3×3 kernel, by branch, 0
    for those of the others: (4, 24 · 9)."""
    cells = torch.eye(9).view(9, 3, 3)
    column, row = cells[::3], cells[:3]
    parts = [
        column - column.flip(2),
        row - row.flip(1),
        (torch.eye(9) - torch.eye(9)[list(_PRECEDING_CELL)].T),
        torch.eye(9),
    ]
    parts = [part.reshape(-1, 9) for part in parts]
    rows = [F.one_hot(torch.tensor(k), 4).repeat(len(part), 1) for k, part in enumerate(parts)]
    return torch.einsum('rb,rc->brc', torch.cat(rows).float(), torch.cat(parts)).flatten(1)


class DifferentialConv(Foldable):
    """A 3×3 convolution whose kernel is a learnt mix of difference kernels and a plain one.

    The branches of AdaDCM in MAD-Net (IEEE document 10777476): horizontal differences (left minus right
    column), vertical differences (upper minus lower row), angular differences (each border cell minus its
    neighbour) and a plain kernel, each with its own bias; four unconstrained scalars γ scale kernels *and*
    biases before they are summed. Convolution is linear, so the sum is taken over kernels: there is ONE
    convolution per forward, in training too.

    Args:
        channels: C of input and output.
        deploy: Start in the deployed form, a plain convolution.

    Shape:
        (B, C, H, W) → (B, C, H, W); stride 1, zero padding 1.
    """

    def __init__(self, channels: int, deploy: bool = False):
        super().__init__()
        self.deployed = deploy
        if deploy:
            self.fused = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
            return
        self.register_buffer('mixing', _mixing(), persistent=False)
        self.gamma = nn.ParameterDict({name: nn.Parameter(torch.ones(1)) for name in _BRANCHES})
        for gamma in self.gamma.values():
            gamma._no_weight_decay = True
        # Holders of weights with the initialisation of their kind; none of them is ever called.
        self.horizontal = nn.Conv1d(channels, channels, kernel_size=3)
        self.vertical = nn.Conv1d(channels, channels, kernel_size=3)
        self.angular = nn.Conv2d(channels, channels, kernel_size=3)
        self.plain = nn.Conv2d(channels, channels, kernel_size=3)

    def fused_kernel(self) -> tuple[Tensor, Tensor]:
        """Kernel (C_out, C_in, 3, 3) and bias (C_out,) that the branches amount to, differentiable; when a
        CPU tests rounded once, as by :func:`~madnet.models.deploy.fold`."""
        branches = [getattr(self, name) for name in _BRANCHES]
        kind = self.plain.weight.dtype
        mixed_in = torch.float64 if self.plain.weight.is_cpu and not self.training else kind
        gamma = torch.cat([self.gamma[name] for name in _BRANCHES])[None].to(mixed_in)
        # one product instead of a dozen small operators for each branch
        weights = torch.cat([branch.weight.flatten(2) for branch in branches], dim=2).to(mixed_in)
        with full_precision(weights):
            weight = weights @ (gamma @ self.mixing.to(mixed_in)).view(-1, 9)
            bias = (gamma @ torch.stack([branch.bias for branch in branches]).to(mixed_in)).squeeze(0)
        return weight.to(kind).unflatten(2, (3, 3)), bias.to(kind)

    def make_countable(self) -> None:
        """Without what is made of weights alone."""
        self.switch_to_deploy()

    def forward(self, x: Tensor) -> Tensor:
        if self.deployed:
            return self.fused(x)
        return conv3x3(x, *self.fused_kernel())


class PixelAttention(nn.Module):
    """Gate in 0–1 from a depthwise 7×7 convolution with reflected border.

    Part of AdaDCM in MAD-Net (IEEE document 10777476). The paper's figure says "7×7 Conv"; the published
    network uses a depthwise one, as here. A map of fewer than 4 pixels along an axis cannot be mirrored by 3
    and has its edge repeated along that axis.

    Args:
        channels: C of the input and of the gate.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=7, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) → gate (B, C, H, W) in 0–1."""
        if has_kernels(x, x.dtype) and min(x.shape[2:]) > 3:
            return torch.sigmoid(mirrored_conv(x, self.conv.weight, self.conv.bias))
        return torch.sigmoid(self.conv(pad_reflect(x, 3, 3, 3, 3)))


class AdaDCM(nn.Module):
    """Adaptive differential convolution module of MAD-Net (IEEE document 10777476).

    As in the published network, which has a leading convolution and a last residual that the paper's figure
    omits, and takes the attention from the output of the second convolution::

        x0 = Conv3×3(x);  r = ReLU(DifferentialConv(x0)) + x0;  s = Conv3×3(r);  y = s ⊙ PixelAttention(s) +
        x0

    Args:
        in_channels, out_channels: Of the maps.
        steady: Whether s is summed in double precision when a CPU tests. Trained networks have their largest
            numbers there (600,000 in ``madnet_tiny``), and the gate is the exponential of their sums: in
            single precision the order of a sum, which another runtime or layout of memory changes, can be
            seen in the scores (by 1e-4).

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, steady: bool = False):
        super().__init__()
        self.steady = steady
        self.conv_in = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.differential = DifferentialConv(out_channels)
        self.conv_out = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        self.attention = PixelAttention(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.conv_in(x)
        edges = F.relu(self.differential(shallow)) + shallow
        mixed = self._mixed(edges)
        return mixed * self.attention(mixed) + shallow

    def _mixed(self, edges: Tensor) -> Tensor:
        conv = self.conv_out
        tested = self.steady and not self.training and edges.is_cpu and edges.dtype == torch.float32
        # runtimes for ONNX, for which a trace is made, have no convolution in double precision
        if not tested or torch.jit.is_tracing() or torch.is_autocast_enabled('cpu'):
            return conv(edges)
        return F.conv2d(edges.double(), conv.weight.double(), conv.bias.double(), padding=1).float()


class MemoryAttention(nn.Module):
    """Gates the channels of a window by what a learnable memory bank answers to the window's mean.

    With window tokens w (L, C), bank M (K, slots), K = C // 8::

        ℓ = Linear(mean(w));  a = softmax(ℓ M / √K);  g = σ(Linear(a Mᵀ));  y = Linear(w ⊙ g)

    The bank is a parameter, learnt by gradient, and serves as key and value. As published with MAD-Net
    (IEEE document 10777476), whose figure shows a sigmoid similarity and neither the last gate's sigmoid nor
    the output projection.

    Args:
        channels: C of the tokens.
        slots: Columns of the bank.
    """

    def __init__(self, channels: int, slots: int = 128):
        super().__init__()
        width = max(1, channels // 8)
        self.bank = nn.Parameter(torch.randn(width, slots))
        self.bank._no_weight_decay = True
        self.proj = nn.Linear(channels, channels)
        self.reduce = nn.Linear(channels, width)
        self.expand = nn.Linear(width, channels)

    def forward(self, windows: Tensor, valid: Tensor | None = None) -> Tensor:
        """
        Args:
            windows: Tokens (B, n, h, m, w, C): maps as n × m windows of h × w.
            valid: Number of real tokens of each window, (n, 1, m, 1, 1), where the others are zeros; None:
                all are real.

        Returns:
            Tokens (B, n, h, m, w, C).
        """
        if valid is None:
            mean = windows.mean(dim=(2, 4), keepdim=True)
        else:
            mean = windows.sum(dim=(2, 4), keepdim=True) / valid
        return self.proj(windows * self._gate(mean))

    def _gate(self, mean: Tensor) -> Tensor:
        if has_kernels(mean, mean.dtype):
            reduce, expand = self.reduce, self.expand
            return memory_gate(mean, reduce.weight, reduce.bias, self.bank, expand.weight, expand.bias)
        asked = self.reduce(mean)
        bank = self.bank.T.to(asked.dtype, copy=True, memory_format=torch.contiguous_format)[None, None]
        answer = F.scaled_dot_product_attention(asked.reshape(1, 1, -1, len(self.bank)), bank, bank)
        return torch.sigmoid(self.expand(answer.view(asked.shape)))


class MLP(nn.Module):
    """Linear(C → hidden) → GELU → Linear(hidden → C) on the last axis: (..., C) → (..., C)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class MemA2MBlock(nn.Module):
    """Windowed memory attention and an MLP, each normalised before and added to its input.

    The map may have any size. Along an axis no longer than ``window`` there is one window and no shift; a
    longer axis is rolled by the shift, then filled up with zeros to whole windows, and a window's mean
    counts its real tokens only. On multiples of the window this is the published block exactly.

    Args:
        channels: C of the map.
        window: Side of a window, in pixels of the map.
        shift: Cyclic shift of the windows, in pixels, without mask.
        slots: Columns of the memory bank.
    """

    def __init__(self, channels: int, window: int = 16, shift: int = 0, slots: int = 128):
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, 2 * channels)
        self.attention = MemoryAttention(channels, slots)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Map (B, H, W, C), channels last → map (B, H, W, C).

        Args:
            x: The map.
            keep: Factors of the two branches for each sample, (2, B, 1, 1, 1), 0 for one that is left out;
                None: both are added as they are.
        """
        attended = self._attend(self.norm1(x))
        x = x + attended if keep is None else torch.addcmul(x, attended, keep[0])
        mixed = self.mlp(self.norm2(x))
        return x + mixed if keep is None else torch.addcmul(x, mixed, keep[1])

    def _attend(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        window = (min(self.window, height), min(self.window, width))
        # Pooling over the whole axis does not see a roll: one window needs none.
        shift = tuple(self.shift if size > self.window else 0 for size in (height, width))
        missing = (-height % window[0], -width % window[1])
        if any(shift):
            x = torch.roll(x, (-shift[0], -shift[1]), dims=(1, 2))
        valid = None
        if any(missing):
            x = _fill_up(x, missing)
            real = _fill_up(x.new_ones(1, height, width, 1), missing)
            valid = _as_windows(real, window)[0].sum(dim=(1, 3), keepdim=True)
        x = self.attention(_as_windows(x, window), valid).view(x.shape)
        x = x[:, :height, :width]
        if any(shift):
            x = torch.roll(x, shift, dims=(1, 2))
        return x


def _as_windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """A map (B, n·h, m·w, C) as its n × m windows of h × w, (B, n, h, m, w, C), in the same memory."""
    batch, height, width, channels = x.shape
    h, w = window
    # by numbers: the ONNX exporter freezes an unflatten
    return x.view(batch, height // h, h, width // w, w, channels)


def _fill_up(x: Tensor, missing: tuple[int, int]) -> Tensor:
    """Appends zero rows and columns to a map (B, H, W, C)."""
    return F.pad(x, (0, 0, 0, missing[1], 0, missing[0]))


class MemA2M(nn.Module):
    """Memory-augmented attention module of MAD-Net (IEEE document 10777476): Conv-BN-ReLU, then a stack of
    :class:`MemA2MBlock`.

    Every second block shifts its windows by half a window; the probability of drop path grows linearly from
    0 to ``drop_path`` over the stack. Each block has its own memory bank (the paper's figure draws one).

    Args:
        depth: Number of blocks.
        window: Side of a window, in pixels of the map.
        drop_path: Probability in 0–1 of the last block's drop path.
        slots: Columns of each memory bank.

    Raises:
        UserError: ``depth``, ``window`` or ``slots`` is no whole number from 1 on, ``drop_path`` not in 0–1.

    Shape:
        (B, in_channels, H, W) → (B, out_channels, H, W), any H, W >= 1.
    """

    #: The stem takes the largest numbers of a trained network, and LayerNorm blows up what it rounds.
    keeps_norms = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int = 4,
        window: int = 16,
        drop_path: float = 0.1,
        slots: int = 128,
    ):
        super().__init__()
        for number, called in ((depth, 'depth'), (window, 'window'), (slots, 'slots')):
            expect_whole(number, f'MemA2M.{called}', least=1)
        expect_number(drop_path, 'MemA2M.drop_path', least=0, below=1)
        self.drop_path = drop_path if depth > 1 else 0.0
        self.stem = ConvBNReLU(in_channels, out_channels)
        self.blocks = nn.ModuleList(
            MemA2MBlock(out_channels, window=window, shift=window // 2 if i % 2 else 0, slots=slots)
            for i in range(depth)
        )
        left_out = torch.linspace(0, drop_path, depth) if depth > 1 else torch.zeros(depth)
        self.register_buffer('left_out', left_out, persistent=False)
        self.register_buffer('factor', 1 / (1 - left_out), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1).contiguous()
        keep = self._drawn(x) if self.training and self.drop_path else [None] * len(self.blocks)
        for block, factors in zip(self.blocks, keep, strict=True):
            x = block(x, factors)
        return x.permute(0, 3, 1, 2)

    def _drawn(self, x: Tensor) -> Sequence[Tensor | None]:
        """Drop path (Huang et al., ECCV 2016): 0 or 1 / (1 − p) for each block, both of its branches and each
        sample, (2, B, 1, 1, 1) a block, drawn at once."""
        # nothing is drawn for the first, whose p is 0
        p, factor = (t[1:].view(-1, 1, 1, 1, 1, 1) for t in (self.left_out, self.factor))
        drawn = torch.rand(len(p), 2, len(x), 1, 1, 1, device=x.device)
        return [None, *((drawn >= p) * factor).to(x.dtype)]
