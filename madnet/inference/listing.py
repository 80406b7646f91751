"""What there is to predict with, for people."""

from madnet.records import get_pretrained, list_pretrained, list_registered


def detectors_text() -> str:
    """The detectors that need no config, one a line, for people."""
    from madnet.classical.detectors import DETECTORS

    classical = [f'  {d.name:16} {d.title}, {d.paper}' for d in DETECTORS.values()]
    methods = {name.partition('_')[0] for name in DETECTORS}
    head = f'classical: {len(methods)} methods, in {len(DETECTORS)} settings:'
    return '\n'.join([networks_text(), head, *classical])


def networks_text() -> str:
    """The networks whose weights are known, one a line, for people."""
    shipped = list_pretrained()
    lines = ['shipped networks:', *map(_network_line, shipped)]
    if not shipped:
        lines.append('  none with this version')
    others = [name for name in list_registered() if name not in shipped]
    for head, with_address in (
        ('networks that are fetched when they are first used:', True),
        ('networks whose file you must bring:', False),
    ):
        if names := [name for name in others if bool(get_pretrained(name).address) is with_address]:
            lines += [head, *map(_network_line, names)]
    return '\n'.join(lines)


def _network_line(name: str) -> str:
    entry = get_pretrained(name)
    return f'  {name:16} {entry.parameters:>9,} weights  {entry.about}'
