"""MAD-Net as one plain function of a state dict with the published key names: a guard of the wiring.

For images whose sides are multiples of 256, in evaluation.
"""

import torch
import torch.nn.functional as F

PI = [3, 0, 1, 6, 4, 2, 7, 8, 5]


def conv(p, key, x, padding=1):
    return F.conv2d(x, p[key + '.weight'], p[key + '.bias'], padding=padding)


def batch_norm(p, key, x):
    mean, var = p[key + '.running_mean'], p[key + '.running_var']
    scale = p[key + '.weight'] / (var + 1e-5).sqrt()
    return (x - mean.view(-1, 1, 1)) * scale.view(-1, 1, 1) + p[key + '.bias'].view(-1, 1, 1)


def linear(p, key, x):
    return x @ p[key + '.weight'].t() + p[key + '.bias']


def layer_norm(p, key, x):
    return F.layer_norm(x, x.shape[-1:], p[key + '.weight'], p[key + '.bias'])


def up2(x):
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)


def differential(p, key, x):
    hd_1d, vd_1d = p[f'{key}.conv1.conv.weight'], p[f'{key}.conv2.conv.weight']
    hd, vd = hd_1d.new_zeros(*hd_1d.shape, 3), hd_1d.new_zeros(*hd_1d.shape, 3)
    hd[..., :, 0], hd[..., :, 2] = hd_1d, -hd_1d
    vd[..., 0, :], vd[..., 2, :] = vd_1d, -vd_1d
    u = p[f'{key}.conv3.conv.weight'].flatten(2)
    ad = (u - u[..., PI]).view_as(hd)
    kernels = (hd, vd, ad, p[f'{key}.conv4.weight'])
    biases = [p[f'{key}.{name}.bias'] for name in ('conv1.conv', 'conv2.conv', 'conv3.conv', 'conv4')]
    return sum(
        p[f'{key}.gamma{i + 1}'].view(1, 1, 1, 1) * F.conv2d(x, w, b, padding=1)
        for i, (w, b) in enumerate(zip(kernels, biases, strict=True))
    )


def adadcm(p, key, x):
    x0 = conv(p, f'{key}.conv.0', x)
    r = differential(p, f'{key}.conv1', x0).relu() + x0
    s = conv(p, f'{key}.conv2', r)
    mirrored = F.pad(s, (3, 3, 3, 3), mode='reflect')
    gate = F.conv2d(mirrored, p[f'{key}.pa.pa2.weight'], p[f'{key}.pa.pa2.bias'], groups=s.shape[1]).sigmoid()
    return s * gate + x0


def mema2m(p, key, x):
    x = batch_norm(p, f'{key}.conv1.1', conv(p, f'{key}.conv1.0', x)).relu()
    t = x.permute(0, 2, 3, 1)
    for i, shift in enumerate((0, 8, 0, 8)):
        at = f'{key}.mema2m.{i}'
        n = torch.roll(layer_norm(p, f'{at}.norm1', t), (-shift, -shift), (1, 2))
        # Pooled per window, and the gate spread over the window again.
        z = F.avg_pool2d(n.permute(0, 3, 1, 2), 16).permute(0, 2, 3, 1)
        bank = p[f'{at}.attns.mb']
        a = torch.softmax(linear(p, f'{at}.attns.subnet.0', z) @ bank / bank.shape[0] ** 0.5, dim=-1)
        g = linear(p, f'{at}.attns.upnet.0', a @ bank.t()).sigmoid()
        g = g.repeat_interleave(16, 1).repeat_interleave(16, 2)
        t = t + torch.roll(linear(p, f'{at}.attns.proj', n * g), (shift, shift), (1, 2))
        hidden = F.gelu(linear(p, f'{at}.mlp.fc1', layer_norm(p, f'{at}.norm2', t)))
        t = t + linear(p, f'{at}.mlp.fc2', hidden)
    return t.permute(0, 3, 1, 2)


def up_conv(p, key, x):
    return batch_norm(p, f'{key}.up.2', conv(p, f'{key}.up.1', up2(x))).relu()


def conv_block(p, key, x):
    x = batch_norm(p, f'{key}.conv.1', conv(p, f'{key}.conv.0', x)).relu()
    return batch_norm(p, f'{key}.conv.4', conv(p, f'{key}.conv.3', x)).relu()


def madnet(p, x):
    """State dict (published keys, no prefix), image (B, in, H, W) → logits [s1, …, s5, out]."""
    e1 = adadcm(p, 'Conv1', x)
    e2 = adadcm(p, 'Convtans2', F.max_pool2d(e1, 2))
    e3 = adadcm(p, 'Convtans3', F.max_pool2d(e2, 2))
    e4 = adadcm(p, 'Convtans4', F.max_pool2d(e3, 2))
    e5 = mema2m(p, 'Conv5', F.max_pool2d(e4, 2))
    d5 = mema2m(p, 'Up_conv5', torch.cat([e4, up_conv(p, 'Up5', e5)], 1))
    d4 = conv_block(p, 'Up_conv4', torch.cat([e3, up_conv(p, 'Up4', d5)], 1))
    d3 = conv_block(p, 'Up_conv3', torch.cat([e2, up_conv(p, 'Up3', d4)], 1))
    d2 = conv_block(p, 'Up_conv2', torch.cat([e1, up_conv(p, 'Up2', d3)], 1))
    maps = [conv(p, f'conv{i + 1}', d) for i, d in enumerate((d2, d3, d4, d5, e5))]
    size = maps[0].shape[2:]
    maps = [F.interpolate(m, size=size, mode='bilinear', align_corners=False) for m in maps]
    return [*maps, conv(p, 'Conv', d2, padding=0)]
