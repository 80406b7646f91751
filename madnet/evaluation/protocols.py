"""Protocols: named sets of choices that turn a score map and a mask into numbers.

The same weights score differently in every repository of this field because the metric code differs. A
protocol writes those choices down: a name in it points to the function in :mod:`madnet.evaluation.rules` that
runs. ``native`` is the one to quote. The others reproduce what published code computes, quirks included, so
that a number can be put beside a published one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from madnet.errors import UserError, nearest
from madnet.evaluation.rules import FALSE_ALARMS, MASK_RULES, MATCHINGS, sentence

#: Prediction rule of the code that compares raw logits with 0. In float32 it differs from ``sigmoid > 0.5``
#: only for logits so small that their sigmoid rounds to 0.5.
LOGIT = 'logit'


@dataclass(frozen=True)
class Protocol:
    """One named set of choices. Make one of your own with :func:`make_protocol`.

    Attributes:
        name: Printed beside every number.
        resolution: ``'native'`` (the image's own size), ``'base'`` (score map and mask resized to the data
            set's base size) or a side in pixels (resized to a square of that side).
        mask: Foreground of the mask, a key of ``MASK_RULES``.
        union_mask: The same for the mask's share in the union; None: as ``mask``.
        prediction: Foreground of the prediction for IoU, precision and recall: a probability that must be
            exceeded, or ``'logit'`` for raw logit > 0.
        niou_prediction: The same for nIoU; None: as ``prediction``.
        f1_prediction: The same for precision, recall and F1; None: as ``prediction``.
        target_prediction: The same for Pd and Fa; None: as ``prediction``.
        niou_empty: Per-image IoU where prediction and mask are both empty, and IoU of a set without any
            foreground; None: the protocol has no nIoU.
        f1_grey: Grey mask values other than 0 and 255 are neither class in F1: wrong wherever they are
            predicted, missed wherever they are not.
        f1_epsilons: Added to the denominators of recall, precision and F1.
        roc_counter: Whether the ROC counter of the published ABC code is kept too, see
            :func:`~madnet.evaluation.curves.eleven_counts`.
        matching: A key of ``MATCHINGS``; None: the protocol has no Pd and Fa.
        radius: Pixels; centroids must be strictly nearer than this to match.
        false_alarm: A key of ``FALSE_ALARMS``.
        extended: Whether hIoU, Pd-Fa curve, box view and strata are computed too. Off where a protocol only
            reproduces published code that has none of these.
        reproduces: What the protocol stands for, in one line for people.

    Raises:
        UserError: A part has a value that does not exist.
    """

    name: str = 'custom'
    resolution: str | int = 'native'
    mask: str = 'half'
    # None is replaced on creation, so that who reads these four finds a rule.
    union_mask: str = None  # type: ignore[assignment]
    prediction: str | float = 0.5
    niou_prediction: str | float = None  # type: ignore[assignment]
    f1_prediction: str | float = None  # type: ignore[assignment]
    target_prediction: str | float = None  # type: ignore[assignment]
    niou_empty: float | None = 1.0
    f1_grey: bool = False
    f1_epsilons: tuple[float, float, float] = (0.0, 0.0, 0.0)
    roc_counter: bool = False
    matching: str | None = 'one-to-one'
    radius: float = 3.0
    false_alarm: str = 'identity'
    extended: bool = False
    reproduces: str = ''

    def __post_init__(self):
        self._one_of('mask', MASK_RULES)
        self._one_of('union_mask', MASK_RULES, optional=True)
        self._one_of('matching', MATCHINGS, optional=True)
        self._one_of('false_alarm', FALSE_ALARMS)
        if not (self.resolution in ('native', 'base') or _is_number(self.resolution, 1, float('inf'))):
            self._refuse('resolution', "'native', 'base' or a side in pixels", ('native', 'base'))
        for part in ('prediction', 'niou_prediction', 'f1_prediction', 'target_prediction'):
            value = getattr(self, part)
            if value is None and part != 'prediction':
                object.__setattr__(self, part, self.prediction)
            elif value != LOGIT and not _is_number(value, 0, 1):
                self._refuse(part, "a probability in 0–1 or 'logit'", (LOGIT,))
        if self.union_mask is None:
            object.__setattr__(self, 'union_mask', self.mask)
        if self.niou_empty is not None and not _is_number(self.niou_empty, 0, 1):
            self._refuse('niou_empty', 'a number in 0–1, or None for no nIoU')
        if not _is_number(self.radius, 0, float('inf')) or self.radius == 0:
            self._refuse('radius', 'a positive number of pixels')
        if len(self.f1_epsilons) != 3:
            self._refuse('f1_epsilons', 'three numbers, for recall, precision and F1')

    def _one_of(self, part: str, rules: dict, optional: bool = False) -> None:
        value = getattr(self, part)
        if not (value in rules or (optional and value is None)):
            expected = ', '.join(repr(r) for r in rules) + (' or None' if optional else '')
            self._refuse(part, expected, rules)

    def _refuse(self, part: str, expected: str, candidates: Iterable[str] = ()) -> None:
        value = getattr(self, part)
        hint = nearest(str(value), candidates)
        raise UserError(f'protocol {self.name!r}: {part} is {value!r}, expected {expected}.{hint}')

    def describe(self) -> dict[str, str]:
        """The parts in words: a rule by the sentence of its function, everything else by its value."""
        rules: dict[str, Mapping[Any, Callable]] = {
            'mask': MASK_RULES,
            'matching': MATCHINGS,
            'false_alarm': FALSE_ALARMS,
        }
        rules['union_mask'] = rules['mask']
        words = {}
        for part in fields(self):
            value = getattr(self, part.name)
            rule = rules.get(part.name, {}).get(value)
            words[part.name] = f'{value}: {sentence(rule)}' if rule else str(value)
        return words

    def scored_size(self, own: tuple[int, int], base: tuple[int, int] | None) -> tuple[int, int]:
        """The (height, width) that an image of size ``own`` is scored at; without a base size, its own."""
        if self.resolution == 'native':
            return own
        return base or own if self.resolution == 'base' else (int(self.resolution),) * 2


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


_TABLE = (
    # The image is judged as a user sees it: at its own size, with an unambiguous mask, and every predicted
    # component either is the partner of one target or a false alarm.
    Protocol(
        name='native',
        extended=True,
        reproduces='native resolution, one-to-one matching, false alarms by component identity',
    ),
    # The metric code of ACM (Dai et al., WACV 2021) that most repositories copied: masks go through ToTensor
    # and an integer cast, so 254 becomes background; IoU compares logits with 0, nIoU sigmoids with 0.5; an
    # image without any foreground adds 0 to the sum of nIoU but 1 to its count. It has no target-level
    # numbers.
    Protocol(
        name='acm',
        resolution='base',
        mask='white',
        prediction=LOGIT,
        niou_prediction=0.5,
        niou_empty=0.0,
        matching=None,
        reproduces='the metric code of ACM, and of the many repositories that copied it',
    ),
    # The metric code of ABC and MAD-Net. F1 is read from the 6th of 11 thresholds of a ROC counter that sees
    # grey mask values as neither class and adds constants to its denominators. PD and FA binarise *logits* at
    # 25.5·k, of which only k = 0 means anything; FA drops a component when its area equals the area of any
    # matched one, so that false alarms of equal area vanish.
    Protocol(
        name='abc',
        resolution='base',
        mask='white',
        prediction=LOGIT,
        niou_prediction=0.5,
        niou_empty=0.0,
        f1_prediction=0.5,
        f1_grey=True,
        f1_epsilons=(1e-3, 1e-3, 1e-5),
        roc_counter=True,
        matching='greedy',
        false_alarm='area-value',
        reproduces='the published ABC and MAD-Net tables',
    ),
    # DNANet (Li et al., TIP 2022): as abc at a fixed 256×256, without nIoU and without a published F1.
    Protocol(
        name='dnanet',
        resolution=256,
        mask='white',
        prediction=LOGIT,
        niou_empty=None,
        matching='greedy',
        false_alarm='area-value',
        reproduces='the metric code of DNANet: 256×256, no nIoU',
    ),
    # BasicIRSTD: the histogram that counts the mask's pixels has one bin around 1 and so takes greys from 128
    # up, while the comparison behind the intersection takes 255 only. Its Fa is (predicted pixels − pixels of
    # matched components) / all pixels, which is the area of the unmatched components, hence 'identity'. No
    # nIoU, no F1: the F1 given here follows from the same three counts as its IoU.
    Protocol(
        name='basicirstd',
        mask='white',
        union_mask='half',
        niou_empty=None,
        matching='greedy',
        reproduces='the BasicIRSTD toolbox: native resolution, greedy matching, no nIoU',
    ),
)
#: The protocols that have a name.
PROTOCOLS: dict[str, Protocol] = {p.name: p for p in _TABLE}

ProtocolLike = str | Protocol | dict


def make_protocol(base: str | Protocol = 'native', **parts) -> Protocol:
    """A protocol of one's own: a named one with some parts exchanged.

    Args:
        base: What to start from.
        **parts: Attributes of :class:`Protocol`; without ``name`` it is called ``'<base>*'``.

    Raises:
        UserError: Unknown protocol, part or value of a part.

    >>> make_protocol('native', prediction=0.3, matching='greedy').name
    'native*'
    """
    base = get_protocol(base)
    known = [f.name for f in fields(Protocol)]
    for part in parts:
        if part not in known:
            raise UserError(
                f'protocol part {part!r} does not exist.{nearest(part, known)} Parts: {", ".join(known)}.'
            )
    if 'prediction' in parts:
        # The other thresholds follow the new one wherever they followed the old one.
        for part in ('niou_prediction', 'f1_prediction', 'target_prediction'):
            if getattr(base, part) == base.prediction:
                parts.setdefault(part, parts['prediction'])
    if 'mask' in parts and base.union_mask == base.mask:
        parts.setdefault('union_mask', parts['mask'])
    return replace(base, **{'name': f'{base.name}*', 'reproduces': '', **parts})


def get_protocol(protocol: ProtocolLike) -> Protocol:
    """The protocol of that name; a :class:`Protocol` is handed through, a dict goes to :func:`make_protocol`.

    Raises:
        UserError: Unknown name; the nearest are offered.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if isinstance(protocol, dict):
        return make_protocol(**protocol)
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        hint = nearest(str(protocol), PROTOCOLS)
        raise UserError(f'unknown protocol {protocol!r}.{hint} Known: {", ".join(PROTOCOLS)}, or all.')
    return PROTOCOLS[protocol]


def protocols_text() -> str:
    """All protocols for people: what each reproduces, and its parts, rules by their functions' docstrings."""
    lines = []
    for protocol in PROTOCOLS.values():
        words = protocol.describe()
        lines += [f'{words.pop("name")}: {words.pop("reproduces")}']
        lines += [f'    {part:<18} {text}' for part, text in words.items()]
    return '\n'.join(lines)


def get_protocols(protocols: ProtocolLike | Iterable[ProtocolLike]) -> tuple[Protocol, ...]:
    """Several protocols: ``'all'``, ``'native,abc'``, one, or a list of these; each once, in the order given.

    Raises:
        UserError: Unknown name, none at all, or two different protocols under one name.
    """
    if isinstance(protocols, (str, Protocol, dict)):
        protocols = [protocols]
    chosen: dict[str, Protocol] = {}
    for item in protocols:
        names = item.split(',') if isinstance(item, str) else [item]
        for name in names:
            name = name.strip() if isinstance(name, str) else name
            for protocol in PROTOCOLS.values() if name == 'all' else [get_protocol(name)]:
                if chosen.setdefault(protocol.name, protocol) != protocol:
                    raise UserError(
                        f'two different protocols are named {protocol.name!r}: give one another name'
                    )
    if not chosen:
        raise UserError(f'no protocol given: name one of {", ".join(PROTOCOLS)}, or all')
    return tuple(chosen.values())
