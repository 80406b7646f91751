"""The published MiM-ISTD in plain functions over a state dict with published key names, in evaluation mode.

Tokens as in the published code: words (B·N, 16, k), sentences (B, N, C); square images with sides that are
multiples of 64. Memory is re-read wherever the published code does.
"""

import torch
import torch.nn.functional as F


def mim(state, x, depths=(2, 2, 2, 2), head_blocks=2):
    """Logits (B, 1, H, W) of images (B, C, H, W)."""
    words, sentences = stem(sub(state, 'patch_embed'), x)
    maps = []
    for i, depth in enumerate(depths):
        if i:
            words = merge_words(sub(state, f'word_merges.{i - 1}'), words, sentences)
            sentences = merge_sentences(sub(state, f'sentence_merges.{i - 1}'), sentences)
        for j in range(depth):
            words, sentences = block(sub(state, f'stages.{i}.blocks.{j}'), words, sentences)
        side = int(sentences.shape[1] ** 0.5)
        t = sentences.transpose(1, 2).unflatten(2, (side, side))
        maps.append(upsample(sub(state, f'up_blocks.{i}'), t))
    u = maps[-1]
    for i in reversed(range(len(depths) - 1)):
        u = expand(sub(state, f'deconv{i + 1}'), u) + maps[i]
        for j in range(head_blocks):
            s = sub(state, f'uplayer{i + 1}.{j}')
            inner = bn(s, 'body.1', F.conv2d(u, s['body.0.weight'], padding=1)).relu()
            u = (u + bn(s, 'body.4', F.conv2d(inner, s['body.3.weight'], padding=1))).relu()
    s = sub(state, 'head')
    u = bn(s, 'block.1', F.conv2d(u, s['block.0.weight'], padding=1)).relu()
    logits = F.conv2d(u, s['block.4.weight'], s['block.4.bias'])
    return F.interpolate(logits, size=x.shape[2:], mode='bilinear', align_corners=False)


def stem(s, x):
    def conv(x, name, i, stride):
        return bn(s, f'{name}.{i + 1}', convolve(s, f'{name}.{i}', x, stride=stride, padding=1)).relu()

    c = conv(x, 'common_conv', 0, 2)
    words = F.unfold(conv(c, 'inner_convs', 0, 1), kernel_size=4, stride=4)  # (B, k·16, N)
    words = words.transpose(1, 2).reshape(-1, words.shape[1] // 16, 16).transpose(1, 2)
    c = conv(conv(conv(c, 'outer_convs', 0, 2), 'outer_convs', 3, 2), 'outer_convs', 6, 1)
    return words, c.flatten(2).transpose(1, 2)


def block(s, words, sentences):
    batch, n, channels = sentences.shape
    side = int(n**0.5)
    if 'proj.weight' in s:
        k = words.shape[2]
        normed = norm(s, 'inner_norm1', words.reshape(batch, n, 16 * k)).reshape(-1, 16, k)
        words = words + ss2d(sub(s, 'inner_attn'), normed, 4)
        memory = norm(s, 'inner_norm2', words.reshape(batch, n, 16 * k)).reshape(batch, k, 4 * side, 4 * side)
        words = words + ffn(sub(s, 'inner_mlp'), memory).reshape(-1, 16, k)
        joint = norm(s, 'proj_norm1', words.reshape(batch, n, 16 * k))
        sentences = sentences + norm(s, 'proj_norm2', F.linear(joint, s['proj.weight']))
    sentences = sentences + ss2d(sub(s, 'outer_attn'), norm(s, 'outer_norm1', sentences), side)
    memory = norm(s, 'outer_norm2', sentences).reshape(batch, channels, side, side)
    return words, sentences + ffn(sub(s, 'outer_mlp'), memory).reshape(batch, n, channels)


def ss2d(s, x, side):
    batch, n, channels = x.shape
    x = x.transpose(1, 2).contiguous().view(batch, side, side, channels)
    v, gate = F.linear(x, s['in_proj.weight']).chunk(2, dim=-1)
    v = convolve(s, 'conv2d', v.permute(0, 3, 1, 2), padding=1, groups=v.shape[-1])
    v = F.silu(v)
    inner, rank = v.shape[1], s['dt_projs_weight'].shape[2]
    rows, columns = v.flatten(2), v.transpose(2, 3).flatten(2)
    total = 0
    for k, sequence in enumerate((rows, columns, rows.flip(2), columns.flip(2))):
        low, b, c = (s['x_proj_weight'][k] @ sequence).split((rank, 16, 16), dim=1)
        delta = F.softplus(s['dt_projs_weight'][k] @ low + s['dt_projs_bias'][k][:, None])
        mine = slice(k * inner, (k + 1) * inner)
        y = scan(sequence, delta, -s['A_logs'][mine].exp(), b, c) + s['Ds'][mine][:, None] * sequence
        y = y.flip(2) if k > 1 else y
        y = y.unflatten(2, (side, side))
        total = total + (y.transpose(2, 3) if k % 2 else y)
    y = norm(s, 'out_norm', total.permute(0, 2, 3, 1)) * F.silu(gate)
    return F.linear(y, s['out_proj.weight']).view(batch, n, channels)


def scan(u, delta, a, b, c):
    """u, delta (B, D, L), a (D, 16), b, c (B, 16, L) → (B, D, L)."""
    h, out = 0, []
    for t in range(u.shape[2]):
        step = delta[..., t, None]
        h = (step * a).exp() * h + step * u[..., t, None] * b[:, None, :, t]
        out.append((h * c[:, None, :, t]).sum(-1))
    return torch.stack(out, dim=2)


def ffn(s, x):
    u = bn(
        s, 'conv1x1_gelu_bn.conv3x3_gelu_bn.2', F.gelu(convolve(s, 'conv1x1_gelu_bn.conv3x3_gelu_bn.0', x))
    )
    u = u + bn(s, 'act.1', F.gelu(convolve(s, 'conv3x3_dw.conv', u, padding=1, groups=u.shape[1])))
    return bn(s, 'conv1x1_pw.1', convolve(s, 'conv1x1_pw.0', u))


def merge_words(s, words, sentences):
    k, side = words.shape[2], int(sentences.shape[1] ** 0.5)
    x = norm(s, 'norm', words).reshape(-1, side, side, 4, 4, k)
    left = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2]], dim=3)
    right = torch.cat([x[:, 0::2, 1::2], x[:, 1::2, 1::2]], dim=3)
    x = torch.cat([left, right], dim=4).reshape(-1, 8, 8, k).permute(0, 3, 1, 2)
    return convolve(s, 'conv.0', x, stride=2, padding=1).flatten(2).transpose(1, 2)


def merge_sentences(s, sentences):
    side = int(sentences.shape[1] ** 0.5)
    x = sentences.unflatten(1, (side, side))
    x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], dim=-1)
    return F.linear(norm(s, 'norm', x.flatten(1, 2)), s['reduction.weight'])


def upsample(s, x):
    x = F.conv_transpose2d(x, s['transposed_conv.weight'], s['transposed_conv.bias'], stride=2)
    x = F.gelu(bn(s, 'batch_norm1', x))
    return F.gelu(bn(s, 'batch_norm2', convolve(s, 'conv', x, padding=1)))


def expand(s, x):
    batch, channels, height, width = x.shape
    x = F.linear(x.permute(0, 2, 3, 1), s['expand.weight']).reshape(batch, height, width, 2, 2, channels // 2)
    x = x.transpose(2, 3).reshape(batch, 2 * height, 2 * width, channels // 2)
    return norm(s, 'norm', x).permute(0, 3, 1, 2)


def sub(state, prefix):
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(f'{prefix}.')}


def norm(s, name, x):
    return F.layer_norm(x, x.shape[-1:], s[f'{name}.weight'], s[f'{name}.bias'])


def bn(s, name, x):
    mean, var = s[f'{name}.running_mean'], s[f'{name}.running_var']
    return F.batch_norm(x, mean, var, s[f'{name}.weight'], s[f'{name}.bias'])


def convolve(s, name, x, **kwargs):
    return F.conv2d(x, s[f'{name}.weight'], s[f'{name}.bias'], **kwargs)
